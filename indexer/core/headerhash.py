"""The hash of a block, computed from the fields of its header.

A fork adds fields at the end. Which fork a header is of shows in the fields that it has.

Source: Ethereum Yellow Paper, section 4.4; EIP-1559, EIP-4895, EIP-4844, EIP-4788, EIP-7685, EIP-7928, EIP-7843.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter, itemgetter

from indexer.core.keccak import keccak256
from indexer.core.rlp import rlp_list, rlp_string
from indexer.core.wire import WireHeader, octets, quantity

#: Digits of a quantity, leading zeros included, as `quantity` takes them.
_MOST_DIGITS = 66
#: How a field is encoded: as so many bytes, or as one of these.
_NUMBER, _BYTES = 0, -1
_HASH = 32

#: The fields that every header has, by attribute of `WireHeader`, in the order of hashing, with their encoding.
_ALWAYS: tuple[tuple[str, int], ...] = (
    ("parent_hash", _HASH),
    ("sha3_uncles", _HASH),
    ("miner", 20),
    ("state_root", _HASH),
    ("transactions_root", _HASH),
    ("receipts_root", _HASH),
    ("logs_bloom", 256),
    ("difficulty", _NUMBER),
    ("number", _NUMBER),
    ("gas_limit", _NUMBER),
    ("gas_used", _NUMBER),
    ("timestamp", _NUMBER),
    ("extra_data", _BYTES),
    ("mix_hash", _HASH),
    ("nonce", 8),
)

#: The fields that forks added, in the order of hashing: a header has the first few of them and then no more.
_ADDED: tuple[tuple[str, int], ...] = (
    ("base_fee_per_gas", _NUMBER),
    ("withdrawals_root", _HASH),
    ("blob_gas_used", _NUMBER),
    ("excess_blob_gas", _NUMBER),
    ("parent_beacon_block_root", _HASH),
    ("requests_hash", _HASH),
    ("block_access_list_hash", _HASH),
    ("slot_number", _NUMBER),
)


def _in_json(attribute: str) -> str:
    first, *others = attribute.split("_")
    return first + "".join(other.capitalize() for other in others)


#: Both, by attribute of `WireHeader` and by name in JSON, with the encoding.
_FIELDS = tuple((attribute, _in_json(attribute), kind) for attribute, kind in (*_ALWAYS, *_ADDED))
_VALUES = attrgetter(*(attribute for attribute, _, _ in _FIELDS))

#: Names in a block's JSON that are hashed, as above.
HASHED_FIELDS = frozenset(name for _, name, _ in _FIELDS)

#: Names in a block's JSON that are known not to be part of the header.
BESIDE_HEADER = frozenset(
    {
        "author",
        "hash",
        "size",
        "totalDifficulty",
        "transactions",
        "uncles",
        "withdrawals",
    }
)


def header_hash(header: WireHeader) -> bytes | None:
    """The block's hash as its fields give it; None where a field is missing that its hash would need.

    Fields of the answer that `WireHeader` does not know are not hashed: when the result is another hash than
    the block's, `unknown_fields` tells whether that may be the reason.

    Raises:
        Inconsistent: a field is not what the specification says it is.
    """
    values: tuple[str | None, ...] = _VALUES(header)
    present = values.index(None) if None in values else len(values)
    if present < len(_ALWAYS) or any(value is not None for value in values[present:]):
        return None
    texts = [value for value in values if value is not None]
    try:
        encoded = _encode(texts)
    except ValueError as error:
        _explain(header, texts)
        raise AssertionError(f"block {header.number}: {error}, though all its fields are right") from error
    return keccak256(rlp_list(encoded))


def unknown_fields(names: Iterable[str]) -> frozenset[str]:
    """Of the names in a block's JSON, those that may be fields of the header which we do not know to hash."""
    return frozenset(names) - HASHED_FIELDS - BESIDE_HEADER


def _encode(texts: list[str]) -> bytes:
    """The first few of all fields in RLP, joined.

    One conversion serves for all of them: where every header of a range is proved, this is a hot place.

    Raises:
        ValueError: one of them is not hexadecimal, or of another length.
    """
    layout = _LAYOUTS[len(texts)]
    if tuple(map(len, layout.fixed(texts))) != layout.lengths or "".join(texts).count("0x") != len(texts):
        raise ValueError("a length is wrong, or there is no 0x")
    parts = [head + text[2:] if head else _number(text) for head, text in zip(_HEADS, texts, strict=False)]
    parts[_EXTRA_DATA] = _bytes(texts[_EXTRA_DATA])
    return unhexlify("".join(parts))


def _head(length: int) -> str:
    """What the RLP of so many bytes begins with, in hexadecimal; of one byte, where that is not small."""
    return rlp_string(b"\xff" * length)[: -length or None].hex()


_EXTRA_DATA = [kind for _, _, kind in _FIELDS].index(_BYTES)
#: What each field's RLP begins with, in hexadecimal; empty for numbers. Of the extra data it is not used.
_HEADS = tuple(_head(abs(kind)) if kind else "" for _, _, kind in _FIELDS)
#: The same of numbers by how many digits they have, with the zero that makes an odd number of digits even.
_NUMBER_HEADS = tuple(_head((digits + 1) // 2) + "0" * (digits % 2) for digits in range(2 * _HASH + 1))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a header with so many fields has those whose length is always the same."""

    fixed: Callable[[list[str]], tuple[str, ...]]
    #: Their characters, 0x included.
    lengths: tuple[int, ...]


def _layout(fields: int) -> _Layout:
    places = [place for place, (_, _, kind) in enumerate(_FIELDS[:fields]) if kind > 0]
    return _Layout(itemgetter(*places), tuple(2 + 2 * _FIELDS[place][2] for place in places))


_LAYOUTS = {fields: _layout(fields) for fields in range(len(_ALWAYS), len(_FIELDS) + 1)}


def _number(text: str) -> str:
    """A number in RLP, in hexadecimal; whether its digits are digits is not looked at.

    Raises:
        ValueError: it has none, or too many.
    """
    digits = text[2:]
    if not 0 < len(digits) <= _MOST_DIGITS:
        raise ValueError("no number of 32 bytes")
    if digits[0] == "0":
        digits = digits.lstrip("0")
    if len(digits) < 2 or (len(digits) == 2 and digits < "80"):
        return f"{digits:0>2}" if digits else "80"
    if len(digits) > 2 * _HASH:
        raise ValueError("no number of 32 bytes")
    return _NUMBER_HEADS[len(digits)] + digits


def _bytes(text: str) -> str:
    """As `_number`, of bytes of any length."""
    digits = text[2:]
    if len(digits) == 2 and digits < "80":
        return digits
    return _head(len(digits) // 2) + digits


def _explain(header: WireHeader, texts: Iterable[str]) -> None:
    """Raise Inconsistent for the first field that is not what it should be."""
    at = f"block {header.number}, "
    for text, (_, name, kind) in zip(texts, _FIELDS, strict=False):
        if kind == _NUMBER:
            quantity(text, at + name)
        else:
            octets(text, at + name, kind if kind > 0 else None)
