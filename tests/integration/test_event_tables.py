"""Event tables, their views and the rows of the codecs, on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random

import asyncpg
import pytest
import pytest_asyncio

from indexer.core.abi import EventSpec, Param, event_spec, events_of_abi
from indexer.core.abitype import Component, Tuple, Uint, parse_type
from indexer.core.codec import codec_for
from indexer.core.ddl import event_view_ddl, hex_view_ddl, table_ddl
from indexer.core.pgbinary import (
    COPY_HEADER,
    COPY_TRAILER,
    bytea_field,
    int4_field,
    int8_field,
    row_start,
    timestamptz_field,
)
from indexer.core.schema import TableSpec, tables_of_contract
from tests.property.random_abi import log_of, random_value

pytestmark = pytest.mark.integration

ABIS = Path(__file__).resolve().parents[2] / "abis"
BLOCK_TIME = 1_700_000_000
ADDRESS = b"\xab" * 20
ROWS = 6  # per event
SOME_CONTRACTS = ("SkillProfile", "BountyVault", "It's; all")

_POINT = Tuple((Component("x", Uint(256)), Component("label", parse_type("string"))))
_UNNAMED = Tuple((Component("", Uint(8)), Component("", parse_type("bytes"))))


def _every_type() -> EventSpec:
    """An event with a column of each kind, and names that need care."""
    plain = [
        *(f"uint{bits}" for bits in (8, 48, 56, 64, 256)),
        *(f"int{bits}" for bits in (8, 48, 56, 64, 72, 256)),
    ]
    plain += [
        "address",
        "bool",
        "bytes",
        "bytes1",
        "bytes32",
        "string",
        "function",
        "uint48[]",
        "uint56[2]",
        "string[][]",
    ]
    params = [Param(f"of{type_.capitalize()}", parse_type(type_), False) for type_ in plain]
    params += [Param("select", _POINT, False), Param("", parse_type("tuple[]", _UNNAMED.components), False)]
    params += [Param("address", parse_type("string"), True), Param("it's", parse_type("int256"), True)]
    return event_spec("Every\\Type", (*params, Param("%s", parse_type("bool"), True)))


def _all_tables() -> list[tuple[str, TableSpec]]:
    contracts = {
        path.stem: events_of_abi(json.loads(path.read_text("utf-8"))) for path in sorted(ABIS.glob("*.json"))
    }
    contracts["It's; all"] = (_every_type(), event_spec("Nothing", ()))
    return [(name, table) for name, events in contracts.items() for table in tables_of_contract(name, events)]


@dataclass(frozen=True)
class Written:
    """Tables with rows, and what the codecs said of each log by contract, event signature and log index."""

    connection: asyncpg.Connection[asyncpg.Record]
    tables: list[tuple[str, TableSpec]]
    args: dict[tuple[str, str, int], dict[str, object]]


@pytest_asyncio.fixture(loop_scope="session")
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to a database of the current schema."""
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def written(connection: asyncpg.Connection[asyncpg.Record]) -> Written:
    """The tables of some contracts, each with a few rows in block 7, and the view over them."""
    return await _write(connection, [each for each in _all_tables() if each[0] in SOME_CONTRACTS])


async def _write(
    connection: asyncpg.Connection[asyncpg.Record], tables: list[tuple[str, TableSpec]]
) -> Written:
    random = Random(7)
    args: dict[tuple[str, str, int], dict[str, object]] = {}
    # Twice: what is there already is left alone.
    for _ in range(2):
        await connection.execute("".join(table_ddl(table) + hex_view_ddl(table) for _, table in tables))
        await connection.execute(event_view_ddl(tables))
    await connection.execute("update indexer.chain set chain_id = 31337")
    await connection.execute(
        "insert into indexer.block (number, hash, timestamp, has_rows) "
        "values (7, $1, to_timestamp($2), true)",
        *(b"\x77" * 32, BLOCK_TIME),
    )
    for contract, table in tables:
        types = [param.type for param in table.event.params]
        logs = [log_of(table.event, [random_value(type_, random) for type_ in types]) for _ in range(ROWS)]
        await _copy(connection, table, logs)
        for index, log in enumerate(logs):
            args[contract, table.event.signature, index] = codec_for(table.event).args(*log)
    return Written(connection, tables, args)


async def _copy(
    connection: asyncpg.Connection[asyncpg.Record],
    table: TableSpec,
    logs: Sequence[tuple[list[bytes], bytes]],
) -> None:
    payload = [COPY_HEADER]
    for index, log in enumerate(logs):
        fields, _ = codec_for(table.event).columns(*log)
        payload += [row_start(len(table.column_names)), int8_field(7), int4_field(index)]
        payload += [
            timestamptz_field(BLOCK_TIME),
            bytea_field(b"\x99" * 32),
            int4_field(3),
            bytea_field(ADDRESS),
            fields,
        ]
    payload.append(COPY_TRAILER)
    await connection.copy_to_table(
        *(table.name,),
        schema_name=table.schema,
        columns=table.column_names,
        source=BytesIO(b"".join(payload)),
        format="binary",
    )


async def test_what_was_copied_comes_back_as_the_codec_said(
    connection: asyncpg.Connection[asyncpg.Record],
) -> None:
    written = await _write(connection, _all_tables())
    rows = await written.connection.fetch("select *, args::text as args_text from indexer.event")
    assert {
        (row["contract"], row["signature"], row["log_index"]): json.loads(row["args_text"]) for row in rows
    } == written.args
    assert len(rows) == len(written.tables) * ROWS
    for row in rows:
        assert (row["chain_id"], row["block_number"], row["transaction_index"]) == (31337, 7, 3)
        assert row["address"] == "0x" + ADDRESS.hex()
        assert row["block_hash"] == "0x" + "77" * 32
        assert row["transaction_hash"] == "0x" + "99" * 32
        assert row["block_time"].timestamp() == BLOCK_TIME


async def test_the_generic_view_has_the_columns_that_others_build_on(written: Written) -> None:
    columns = await written.connection.fetch(
        "select attname, format_type(atttypid, atttypmod) as type from pg_attribute "
        "where attrelid = 'indexer.event'::regclass order by attnum"
    )
    assert [f"{column['attname']} {column['type']}" for column in columns] == [
        *(
            "chain_id bigint",
            "contract text",
            "address text",
            "event text",
            "signature text",
            "block_number bigint",
        ),
        *("block_hash text", "block_time timestamp with time zone", "transaction_hash text"),
        *("transaction_index integer", "log_index integer", "args jsonb"),
    ]


async def test_the_view_leaves_out_the_tables_that_are_not_asked_for(written: Written) -> None:
    plan = await written.connection.fetch(
        "explain select args from indexer.event where contract = 'SkillProfile' and event = 'TierUpdated' "
        "and block_number between 5 and 9"
    )
    text = "\n".join(str(line[0]) for line in plan)
    assert "tier_updated" in text
    assert "transfer" not in text
    assert "skill_added" not in text
    assert "block" not in text.replace("block_number", ""), "the block's hash was not asked for"
    assert "block_number >= 5" in text


async def test_the_hex_view_shows_bytes_as_text(written: Written) -> None:
    row = await written.connection.fetchrow('select * from "it_s_all"."every_type_hex" where log_index = 0')
    assert row is not None
    args = next(
        args for (_, signature, index), args in written.args.items() if "Every" in signature and index == 0
    )
    assert row["address"] == "0x" + ADDRESS.hex()
    assert row["transaction_hash"] == "0x" + "99" * 32
    assert row["of_address"] == args["ofAddress"]
    assert row["address_hash"] == args["address"]
    assert str(row["it_s"]) == args["it's"]


async def test_a_table_tells_which_event_it_holds(written: Written) -> None:
    comment = await written.connection.fetchval(
        "select obj_description('skill_profile.tier_updated'::regclass)"
    )
    assert comment == "TierUpdated(address,uint8,uint8,uint256,uint256)"
    argument = await written.connection.fetchval(
        "select col_description('bounty_vault.pool_created'::regclass, 7)"
    )
    assert argument == "string indexed skillTag, as keccak-256"


async def test_the_reading_role_sees_rows_and_changes_nothing(written: Written) -> None:
    connection = written.connection
    await connection.execute("set role indexer_reader")
    try:
        for relation in ("skill_profile.tier_updated", "skill_profile.tier_updated_hex"):
            assert await connection.fetchval(f"select count(*) from {relation}") == ROWS
        assert await connection.fetchval("select count(*) from indexer.event where event = 'Nothing'") == ROWS
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("delete from skill_profile.tier_updated")
    finally:
        await connection.execute("reset role")


async def test_the_view_works_before_there_is_any_table(
    connection: asyncpg.Connection[asyncpg.Record],
) -> None:
    await connection.execute(event_view_ddl([]))
    assert await connection.fetch("select * from indexer.event") == []
    tables = _all_tables()[:1]
    await connection.execute(table_ddl(tables[0][1]))
    await connection.execute(event_view_ddl(tables))
    assert await connection.fetch("select * from indexer.event") == []
