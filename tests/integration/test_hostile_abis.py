"""ABI files with names made to break out of SQL, to clash, or to be too many: rows come out, nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from tests.fixtures.commanded import Scene
from tests.fixtures.fakechain import FakeLog, FakeTransaction
from tests.fixtures.fakelogs import emit
from tests.fixtures.hostile import event, of
from tests.fixtures.truth import assert_equal_to_chain
from tests.fixtures.truth_expected import TrueContract

pytestmark = pytest.mark.integration

Json = Any

#: Statements without blanks and brackets, which no name may hold.
STATEMENTS = (
    "drop/**/schema/**/indexer/**/cascade",
    "create/**/schema/**/planted",
    "drop/**/table/**/canary",
    "update/**/canary/**/set/**/kept=false",
)
#: Ways out of an identifier, a literal, a comment, a dollar quote, and out of Python.
ESCAPES = (
    '"',
    "'",
    "\\'",
    "\\",
    "$grant$",
    "*/",
    "--",
    '"""',
    "'''",
    "';",
    '";',
    "\\\\'",
    "''",
    '""',
    "E'\\'",
    "$$",
)
ODD_NAMES = (
    *(
        "\u540d\u524d",
        "\U0001f984",
        "na\u00efve",
        "\u0130stanbul",
        "stra\u00dfe",
        "\u05d0\u05d1\u05d2",
        "a\u0300\u0301",
    ),
    *(
        "select",
        "table",
        "user",
        "ctid",
        "xmin",
        "oid",
        "address",
        "Address",
        "blockNumber",
        "block_number",
        "_",
        "__",
    ),
    *(
        "%s",
        "%name",
        "{0}",
        "$1",
        ":name",
        "\\x00",
        "\\u0000",
        "<script>",
        "x" * 64,
        "x" * 1_000,
        "X" * 59,
    ),
)
ADDRESSES = tuple(bytes([0xC0 + at]) * 20 for at in range(8))


def planted_names() -> list[str]:
    """Each way out with each statement behind it."""
    ends = ("--", "")
    names = [f"{escape};{each};{end or escape}" for escape in ESCAPES for each in STATEMENTS for end in ends]
    return list(dict.fromkeys(names))


def planted_abi() -> list[Json]:
    """Every planted name as an event, an argument, a component, and an indexed argument."""
    names = [*planted_names(), *ODD_NAMES]
    return [
        event(
            name,
            of("uint256", names[place - 1]),
            of("string", name, indexed=True),
            of("tuple", names[place - 2], of("string", name), of("uint8", names[place - 3])),
        )
        for place, name in enumerate(names)
    ]


def clashing_abi() -> list[Json]:
    """Events and arguments whose names come out the same, overloads, and names of other things."""
    long = "AnEventWhoseNameIsMuchLongerThanPostgresqlTakesWithoutCuttingItsEndOff"
    named = [
        *(
            "Foo",
            "foo",
            "FOO",
            "_foo",
            "foo_",
            "fo\u00f6",
            "fo-o",
            "Fo$o",
            f"{long}One",
            f"{long}Two",
            f"{long}OnePkey",
        ),
        *(
            "FooHex",
            "foo_hex",
            "FooPkey",
            "foo_pkey",
            "foo_pkey1",
            "Event",
            "Block",
            "Transaction",
            "Source",
            "event_hex",
        ),
    ]
    plain = [
        event(name, of("uint256", "a"), of("uint256", "A"), of("uint256", "a_"), of("uint8", ""))
        for name in named
    ]
    overloads = [event("Over", *(of("uint256", "a") for _ in range(count))) for count in range(12)]
    indexed = [
        event("Same", *(of("uint256", f"p{at}", indexed=at < count) for at in range(3))) for count in range(4)
    ]
    return [*plain, *overloads, *indexed]


def wide_abi() -> list[Json]:
    """As many arguments as are allowed, of the types that take the most and the least room in a row."""
    return [
        event("WideNumbers", *(of("uint256", f"a{at}") for at in range(300))),
        event("WideOctets", *(of("bytes23", f"a{at}") for at in range(300))),
        event("WideAddresses", *(of("address", f"a{at}") for at in range(300))),
        event("WideTexts", *(of("string", f"{'a' * 70}{at}") for at in range(300))),
        event("WideFlags", *(of("bool", "same") for _ in range(300))),
    ]


def many_abi() -> list[Json]:
    return [
        event(f"Event{at}", of("uint256", "value"), of("address", "from", indexed=True)) for at in range(200)
    ]


def value_of(type_: str, components: Sequence[Json] = ()) -> Any:
    """A value that takes as much room as the type allows."""
    if type_ == "tuple":
        return tuple(value_of(each["type"]) for each in components)
    values: dict[str, Any] = {"uint256": 2**256 - 1, "uint8": 255, "string": "text\0", "bool": True}
    return values.get(type_, b"\xff" * (20 if type_ == "address" else 23))


def every_event(address: bytes, abi: Sequence[Json]) -> list[FakeLog]:
    return [
        emit(address, each, *(value_of(one["type"], one.get("components", ())) for one in each["inputs"]))
        for each in abi
    ]


async def test_names_of_any_kind_make_tables_and_are_never_run(scene: Scene) -> None:
    contracts = [
        TrueContract(name, (ADDRESSES[place],), abi)
        for place, (name, abi) in enumerate(
            {
                "indexer": planted_abi(),
                "public": clashing_abi(),
                "pg_catalog": wide_abi(),
                "information_schema": many_abi(),
                "A Contract.of many-words": many_abi()[:3],
            }.items()
        )
    ]
    scene.contracts = contracts
    await scene.sql("create table canary (kept bool)")
    await scene.sql("insert into canary values (true)")
    database = await scene.value("select current_database()")
    # Where a backslash in a plain literal would escape the quote behind it.
    await scene.sql(f'alter database "{database}" set standard_conforming_strings = off')
    schemas = {row["nspname"] for row in await scene.sql("select nspname from pg_namespace")}
    logs = [log for contract in contracts for log in every_event(contract.addresses[0], contract.abi)]
    transactions = [
        FakeTransaction(at, bytes(20), ADDRESSES[0], tuple(logs[at : at + 50]))
        for at in range(0, len(logs), 50)
    ]
    scene.mine_all([transactions[:5], transactions[5:], []])

    for _ in range(2):
        ran = await scene.command("backfill", "--from-block", "0")
        assert ran.code == 0, ran.errors[:4_000]
        await assert_backfilled(scene, len(logs))

    made = {row["nspname"] for row in await scene.sql("select nspname from pg_namespace")} - schemas
    assert made == {
        *("indexer_contract", "public_contract", "contract_pg_catalog", "information_schema_contract"),
        "a_contract_of_many_words",
    }
    assert [tuple(row) for row in await scene.sql("select kept from canary")] == [(True,)]
    tables = await scene.value(
        "select count(*) from pg_class join pg_namespace n on n.oid = relnamespace "
        "where relkind = 'r' and nspname = any($1)",
        sorted(made),
    )
    assert tables == sum(len(contract.abi) for contract in contracts)


async def assert_backfilled(scene: Scene, events: int) -> None:
    """The database holds what the chain does, also where it is read as the view shows it."""
    assert await scene.value("select count(*) from indexer.event") == events
    # A comparison of all blocks needs a cursor; backfill alone has none above finality.
    found = await assert_equal_to_chain(scene.database_url, scene.node.url, scene.contracts, complete=False)
    assert found == events


async def test_two_contracts_of_one_schema_are_refused_by_name(scene: Scene) -> None:
    scene.contracts = [
        TrueContract(name, (ADDRESSES[place],), many_abi()[:1])
        for place, name in enumerate(("My Contract", "my_contract"))
    ]
    scene.mine_all([[]])
    ran = await scene.command("backfill", "--from-block", "0")
    assert ran.code == 2
    assert "share the schema my_contract" in ran.errors
    assert "give one of them another name" in ran.errors


async def test_an_event_that_no_row_could_hold_is_refused_before_anything_is_made(scene: Scene) -> None:
    scene.contracts = [
        TrueContract("Wide", ADDRESSES[:1], [event("Wide", *(of("uint8", "a") for _ in range(301)))])
    ]
    scene.mine_all([[]])
    ran = await scene.command("backfill", "--from-block", "0")
    assert ran.code == 2
    assert "301 arguments: no row holds more than 300" in ran.errors
    with pytest.raises(asyncpg.InvalidSchemaNameError):
        await scene.sql("drop schema wide")
