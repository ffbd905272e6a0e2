"""Portions dealt to several hands: together they are what was to be filled, however quick anybody is."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from indexer.core.dealing import FIRST_PORTION_BLOCKS, GROWTH, LONGEST_SECONDS, Dealer, Portion
from indexer.core.model import Span
from indexer.core.plan import Piece, merge_gaps, missing

spans = st.tuples(st.integers(0, 300), st.integers(0, 90)).map(lambda pair: Span(pair[0], pair[0] + pair[1]))
gaps = st.dictionaries(st.integers(1, 4), st.lists(spans, max_size=4), max_size=4).map(
    lambda raw: {each: missing(Span(0, 400), missing(Span(0, 400), found)) for each, found in raw.items()}
)
paces = st.lists(st.floats(0.001, 100), min_size=1, max_size=20)


def blocks_of(pieces: list[Piece]) -> list[tuple[int, int]]:
    return sorted(
        (each, number)
        for piece in pieces
        for each in piece.source_ids
        for number in range(piece.span.first, piece.span.last + 1)
    )


@given(gaps, st.integers(1, 9), paces, st.sets(st.integers(0, 30)))
def test_every_block_is_dealt_once_and_what_was_taken_back_once_more(
    wanted: dict[int, list[Span]], hands: int, seconds: list[float], lost: set[int]
) -> None:
    pieces = merge_gaps(wanted)
    dealer = Dealer(pieces, hands)
    filled: list[Piece] = []
    turn = 0
    while dealer:
        portions: list[Portion] = []
        while dealer and len(portions) < hands:
            portions.append(dealer.deal())
        for portion in portions:
            assert portion.pieces
            assert portion.span.last == max(piece.span.last for piece in portion.pieces)
            assert all(one.span.last < other.span.first for one, other in pairwise(portion.pieces))
            if turn in lost:
                dealer.take_back(portion.pieces)
            else:
                dealer.filled(portion, seconds[turn % len(seconds)])
                filled += portion.pieces
            turn += 1
    assert blocks_of(filled) == blocks_of(pieces)
    assert dealer.seconds_left == 0


@given(gaps, gaps)
def test_what_is_left_of_a_portion_is_what_is_not_covered(
    wanted: dict[int, list[Span]], covered: dict[int, list[Span]]
) -> None:
    portion = Portion(tuple(merge_gaps(wanted)))
    there = set(blocks_of(merge_gaps(covered)))
    left = portion.without(covered)
    assert blocks_of(left) == [each for each in blocks_of(list(portion.pieces)) if each not in there]


def test_portions_grow_with_the_pace_and_become_small_towards_the_end() -> None:
    dealer = Dealer([Piece(Span(0, 19_999_999), frozenset({1}))], hands=2)
    dealt, seconds = [], 0.0
    while dealer:
        portion = dealer.deal()
        dealt.append(portion.blocks)
        # 100,000 blocks a second.
        dealer.filled(portion, portion.blocks / 100_000)
        seconds += portion.blocks / 100_000
    assert sum(dealt) == 20_000_000
    assert dealt[:3] == [
        FIRST_PORTION_BLOCKS,
        FIRST_PORTION_BLOCKS * GROWTH,
        FIRST_PORTION_BLOCKS * GROWTH**2,
    ]
    assert max(dealt) == 100_000 * LONGEST_SECONDS
    assert dealt[-1] < 50_000
    # A portion's edges cost a request each.
    assert len(dealt) < 80


def test_the_first_portions_leave_something_for_everybody() -> None:
    dealer = Dealer([Piece(Span(1, 240), frozenset({1}))], hands=3)
    assert [dealer.deal().blocks for _ in range(3)] == [20, 18, 16]
