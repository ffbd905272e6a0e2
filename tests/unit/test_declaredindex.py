"""Declared indexes: their names, their SQL, and what is said about mistakes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from indexer.core.abi import events_of_abi
from indexer.core.declaredindex import NAME_PATTERN, DeclaredIndex, declarations, resolved, unbounded_columns
from indexer.core.errors import UserMistake
from indexer.core.naming import LONGEST_NAME
from indexer.core.schema import TableSpec, tables_of_contract
from tests.fixtures.fakelogs import LEDGER_ABI


def tables(abi: list[dict[str, Any]] = LEDGER_ABI) -> dict[str, TableSpec]:
    return {table.name: table for table in tables_of_contract("Ledger", events_of_abi(abi))}


def test_a_name_is_always_the_same_and_another_one_for_other_columns() -> None:
    noted = tables()["noted"]
    index = DeclaredIndex(noted, ("delta", "block_number"))
    assert index.name == DeclaredIndex(noted, ("delta", "block_number")).name
    assert re.fullmatch("noted_delta_block_number_[0-9a-f]{8}_declared", index.name)
    assert index.name != DeclaredIndex(noted, ("block_number", "delta")).name
    # Words may be cut in several ways, the lists are different all the same.
    assert len({DeclaredIndex(noted, each).name for each in [("a", "b_c"), ("a_b", "c")]}) == 2


def test_a_name_fits_into_an_identifier_whatever_it_is_made_of() -> None:
    abi = [{
        "type": "event",
        "name": "É" * 40,
        "inputs": [{"type": "uint8", "name": f"{letter * 50}", "indexed": False} for letter in "xyz"],
    }]  # fmt: skip
    (table,) = tables(abi).values()
    index = DeclaredIndex(table, table.column_names)
    assert len(index.name.encode()) <= LONGEST_NAME
    assert re.search(NAME_PATTERN, index.name)


def test_what_may_be_of_any_length_is_indexed_by_its_hash() -> None:
    noted = tables()["noted"]
    assert unbounded_columns(noted) == {"text", "blob"}
    assert DeclaredIndex(noted, ("text",)).ddl.endswith('on "ledger"."noted" using hash ("text")')
    assert DeclaredIndex(noted, ("tag_hash", "delta")).ddl.endswith('"noted" ("tag_hash", "delta")')


def test_a_name_means_all_events_of_that_name_and_a_signature_one() -> None:
    every = list(tables().values())
    both = declarations("Ledger", every, {"Transfer": [("from",)]})
    assert len(both) == 2
    one = declarations("Ledger", every, {"Transfer(address,address,uint256)": [("from",)]})
    assert set(one) <= set(both)
    (noted,) = declarations("Ledger", every, {"Noted": [("address", "block_number")]})
    known = {table.event.digest: table for table in every}
    (index,) = resolved([noted], known)
    assert (index.table.name, index.columns) == ("noted", ("address", "block_number"))
    assert resolved([noted], {}) == ()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"Noticed": [("text",)]}, r"event Noticed; indexed are .*Noted\(string"),
        ({"Noted": [("txt",)]}, "column txt; the table has block_number, .*text, tag_hash"),
        ({"Noted": [("delta", "delta")]}, "names a column twice: delta, delta"),
        ({"Noted": [("text", "delta")]}, "joins text with other columns"),
        ({"Noted": [("delta",), ("delta",)]}, "the same columns of an event twice"),
    ],
)
def test_each_mistake_is_named(wanted: dict[str, list[tuple[str, ...]]], expected: str) -> None:
    with pytest.raises(UserMistake, match=expected) as caught:
        declarations("Ledger", list(tables().values()), wanted)
    assert "contract Ledger" in str(caught.value)
