"""Values in PostgreSQL's binary COPY format.

A field is its length as a 4-byte integer and that many bytes; a row is the number of its fields as a 2-byte
integer and the fields. All integers are big-endian.

Source: PostgreSQL documentation, "COPY", "Binary Format"; and the receive functions of the types.
"""

from __future__ import annotations

from struct import Struct

import msgspec

#: What a COPY begins with: the signature, no flags, no header extension.
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)

#: What it ends with: a row of -1 fields.
COPY_TRAILER = b"\xff\xff"

#: Unix seconds of PostgreSQL's epoch, 2000-01-01 00:00 UTC.
POSTGRES_EPOCH = 946_684_800

_ROW = Struct(">h").pack
_LENGTH = Struct(">i").pack
_INT4 = Struct(">ii").pack
_INT8 = Struct(">iq").pack

TRUE_FIELD = b"\0\0\0\x01\x01"
FALSE_FIELD = b"\0\0\0\x01\0"

_JSON = msgspec.json.Encoder().encode

# The length of the field, then ndigits, weight, sign and dscale, then the digits in base 10,000.
_NUMERIC = [Struct(f">ihhHh{digits}H").pack for digits in range(22)]
_PLUS = 0x0000
_MINUS = 0x4000
_BASE = 10_000
_ZERO = _NUMERIC[0](8, 0, 0, _PLUS, 0)


def row_start(fields: int) -> bytes:
    """The two bytes before the fields of a row."""
    return _ROW(fields)


def int4_field(value: int) -> bytes:
    """A field of type int4; struct.error when it does not fit."""
    return _INT4(4, value)


def int8_field(value: int) -> bytes:
    """A field of type int8; struct.error when it does not fit."""
    return _INT8(8, value)


def bool_field(value: bool) -> bytes:
    """A field of type bool."""
    return TRUE_FIELD if value else FALSE_FIELD


def bytea_field(value: bytes) -> bytes:
    """A field of type bytea; also of type text, when the bytes are UTF-8 without NUL."""
    return _LENGTH(len(value)) + value


def timestamptz_field(unix_seconds: int) -> bytes:
    """A field of type timestamptz: microseconds since 2000-01-01 UTC."""
    return _INT8(8, (unix_seconds - POSTGRES_EPOCH) * 1_000_000)


def jsonb_field(value: object) -> bytes:
    """A field of type jsonb: the format's version, 1, and the JSON text.

    Texts in it must be free of NUL, which jsonb cannot hold.
    """
    octets = _JSON(value)
    return _LENGTH(len(octets) + 1) + b"\x01" + octets


def numeric_field(value: int) -> bytes:
    """A field of type numeric, exact for every integer of up to 84 decimal digits (2**256 has 78).

    Digits in base 10,000, the most significant first and not zero; zeros at the end stay. Zero has no digits.
    """
    sign = _PLUS
    if value < 0:
        sign, value = _MINUS, -value
    if value < _BASE:
        return _NUMERIC[1](10, 1, 0, sign, 0, value) if value else _ZERO
    digits: list[int] = []
    # Python's operations on integers below 2**30 are the quick ones: take eight decimal digits at a time.
    while value >= 100_000_000:
        value, low = divmod(value, 100_000_000)
        high = low // _BASE
        digits.append(low - high * _BASE)
        digits.append(high)
    while value:
        value, low = divmod(value, _BASE)
        digits.append(low)
    digits.reverse()
    count = len(digits)
    return _NUMERIC[count](8 + 2 * count, count, count - 1, sign, 0, *digits)


def storable_octets(text: bytes) -> bytes:
    """The text as PostgreSQL can store it, in UTF-8; **the same object** when it could be stored as it was.

    Each NUL, and each sequence that is not UTF-8, becomes U+FFFD.
    """
    if text.isascii():
        return text if 0 not in text else text.replace(b"\0", b"\xef\xbf\xbd")
    try:
        text.decode()
    except UnicodeDecodeError:
        text = text.decode(errors="replace").encode()
    return text if 0 not in text else text.replace(b"\0", b"\xef\xbf\xbd")
