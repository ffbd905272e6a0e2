"""Columns of 256-bit integers as the base-10,000 digits of PostgreSQL's numeric.

Long division by 10**8 on 32-bit limbs, all rows at once; rows of similar size go together, so that one
huge value does not make the others as dear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.core.arrays import Bytes, Flags, Integers

Limbs = NDArray[np.uint64]

_STEP = np.uint64(100_000_000)
_BASE = np.uint64(10_000)
_LIMB = np.uint64(32)  # bits
_LIMB_MASK = np.uint64(0xFFFFFFFF)
_STEP_BITS = 26.5  # a little less than log2(10**8): each division takes so many bits off

NEGATIVE = 0x4000


@dataclass(frozen=True, slots=True, eq=False)
class NumericColumn:
    """Integers in base 10,000."""

    #: One row per value, the most significant digit first, as wide as the longest value.
    digits: NDArray[np.uint16]
    #: How many digits of each value are significant; zero has none.
    counts: Integers
    #: Which values are below zero; None when none can be.
    negative: Flags | None


def numeric_column(words: Bytes, signed: bool) -> NumericColumn:
    """The digits of big-endian 32-byte words, in two's complement where signed."""
    negative: Flags | None = None
    limbs = np.ascontiguousarray(words.view(">u4").T, dtype=np.uint64)
    if signed:
        negative = words[:, 0] >= 0x80
        if negative.any():
            limbs[:, negative] = _negated(limbs[:, negative])
    digits, counts = _digits(limbs)
    width = int(counts.max(initial=0))
    return NumericColumn(digits[:, digits.shape[1] - width :], counts, negative)


def _negated(limbs: Limbs) -> Limbs:
    """The two's complement of 256-bit numbers in eight limbs, the most significant first."""
    negated = limbs ^ _LIMB_MASK
    carry = np.ones(limbs.shape[1], dtype=np.uint64)
    for place in reversed(range(len(limbs))):
        carried = negated[place] + carry
        negated[place] = carried & _LIMB_MASK
        carry = carried >> _LIMB
    return negated


def _digits(limbs: Limbs) -> tuple[NDArray[np.uint16], Integers]:
    """The digits of the values in the columns of the limbs, and how many of each are significant."""
    size, rows = limbs.shape
    upper_half = limbs[: size // 2].any(axis=0)
    if size > 2 and not upper_half.any():
        return _digits(limbs[size // 2 :])
    if size <= 4 or upper_half.all():
        # Below 2**128, setting rows apart would cost more than the shorter division saves.
        return _divided(limbs)
    large, large_counts = _digits(np.ascontiguousarray(limbs[:, upper_half]))
    small, small_counts = _digits(np.ascontiguousarray(limbs[size // 2 :, ~upper_half]))
    width = max(large.shape[1], small.shape[1])
    digits = np.zeros((rows, width), dtype=np.uint16)
    counts = np.empty(rows, dtype=np.int64)
    digits[upper_half, width - large.shape[1] :] = large
    digits[~upper_half, width - small.shape[1] :] = small
    counts[upper_half], counts[~upper_half] = large_counts, small_counts
    return digits, counts


def _divided(limbs: Limbs) -> tuple[NDArray[np.uint16], Integers]:
    """Long division by 10**8 until nothing is left."""
    left = [limb.copy() for limb in limbs]
    bits = 32.0 * len(left)
    lowest_first: list[Limbs] = []
    while left:
        remainder = np.zeros_like(left[0])
        for position, limb in enumerate(left):
            value = (remainder << _LIMB) | limb
            quotient = value // _STEP
            remainder = value - quotient * _STEP
            left[position] = quotient
        high = remainder // _BASE
        lowest_first += [remainder - high * _BASE, high]
        bits -= _STEP_BITS
        while left and 32.0 * (len(left) - 1) >= bits:
            del left[0]
    width = len(lowest_first)
    digits = np.empty((limbs.shape[1], width), dtype=np.uint16)
    counts = np.zeros(limbs.shape[1], dtype=np.int64)
    for place, column in enumerate(lowest_first):
        digits[:, width - 1 - place] = column
        counts[column != 0] = place + 1
    return digits, counts
