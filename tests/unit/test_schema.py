"""Tables of events, and the SQL that makes them."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from indexer.core.abi import EventSpec, events_of_abi
from indexer.core.ddl import event_view_ddl, hex_view_ddl, table_ddl
from indexer.core.errors import UserMistake
from indexer.core.schema import TableSpec, tables_of_contract


def event(name: str, *inputs: str, anonymous: bool = False) -> EventSpec:
    """An event declared as in Solidity: `event("Transfer", "address indexed from", "uint256 value")`."""
    params: list[dict[str, Any]] = []
    for declared in inputs:
        type_, *words = declared.split()
        params.append(
            {
                "type": type_,
                "name": (words or [""])[-1].removeprefix("indexed"),
                "indexed": "indexed" in words,
            }
        )
    (made,) = events_of_abi([{"type": "event", "name": name, "inputs": params, "anonymous": anonymous}])
    return made


CREATED_1 = event("ProfileCreated", "address indexed user", "string name", "uint256 timestamp")
CREATED_2 = event(
    "ProfileCreated", "address indexed user", "string name", "uint256 timestamp", "uint256 tokenId"
)
ERC20 = event("Transfer", "address indexed from", "address indexed to", "uint256 value")
ERC721 = event("Transfer", "address indexed from", "address indexed to", "uint256 indexed tokenId")


def names(tables: tuple[TableSpec, ...]) -> dict[EventSpec, str]:
    return {table.event: table.name for table in tables}


def test_an_event_has_a_table_in_the_schema_of_its_contract() -> None:
    (table,) = tables_of_contract("SkillProfile", [CREATED_2])
    assert (table.schema, table.name) == ("skill_profile", "profile_created")
    assert table.column_names == (
        *("block_number", "log_index", "block_time", "transaction_hash", "transaction_index", "address"),
        *("user", "name", "timestamp", "token_id"),
    )
    assert [column.param for column in table.columns] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("declared", "column"),
    [
        ("address a", ("a", "bytea")),
        ("bool a", ("a", "bool")),
        ("string a", ("a", "text")),
        ("bytes a", ("a", "bytea")),
        ("bytes32 indexed a", ("a", "bytea")),
        ("function a", ("a", "bytea")),
        ("uint8 a", ("a", "int8")),
        ("uint56 a", ("a", "int8")),
        ("uint64 a", ("a", "numeric(78,0)")),
        ("uint256 indexed a", ("a", "numeric(78,0)")),
        ("int64 a", ("a", "int8")),
        ("int72 a", ("a", "numeric(78,0)")),
        ("uint8[] a", ("a", "jsonb")),
        ("address[2] a", ("a", "jsonb")),
        ("string indexed a", ("a_hash", "bytea")),
        ("bytes indexed a", ("a_hash", "bytea")),
        ("uint8[2] indexed a", ("a_hash", "bytea")),
        ("uint8 indexed", ("arg0", "int8")),
    ],
)
def test_a_type_decides_the_column(declared: str, column: tuple[str, str]) -> None:
    (table,) = tables_of_contract("C", [event("E", declared)])
    assert [(made.name, made.pg_type) for made in table.columns] == [column]


@pytest.mark.parametrize(
    "group", [[CREATED_1, CREATED_2], [ERC20, ERC721], [ERC721, CREATED_2, ERC20, CREATED_1]]
)
def test_the_order_of_events_in_an_abi_changes_no_table_name(group: list[EventSpec]) -> None:
    made = [names(tables_of_contract("C", order)) for order in permutations(group)]
    assert all(each == made[0] for each in made)
    assert len(set(made[0].values())) == len(group)


def test_of_several_events_of_one_name_the_fullest_gets_the_plain_name() -> None:
    both = names(tables_of_contract("SkillProfile", [CREATED_1, CREATED_2]))
    assert both[CREATED_2] == "profile_created"
    assert both[CREATED_1] == f"profile_created_{CREATED_1.digest[:4].hex()}"
    assert names(tables_of_contract("Token", [ERC721, ERC20]))[ERC20] == "transfer"


def test_a_table_keeps_its_name_when_the_abi_grows() -> None:
    before = names(tables_of_contract("SkillProfile", [CREATED_1]))
    assert before[CREATED_1] == "profile_created"
    known = {made.digest: name for made, name in before.items()}
    after = names(tables_of_contract("SkillProfile", [CREATED_2, CREATED_1], known))
    assert after[CREATED_1] == "profile_created"
    assert after[CREATED_2] == f"profile_created_{CREATED_2.digest[:4].hex()}"


def test_the_name_of_a_table_that_is_no_longer_filled_is_not_given_away() -> None:
    (table,) = tables_of_contract("C", [CREATED_2], {CREATED_1.digest: "profile_created"})
    assert table.name != "profile_created"


def test_events_whose_names_differ_only_in_case_have_tables_of_their_own() -> None:
    made = tables_of_contract(
        "C", [event("FooBar"), event("fooBar"), event("foo_bar"), event("FooHex"), event("Foo")]
    )
    assert len({table.name for table in made}) == 5
    assert not any(table.name.endswith("_hex") for table in made)


@pytest.mark.parametrize(
    ("one", "two", "what"),
    [
        (
            event("E", "address indexed a", "address b"),
            event("E", "address a", "address indexed b"),
            "same signature",
        ),
        (event("A", "uint8 a", anonymous=True), event("B", "bool b", anonymous=True), "anonymous"),
    ],
)
def test_events_that_no_log_can_tell_apart_are_a_mistake(one: EventSpec, two: EventSpec, what: str) -> None:
    with pytest.raises(UserMistake, match=f"contract C: the events .* {what} .* under 'events'"):
        tables_of_contract("C", [one, two])


def test_the_sql_quotes_every_name_from_an_abi() -> None:
    (table,) = tables_of_contract(
        "Robert", [event("Select", "uint256 order", "bytes32 indexed from", "string it's")]
    )
    sql = table_ddl(table) + hex_view_ddl(table) + event_view_ddl([("Robert'); drop", table)])
    assert 'create table if not exists "robert"."select" (' in sql
    assert '    "order" numeric(78,0) not null,\n' in sql
    assert "'0x' || encode(\"from\", 'hex') as \"from\"" in sql
    assert "'it''s', \"it_s\"" in sql
    assert "'Robert''); drop'" in sql


def test_an_event_with_more_arguments_than_a_function_takes_has_its_object_made_in_pieces() -> None:
    (table,) = tables_of_contract("C", [event("E", *[f"bool a{number}" for number in range(120)])])
    assert event_view_ddl([("C", table)]).count("jsonb_build_object(") == 3
