"""Names in the database for names in an ABI."""

from __future__ import annotations

import pytest

from indexer.core.naming import (
    FIXED_COLUMNS,
    column_name,
    overload_table_name,
    plain_table_name,
    quoted,
    schema_name,
    snake_case,
    text_literal,
)


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("SkillProfile", "skill_profile"),
        ("ERC20Transfer", "erc20_transfer"),
        ("tokenURIUpdated", "token_uri_updated"),
        ("tokenURI", "token_uri"),
        ("tokenId", "token_id"),
        ("DAOFee2Paid", "dao_fee2_paid"),
        ("already_snake", "already_snake"),
        ("__Gap_", "gap"),
        ("_from", "from"),
        ("X", "x"),
        ("a$b", "a_b"),
        ("MyMax64Value", "my_max64_value"),
        ("ÉtéÀParis", "été_à_paris"),
        ("名前", "名前"),
        ("İ", "i"),
        ("$_$", ""),
        ("", ""),
    ],
)
def test_words_are_parted_by_underscores(name: str, snake: str) -> None:
    assert snake_case(name) == snake
    assert snake_case(snake) == snake


@pytest.mark.parametrize(
    ("contract", "schema"),
    [
        ("SkillProfile", "skill_profile"),
        ("Indexer", "indexer_contract"),
        ("public", "public_contract"),
        ("InformationSchema", "information_schema_contract"),
        ("PgCatalog", "contract_pg_catalog"),
        ("Pg", "pg"),
        ("$", "contract"),
    ],
)
def test_a_contract_never_gets_a_schema_that_is_not_its_own(contract: str, schema: str) -> None:
    assert schema_name(contract) == schema


def test_a_table_never_has_the_name_of_another_ones_hex_view() -> None:
    assert plain_table_name("Foo") + "_hex" == "foo_hex"
    assert plain_table_name("FooHex") == "foo_hex_event"
    assert plain_table_name("$") == "event"
    assert overload_table_name("FooHex", bytes(32)) == "foo_hex_00000000"


@pytest.mark.parametrize("letter", ["x", "é", "名", "😀a"])
def test_names_that_are_too_long_are_shortened_and_stay_different(letter: str) -> None:
    one, two = letter * 70 + "a", letter * 70 + "b"
    made = [
        [schema_name(name) for name in (one, two)],
        [plain_table_name(name) + "_hex" for name in (one, two)],
        [overload_table_name(one, digest) + "_hex" for digest in (bytes(32), bytes([1]) * 32)],
        [column_name(name, 0, False, []) for name in (one, two)],
        [column_name(one, 0, False, taken) for taken in ([], [column_name(one, 0, False, [])])],
        [column_name(one, 0, hashed, []) for hashed in (False, True)],
    ]
    for names in made:
        assert len(set(names)) == 2
        assert all(len(name.encode()) <= 63 for name in names)


def test_a_column_is_named_like_its_argument() -> None:
    assert column_name("tokenId", 3, False, []) == "token_id"
    assert column_name("skillTag", 0, True, []) == "skill_tag_hash"
    assert column_name("", 2, False, []) == "arg2"
    assert column_name("_", 2, True, []) == "arg2_hash"


@pytest.mark.parametrize("name", [*FIXED_COLUMNS, "blockNumber", "ctid", "xmin", "tableoid", "_address"])
def test_a_column_never_takes_a_name_that_the_table_has_already(name: str) -> None:
    assert column_name(name, 0, False, []) == snake_case(name) + "_"


def test_columns_of_equal_names_are_numbered() -> None:
    taken: list[str] = []
    for name in ["value", "_value", "Value", "value_2", "address", "_address"]:
        taken.append(column_name(name, 0, False, taken))
    assert taken == ["value", "value_2", "value_3", "value_2_2", "address_", "address__2"]


def test_quoting_leaves_no_way_out_of_a_literal() -> None:
    assert quoted('a"; drop') == '"a""; drop"'
    assert text_literal("it's") == "'it''s'"
