"""The hash of a block, computed from the fields of its header.

A fork adds fields at the end. Which fork a header is of shows in the fields that it has.

Source: Ethereum Yellow Paper, section 4.4; EIP-1559, EIP-4895, EIP-4844, EIP-4788, EIP-7685, EIP-7928, EIP-7843.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from indexer.core.keccak import keccak256
from indexer.core.rlp import rlp_list, rlp_number, rlp_string
from indexer.core.wire import WireHeader, octets, quantity


def _octets(length: int | None) -> Callable[[str, str], bytes]:
    return lambda text, what: rlp_string(octets(text, what, length))


def _number(text: str, what: str) -> bytes:
    return rlp_number(quantity(text, what))


_HASH, _BYTES = _octets(32), _octets(None)

#: The fields that every header has, by attribute of `WireHeader`, in the order of hashing, with their encoding.
_ALWAYS: tuple[tuple[str, Callable[[str, str], bytes]], ...] = (
    ("parent_hash", _HASH),
    ("sha3_uncles", _HASH),
    ("miner", _octets(20)),
    ("state_root", _HASH),
    ("transactions_root", _HASH),
    ("receipts_root", _HASH),
    ("logs_bloom", _octets(256)),
    ("difficulty", _number),
    ("number", _number),
    ("gas_limit", _number),
    ("gas_used", _number),
    ("timestamp", _number),
    ("extra_data", _BYTES),
    ("mix_hash", _HASH),
    ("nonce", _octets(8)),
)

#: The fields that forks added, in the order of hashing: a header has the first few of them and then no more.
_ADDED: tuple[tuple[str, Callable[[str, str], bytes]], ...] = (
    ("base_fee_per_gas", _number),
    ("withdrawals_root", _HASH),
    ("blob_gas_used", _number),
    ("excess_blob_gas", _number),
    ("parent_beacon_block_root", _HASH),
    ("requests_hash", _HASH),
    ("block_access_list_hash", _HASH),
    ("slot_number", _number),
)


def _in_json(attribute: str) -> str:
    first, *others = attribute.split("_")
    return first + "".join(other.capitalize() for other in others)


#: Both by attribute, name in JSON and encoding, with whether every header has them.
_FIELDS = tuple(
    (attribute, _in_json(attribute), encode, always)
    for fields, always in ((_ALWAYS, True), (_ADDED, False))
    for attribute, encode in fields
)

#: Names in a block's JSON that are hashed, as above.
HASHED_FIELDS = frozenset(name for _, name, _, _ in _FIELDS)

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
    at = f"block {header.number}, "
    encoded: list[bytes] = []
    ended = False
    for attribute, name, encode, always in _FIELDS:
        text = getattr(header, attribute)
        if text is None:
            if always:
                return None
            ended = True
        elif ended:
            return None
        else:
            encoded.append(encode(text, at + name))
    return keccak256(rlp_list(b"".join(encoded)))


def unknown_fields(names: Iterable[str]) -> frozenset[str]:
    """Of the names in a block's JSON, those that may be fields of the header which we do not know to hash."""
    return frozenset(names) - HASHED_FIELDS - BESIDE_HEADER
