"""Digests compare rows where both sides have the blocks, and name the blocks that only one side has."""

from __future__ import annotations

import pytest

from indexer.core.digest import (
    BucketKey,
    CoverageDifference,
    RowsDigest,
    SourceKey,
    different_coverage,
    different_rows,
    total,
)
from indexer.core.model import Span
from indexer.core.spans import multirange, overlap, without

A = SourceKey("A", b"\x01" * 20, "Moved(uint256)", b"\x02" * 32)
B = SourceKey("B", b"\x01" * 20, "", b"")


@pytest.mark.parametrize(
    ("ours", "theirs", "common", "only_ours"),
    [
        ([], [(0, 9)], [], []),
        ([(0, 9)], [], [], [(0, 9)]),
        ([(0, 9)], [(9, 12)], [(9, 9)], [(0, 8)]),
        ([(0, 9)], [(10, 12)], [], [(0, 9)]),
        ([(0, 9), (20, 29)], [(5, 24)], [(5, 9), (20, 24)], [(0, 4), (25, 29)]),
        ([(5, 24)], [(0, 9), (20, 29)], [(5, 9), (20, 24)], [(10, 19)]),
    ],
)
def test_sets_of_blocks_are_compared_block_by_block(
    ours: list[tuple[int, int]],
    theirs: list[tuple[int, int]],
    common: list[tuple[int, int]],
    only_ours: list[tuple[int, int]],
) -> None:
    one, two = [Span(*each) for each in ours], [Span(*each) for each in theirs]
    assert overlap(one, two) == tuple(Span(*each) for each in common)
    assert without(one, two) == tuple(Span(*each) for each in only_ours)


def test_a_set_of_blocks_is_written_as_postgresql_reads_it() -> None:
    assert multirange([]) == "{}"
    assert multirange([Span(0, 0), Span(2, 5)]) == "{[0,0],[2,5]}"


def test_a_bucket_that_is_missing_has_no_rows() -> None:
    first, second = BucketKey(A, "event", 0), BucketKey(A, "event", 7)
    differences = different_rows(
        {first: RowsDigest(1, 5), second: RowsDigest(2, 6)}, {first: RowsDigest(1, 5)}
    )
    assert differences == [(second, RowsDigest(2, 6), RowsDigest(0, 0))]
    assert (second.first_block, second.last_block) == (7_000, 7_999)


def test_hashes_are_added_up_modulo_two_to_the_64() -> None:
    digests = {
        BucketKey(A, "event", 0): RowsDigest(1, 2**64 - 1),
        BucketKey(B, "transactions", 0): RowsDigest(2, 3),
    }
    assert total(digests) == RowsDigest(3, 2)


def test_a_source_that_only_one_side_has_differs_in_all_its_blocks() -> None:
    assert different_coverage({A: (Span(0, 9),)}, {A: (Span(0, 9),), B: (Span(3, 4),)}) == [
        CoverageDifference(B, (), (Span(3, 4),))
    ]
    assert different_coverage({A: (Span(0, 9),)}, {A: (Span(0, 7),)}) == [
        CoverageDifference(A, (Span(8, 9),), ())
    ]
