"""Whatever single bit of a proved block is flipped, the proof does not hold any more."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.core.errors import Inconsistent
from indexer.core.headerhash import HASHED_FIELDS
from indexer.core.proof import Verdict
from tests.fixtures.recorded_blocks import BLOCKS, RecordedBlock, recorded_block

#: The fields that are proved, by where they stand in a block.
HEADER = sorted(HASHED_FIELDS | {"hash"})
RECEIPT = ("status", "root", "cumulativeGasUsed", "type")

Place = tuple[str | int, ...]


@functools.cache
def places(name: str) -> list[tuple[Place, int]]:
    """Every proved text of a block by its path, with how many bits it has."""
    block = recorded_block(name)
    found: list[Place] = [("block", field) for field in HEADER if field in block.block]
    for at, receipt in enumerate(block.receipts):
        found += [("receipts", at, field) for field in RECEIPT if field in receipt]
        for number, log in enumerate(receipt["logs"]):
            of_log: Place = ("receipts", at, "logs", number)
            found += [(*of_log, field) for field in ("address", "data")]
            found += [(*of_log, "topics", topic) for topic in range(len(log["topics"]))]
    sized = [(place, 4 * (len(at_place(block, place)) - 2)) for place in found]
    return [(place, bits) for place, bits in sized if bits]


def at_place(block: RecordedBlock, place: Place) -> Any:
    value: Any = vars(block)
    for step in place:
        value = value[step]
    return value


def flip(block: RecordedBlock, place: Place, bit: int) -> None:
    """Flip one bit of the hexadecimal text there."""
    text = at_place(block, place)
    digit = len(text) - 1 - bit // 4
    flipped = format(int(text[digit], 16) ^ (1 << bit % 4), "x")
    at_place(block, place[:-1])[place[-1]] = text[:digit] + flipped + text[digit + 1 :]


@st.composite
def flips(draw: st.DrawFn) -> tuple[str, Place, int]:
    name = draw(st.sampled_from(BLOCKS))
    place, bits = draw(st.sampled_from(places(name)))
    return name, place, draw(st.integers(0, bits - 1))


@settings(max_examples=1500, deadline=None)
@given(flips())
def test_a_flipped_bit_anywhere_is_found(flipped: tuple[str, Place, int]) -> None:
    name, place, bit = flipped
    block = recorded_block(name)
    flip(block, place, bit)
    try:
        proof = block.prove()
    except Inconsistent:
        return
    if place[-1] == "type" and int(at_place(block, place), 16) > 4:
        assert proof.verdict is Verdict.CANNOT_TELL, proof
        return
    assert proof.verdict is Verdict.WRONG, proof


def test_every_recorded_block_is_proved_before_a_bit_is_flipped() -> None:
    assert all(recorded_block(name).prove().proved for name in BLOCKS)
    assert sum(bits for name in BLOCKS for _, bits in places(name)) > 20_000
