"""Fields of PostgreSQL's binary COPY."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest

from indexer.core.pgbinary import (
    COPY_HEADER,
    COPY_TRAILER,
    bool_field,
    bytea_field,
    int4_field,
    int8_field,
    jsonb_field,
    numeric_field,
    row_start,
    timestamptz_field,
)
from tests.property.copy_reader import fields_of, numeric_of

EDGES = [
    0,
    1,
    9_999,
    10_000,
    10**8 - 1,
    10**8,
    10**8 + 1,
    10**16,
    10**18,
    2**63,
    2**64,
    2**128,
    2**256 - 1,
    10**77,
]


@pytest.mark.parametrize("value", [*EDGES, *(-edge for edge in EDGES if edge)])
def test_a_number_is_exact(value: int) -> None:
    (field,) = fields_of(numeric_field(value))
    assert numeric_of(field) == value


def test_numbers_of_every_size_are_exact_and_have_no_leading_zero_digits() -> None:
    random = Random(1)
    for _ in range(3_000):
        value = random.getrandbits(random.randint(1, 256)) * random.choice([1, -1])
        (field,) = fields_of(numeric_field(value))
        assert numeric_of(field) == value
        assert len(field) == 8 if value == 0 else field[8:10] != b"\0\0"


def test_fixed_values_are_what_postgres_documents() -> None:
    assert COPY_HEADER == b"PGCOPY\n\377\r\n\0" + b"\0\0\0\0" + b"\0\0\0\0"
    assert COPY_TRAILER == b"\377\377"
    assert row_start(7) == b"\0\7"
    assert int4_field(-2) == b"\0\0\0\4\377\377\377\376"
    assert int8_field(258) == b"\0\0\0\x08\0\0\0\0\0\0\1\2"
    assert bool_field(True) + bool_field(False) == b"\0\0\0\1\1\0\0\0\1\0"
    assert bytea_field(b"abc") == b"\0\0\0\3abc"
    assert jsonb_field({"a": "é"}) == b'\0\0\0\x0b\1{"a":"\xc3\xa9"}'


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2000, 1, 1, tzinfo=UTC),
        datetime(2262, 4, 12, 1, 2, 3, tzinfo=UTC),
    ],
)
def test_a_time_counts_microseconds_from_the_year_2000(moment: datetime) -> None:
    micros = int.from_bytes(timestamptz_field(int(moment.timestamp()))[4:], "big", signed=True)
    assert micros == (moment - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000
