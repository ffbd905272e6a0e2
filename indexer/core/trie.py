"""The root hash of a Merkle Patricia trie, built at once from all its entries.

Source: Ethereum Yellow Paper, appendix C (hex-prefix) and appendix D (the trie).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from indexer.core.keccak import keccak256
from indexer.core.rlp import rlp_list, rlp_number, rlp_string

#: The root of a trie without entries: the hash of an empty string's encoding.
EMPTY_ROOT = keccak256(rlp_string(b""))

#: The longest key in bytes: building goes one call deeper for every half byte, at worst.
LONGEST_KEY = 128

_NOTHING = rlp_string(b"")

#: A key as half bytes with its value; sorted, the shorter of two keys that begin alike comes first.
_Entry = tuple[bytes, bytes]


def list_root(values: Sequence[bytes]) -> bytes:
    """The root of the trie that maps each position, as RLP, to its value: how blocks commit to lists.

    Raises:
        ValueError: a value is empty.
    """
    return trie_root((rlp_number(position), value) for position, value in enumerate(values))


def trie_root(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The root of the trie with these keys and values, whatever their order.

    Raises:
        ValueError: a key is there twice or too long, or a value is empty, which means that there is no entry.
    """
    nibbles: list[_Entry] = []
    for key, value in entries:
        if not value:
            raise ValueError(f"the key 0x{key.hex()} has no value")
        if len(key) > LONGEST_KEY:
            raise ValueError(f"a key of {len(key)} bytes is longer than {LONGEST_KEY}")
        nibbles.append((_nibbles(key), value))
    if not nibbles:
        return EMPTY_ROOT
    nibbles.sort()
    for (key, _), (after, _) in pairwise(nibbles):
        if key == after:
            raise ValueError(f"a key of {len(key) // 2} bytes is there twice")
    return keccak256(_node(nibbles, 0, len(nibbles), 0))


def _nibbles(key: bytes) -> bytes:
    """One byte for each half byte."""
    return bytes.fromhex("0" + "0".join(key.hex())) if key else b""


def _node(entries: Sequence[_Entry], first: int, end: int, depth: int) -> bytes:
    """The encoding of the node that holds the entries first..end-1, which agree in their first half bytes."""
    key, value = entries[first]
    if end - first == 1:
        return rlp_list(_path(key[depth:], leaf=True) + rlp_string(value))
    shared = _shared(key, entries[end - 1][0], depth)
    if shared > depth:
        return rlp_list(_path(key[depth:shared], leaf=False) + _reference(_node(entries, first, end, shared)))
    return _branch(entries, first, end, depth)


def _branch(entries: Sequence[_Entry], first: int, end: int, depth: int) -> bytes:
    """The encoding of a node with one place for each half byte that may follow, and one for a value."""
    places = [_NOTHING] * 17
    if len(entries[first][0]) == depth:
        places[16] = rlp_string(entries[first][1])
        first += 1
    while first < end:
        nibble = entries[first][0][depth]
        last = first + 1
        while last < end and entries[last][0][depth] == nibble:
            last += 1
        places[nibble] = _reference(_node(entries, first, last, depth + 1))
        first = last
    return rlp_list(b"".join(places))


def _shared(key: bytes, other: bytes, depth: int) -> int:
    """How many half bytes both keys begin with; sorted, so do all keys between them."""
    most = min(len(key), len(other))
    while depth < most and key[depth] == other[depth]:
        depth += 1
    return depth


def _reference(node: bytes) -> bytes:
    """How a node is named in the one above it: by its hash, or by itself where that is shorter."""
    return node if len(node) < 32 else rlp_string(keccak256(node))


def _path(nibbles: bytes, *, leaf: bool) -> bytes:
    """The hex-prefix encoding of a path, in RLP: whether it is odd, and whether a value follows."""
    flag = 2 if leaf else 0
    nibbles = (bytes((flag + 1,)) if len(nibbles) % 2 else bytes((flag, 0))) + nibbles
    return rlp_string(bytes(high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True)))
