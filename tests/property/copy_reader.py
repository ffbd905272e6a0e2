"""Reads PostgreSQL's binary COPY fields back, written apart from the code that makes them.

Source: PostgreSQL's send and receive functions (`numeric_recv`, `jsonb_recv`, …).
"""

from __future__ import annotations

import json
from decimal import Decimal, localcontext


def fields_of(octets: bytes) -> list[bytes]:
    """The contents of fields that stand one after another."""
    made = []
    while octets:
        size, octets = int.from_bytes(octets[:4], "big", signed=True), octets[4:]
        assert 0 <= size <= len(octets), f"a field of {size} bytes, {len(octets)} are left"
        made.append(octets[:size])
        octets = octets[size:]
    return made


def value_of(pg_type: str, field: bytes) -> object:
    """What PostgreSQL would store for a field of this type."""
    match pg_type:
        case "int8":
            assert len(field) == 8
            return int.from_bytes(field, "big", signed=True)
        case "bool":
            assert field in (b"\0", b"\1")
            return field == b"\1"
        case "bytea":
            return field
        case "text":
            assert 0 not in field
            return field.decode()
        case "jsonb":
            assert field[:1] == b"\1"
            assert b"\\u0000" not in field
            return json.loads(field[1:])
        case "numeric(78,0)":
            return numeric_of(field)
    raise AssertionError(pg_type)


def numeric_of(field: bytes) -> int:
    """The whole number that a field of type numeric holds."""
    count, weight, sign, scale = (
        int.from_bytes(field[place : place + 2], "big", signed=place == 2) for place in (0, 2, 4, 6)
    )
    digits = [int.from_bytes(field[place : place + 2], "big") for place in range(8, len(field), 2)]
    assert len(digits) == count
    assert scale == 0
    assert sign in (0, 0x4000)
    assert all(digit < 10_000 for digit in digits)
    with localcontext() as context:
        context.prec = 100
        number = sum(
            (Decimal(digit) * Decimal(10_000) ** (weight - place) for place, digit in enumerate(digits)),
            Decimal(0),
        )
        whole = int(number)
        assert whole == number
    return -whole if sign else whole
