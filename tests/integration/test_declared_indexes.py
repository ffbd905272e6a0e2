"""Declared indexes in the database: built when their table is filled, mended, dropped with their declaration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.chaos.scene import Scene, scene
from tests.fixtures.program import Outcome, command, started, until_sql

pytestmark = pytest.mark.integration

DECLARED: Mapping[str, str] = {
    "Ledger": 'indexes = { Noted = ["text", ["delta", "block_number"]] }',
    "Registry": 'indexes = { "Named(address,string,uint256)" = ["user"] }',
}
INDEXES = """
    select array_agg(name order by name)
    from pg_catalog.pg_index, concat(indexrelid::regclass, case when not indisvalid then ' invalid' end) as name
    where name ~ '_declared'
"""
OIDS = """
    select array_agg(indexrelid::bigint) from pg_catalog.pg_index
    where indexrelid::regclass::text ~ '_declared'
"""
#: As a build leaves it that was broken off.
BREAK = (
    "update pg_catalog.pg_index set indisvalid = false where indexrelid::regclass::text ~ 'ledger.noted_text'"
)


def declaring(world: Scene, declared: Mapping[str, str] = DECLARED) -> str:
    """The path of a configuration with these declarations."""
    path = world.config()
    text = path.read_text()
    for contract, lines in declared.items():
        text = text.replace(f'name = "{contract}"', f'name = "{contract}"\n{lines}')
    path.write_text(text)
    return str(path)


async def backfill(config: str, *options: str) -> Outcome:
    outcome = await command("backfill", "--config", config, "--from-block", "0", "--workers", "1", *options)
    assert outcome.code == 0, outcome.said
    return outcome


async def states(config: str) -> dict[str, str]:
    """By table and columns, what `indexer status` says of the indexes."""
    outcome = await command("status", "--config", config, "--json")
    assert outcome.code == 0, outcome.said
    return {f"{each['table']} {each['columns']}": each["state"] for each in outcome.json()["indexes"]}


async def asked(database_url: str, statement: str) -> Any:
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_indexes_are_built_when_their_table_is_filled_and_follow_their_declarations(
    empty_database_url: str, tmp_path: Path
) -> None:
    # Long, because each step is about what the one before left in the database.
    async with scene(tmp_path, empty_database_url) as world:
        world.mine(40)
        world.finalize()
        config = declaring(world)
        await backfill(config, "--to-block", "20")
        assert await asked(empty_database_url, INDEXES) is None
        waiting = await states(config)
        assert set(waiting.values()) == {"waiting"} and len(waiting) == 3, waiting

        await backfill(config)
        built = await asked(empty_database_url, INDEXES)
        assert [name.rpartition("_declared")[0][:-9] for name in built] == [
            "ledger.noted_delta_block_number",
            "ledger.noted_text",
            "registry.named_48f4bb5b_user",
        ], built
        assert set((await states(config)).values()) == {"ready"}

        # Found again after a restart, and only what is broken is built anew.
        before = await asked(empty_database_url, OIDS)
        await asked(empty_database_url, BREAK)
        assert "invalid" in (await states(config)).values()
        await backfill(config)
        assert await asked(empty_database_url, INDEXES) == built
        after = await asked(empty_database_url, OIDS)
        assert len(set(before) & set(after)) == 2, "one index is another one now"

        # What a person made is not ours, and a contract that is not configured keeps what it has.
        await asked(empty_database_url, "create index by_hand on ledger.noted (delta)")
        await backfill(declaring(world, {"Ledger": DECLARED["Ledger"].replace('"text", ', "")}))
        left = await asked(empty_database_url, INDEXES)
        assert len(left) == 1 and left[0].startswith("ledger.noted_delta"), left
        assert await asked(empty_database_url, "select to_regclass('ledger.by_hand') is not null")


async def test_the_tail_goes_on_while_indexes_are_built_and_after_a_long_text(
    empty_database_url: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, empty_database_url) as world:
        world.mine(20)
        world.finalize(3)
        async with world.onlooker() as onlooker, started("run", "--config", declaring(world)) as program:
            await until_sql(empty_database_url, f"select coalesce(cardinality(({INDEXES})), 0) = 3")
            world.mine(3)
            await world.followed()
            # Longer than an entry of a B-tree may be, and not to be compressed.
            await onlooker.execute(
                "insert into ledger.noted select block_number, 100000, block_time, transaction_hash, "
                "transaction_index, address, "
                "(select string_agg(md5(random()::text), '') from generate_series(1, 1000)), "
                "tag_hash, blob, is_final, delta from ledger.noted limit 1"
            )
            await onlooker.execute("delete from ledger.noted where log_index = 100000")
            world.reorg(2, 3)
            await world.settled()
            assert await program.stopped() == 0, program.said
        assert await world.compare() > 0


async def test_a_declaration_that_fits_no_event_is_a_mistake(empty_database_url: str, tmp_path: Path) -> None:
    async with scene(tmp_path, empty_database_url) as world:
        config = declaring(world, {"Ledger": 'indexes = { Noted = ["txt"] }'})
        outcome = await command("backfill", "--config", config, "--from-block", "0")
        assert (outcome.code, "txt" in outcome.errors) == (2, True), outcome.said
        malformed = declaring(world, {"Ledger": "indexes = { Noted = [3] }"})
        outcome = await command("check", "--config", malformed)
        assert (outcome.code, "contracts[1].indexes.Noted" in outcome.errors) == (2, True), outcome.said
