"""What every generated decoder reads in the same way: offsets, lengths, byte strings, texts.

Positions are bytes from the beginning of the log's data.

Source: Solidity documentation, "Contract ABI Specification", "Formal Specification of the Encoding" and
"Strict Encoding Mode".
"""

from __future__ import annotations

from indexer.core.malformed import Malformed
from indexer.core.pgbinary import bool_field, jsonb_field, storable_octets

_int = int.from_bytes

#: Zero bytes, by number: what fills up the last word of a byte string.
_PADDING = tuple(bytes(count) for count in range(32))

#: Bytes that may be read of a log's data for each byte that it has. Honest encodings read each byte once, but
#: offsets may point to the same place, in nested arrays so often that a small log becomes gigabytes.
AMPLIFICATION = 16

#: Bytes that may be read in any case.
AMPLIFICATION_FLOOR = 65_536

#: Bytes of data from which on each byte may be read only once: no real chain has logs as large.
AMPLIFICATION_CEILING = 16 << 20

#: Bytes of JSON in one column. PostgreSQL's jsonb ends at 256 MiB, and may be larger than the text by then.
MOST_JSON_BYTES = 192 << 20

#: The two words that a bool may be, and what they mean.
BOOLS = {bytes(32): False, bytes(31) + b"\x01": True}

#: The same as fields of PostgreSQL's binary COPY.
BOOL_FIELDS = {word: bool_field(value) for word, value in BOOLS.items()}


def target(data: bytes, start: int, head_size: int, offset: int, argument: str) -> int:
    """The position that an offset means.

    Args:
        start: where the head begins that the offset is counted from.
        head_size: bytes of that head, which nothing else may lie in.
    """
    position = start + offset
    if offset < head_size or position >= len(data):
        raise Malformed("offset_out_of_range", argument)
    return position


def byte_string(data: bytes, position: int, argument: str) -> bytes:
    """The byte string whose length stands at the position; its last word must be there, filled with zeros."""
    begin = position + 32
    if begin > len(data):
        raise Malformed("data_too_short", argument)
    length = _int(data[position:begin])
    end = begin + length
    padding = -length & 31
    if end + padding > len(data):
        raise Malformed("length_out_of_range", argument)
    if padding and data[end : end + padding] != _PADDING[padding]:
        raise Malformed("dirty_padding", argument)
    return data[begin:end]


def text_of(octets: bytes) -> str:
    """The text, with U+FFFD for each NUL and each sequence that is not UTF-8."""
    return storable_octets(octets).decode()


def json_column(value: object, argument: str) -> bytes:
    """A field of type jsonb."""
    field = jsonb_field(value)
    if len(field) > MOST_JSON_BYTES:
        raise Malformed("too_large", argument)
    return field


class Reading:
    """One log's data while the arguments are read that hold others: how much of it was read, and how well."""

    __slots__ = ("data", "left", "lossy")

    def __init__(self, data: bytes) -> None:
        self.data = data
        #: Bytes that may still be read.
        allowed = AMPLIFICATION * len(data) + AMPLIFICATION_FLOOR
        self.left = max(len(data), min(allowed, AMPLIFICATION_CEILING))
        #: Whether a text could not be taken as it was.
        self.lossy = False

    def spend(self, size: int, argument: str) -> None:
        """Count bytes as read."""
        self.left -= size
        if self.left < 0:
            raise Malformed("amplified", argument)

    def head(self, position: int, size: int, argument: str) -> None:
        """Make sure that a head of this size is there."""
        if position + size > len(self.data):
            raise Malformed("data_too_short", argument)
        self.spend(size, argument)

    def item_count(self, position: int, item_size: int, argument: str) -> int:
        """The length at the position, of an array whose items' heads (or whole items) are all there."""
        begin = position + 32
        if begin > len(self.data):
            raise Malformed("data_too_short", argument)
        count = _int(self.data[position:begin])
        size = count * item_size
        if begin + size > len(self.data):
            raise Malformed("length_out_of_range", argument)
        self.spend(32 + size, argument)
        return count

    def byte_string(self, position: int, argument: str) -> bytes:
        """As the function of that name."""
        octets = byte_string(self.data, position, argument)
        self.spend(32 + len(octets), argument)
        return octets

    def text(self, position: int, argument: str) -> str:
        """The byte string at the position as text."""
        octets = self.byte_string(position, argument)
        stored = storable_octets(octets)
        if stored is not octets:
            self.lossy = True
        return stored.decode()
