"""The bloom filter over a block's logs: what it must say, and what it says may be there.

Each address and each topic sets three of 2,048 bits. A clear bit proves that an item is in no log of the block;
three set bits prove nothing.

Source: Ethereum Yellow Paper, section 4.3.1 (the function M).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from indexer.core.arrays import Flags
from indexer.core.keccak import keccak256

BLOOM_BYTES = 256
_BITS = 8 * BLOOM_BYTES

#: An address and a first topic; None stands for logs whatever their topics.
Pair = tuple[bytes, bytes | None]


def bits_of(items: Iterable[bytes]) -> int:
    """The bits that addresses and topics set, as a number whose lowest bit is bit 0 of the filter."""
    bits = 0
    for item in items:
        bits |= _bits_of_item(item)
    return bits


def bloom_of(bits: int) -> bytes:
    """The filter with these bits set, as it stands in headers and receipts."""
    return bits.to_bytes(BLOOM_BYTES, "big")


def logs_bloom(logs: Iterable[tuple[bytes, Sequence[bytes]]]) -> bytes:
    """The filter over logs, each given by its address and its topics."""
    return bloom_of(bits_of(item for address, topics in logs for item in (address, *topics)))


def may_contain(bloom: bytes, address: bytes, topic0: bytes | None) -> bool:
    """Whether the block may have a log of this address and first topic; False is a proof that it has none."""
    bits = bits_of((address,) if topic0 is None else (address, topic0))
    return int.from_bytes(bloom, "big") & bits == bits


class BloomProbe:
    """Many pairs of address and first topic, ready to be looked for in many filters."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs = tuple(dict.fromkeys(pairs))
        #: Where each of them stands among `pairs`.
        self.positions = {pair: at for at, pair in enumerate(self.pairs)}
        items: dict[bytes | None, int] = {None: 0}
        for pair in self.pairs:
            for item in pair:
                items.setdefault(item, len(items))
        #: The three bits of each item, as a byte of the filter and a bit in it. No topic sets none.
        places = [_places(item) for item in items if item is not None]
        self._bytes = np.array([[0] * 3, *([at // 8 for at in three] for three in places)], dtype=np.intp)
        self._masks = np.array(
            [[0] * 3, *([0x80 >> at % 8 for at in three] for three in places)], dtype=np.uint8
        )
        self._addresses = np.array([items[address] for address, _ in self.pairs], dtype=np.intp)
        self._topics = np.array([items[topic] for _, topic in self.pairs], dtype=np.intp)

    def may_match(self, bloom: bytes) -> bool:
        """Whether a block with this filter may have a log of any of the pairs; False is a proof."""
        return bool(self.found((bloom,)).any())

    def matching(self, bloom: bytes) -> tuple[Pair, ...]:
        """The pairs of which a block with this filter may have a log; there is none of the others.

        Raises:
            ValueError: it is not a filter of 256 bytes.
        """
        return tuple(self.pairs[position] for position in np.flatnonzero(self.found((bloom,))[0]).tolist())

    def found(self, blooms: Sequence[bytes]) -> Flags:
        """For each filter (row) and each of `pairs` (column), whether all the pair's bits are set.

        Raises:
            ValueError: one is not a filter of 256 bytes.
        """
        for bloom in blooms:
            if len(bloom) != BLOOM_BYTES:
                raise ValueError(f"a bloom filter has {BLOOM_BYTES} bytes, this one {len(bloom)}")
        rows = np.frombuffer(b"".join(blooms), dtype=np.uint8).reshape(len(blooms), BLOOM_BYTES)
        items: Flags = np.ones((len(blooms), len(self._bytes)), dtype=np.bool_)
        for places, masks in zip(self._bytes.T, self._masks.T, strict=True):
            items &= rows[:, places] & masks == masks
        return items[:, self._addresses] & items[:, self._topics]


@lru_cache(maxsize=16_384)  # about 4 MB; addresses and first topics come again and again
def _bits_of_item(item: bytes) -> int:
    digest = keccak256(item)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << int.from_bytes(digest[at : at + 2], "big") % _BITS
    return bits


def _places(item: bytes) -> list[int]:
    """Where an item's bits are when the filter is unpacked from its first byte on: the highest bit first."""
    digest = keccak256(item)
    return [_BITS - 1 - int.from_bytes(digest[at : at + 2], "big") % _BITS for at in (0, 2, 4)]
