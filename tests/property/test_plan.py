"""The planner against a naive model over sets of block numbers."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.core.errors import TooMuch
from indexer.core.model import Span
from indexer.core.plan import (
    TARGET_BYTES,
    TARGET_LOGS,
    Piece,
    RangeSize,
    Worklist,
    merge_gaps,
    missing,
    narrower,
)

spans = st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: Span(pair[0], pair[0] + pair[1]))


def numbers(each: Span) -> set[int]:
    return set(range(each.first, each.last + 1))


@given(spans, st.lists(spans, max_size=6))
def test_missing_is_what_is_wanted_and_not_covered(wanted: Span, covered: list[Span]) -> None:
    gaps = missing(wanted, covered)
    expected = numbers(wanted) - set().union(*map(numbers, covered)) if covered else numbers(wanted)
    assert sorted(n for gap in gaps for n in numbers(gap)) == sorted(expected)
    assert all(left.last + 1 < right.first for left, right in itertools.pairwise(gaps))


@given(st.dictionaries(st.integers(1, 5), st.lists(spans, max_size=4), max_size=5))
def test_merged_gaps_ask_for_every_missing_block_once_and_for_no_other(raw: dict[int, list[Span]]) -> None:
    gaps = {each: missing(Span(0, 100), missing(Span(0, 100), spans)) for each, spans in raw.items()}
    pieces = merge_gaps(gaps)
    asked = [(source, n) for piece in pieces for source in piece.source_ids for n in numbers(piece.span)]
    assert sorted(asked) == sorted(
        (each, n) for each, found in gaps.items() for gap in found for n in numbers(gap)
    )
    assert all(left.span.last < right.span.first for left, right in itertools.pairwise(pieces))


def test_sources_that_miss_the_same_blocks_share_one_request() -> None:
    gap = [Span(0, 99)]
    assert merge_gaps({1: gap, 2: gap, 3: [Span(50, 99)]}) == [
        Piece(Span(0, 49), frozenset({1, 2})),
        Piece(Span(50, 99), frozenset({1, 2, 3})),
    ]


@given(
    st.lists(spans, min_size=1, max_size=4),
    st.lists(st.integers(1, 30), min_size=1, max_size=200),
    st.randoms(),
)
@settings(deadline=None)
def test_a_worklist_gives_every_block_once_however_it_is_cut_and_refused(
    raw: list[Span], sizes: list[int], random: object
) -> None:
    pieces = merge_gaps({1: missing(Span(0, 100), missing(Span(0, 100), raw))})
    worklist, taken, refused = Worklist(pieces), [], 0
    for size in [*sizes, *[5] * 200]:
        piece = worklist.take(size)
        if piece is None:
            break
        assert len(piece.span) <= size
        if refused < 20 and len(piece.span) > 1:
            worklist.put_back(piece)
            refused += 1
            continue
        taken += sorted(numbers(piece.span))
    assert taken == sorted(n for piece in pieces for n in numbers(piece.span))
    assert not worklist
    assert worklist.blocks == 0


@given(st.integers(1, 5_000), st.integers(1, 50_000))
def test_a_plans_limit_is_asked_past_ever_more_rarely(cap: int, first: int) -> None:
    size, refused, served = RangeSize(blocks=first), [], 0
    for turn in range(1_000):
        span = Span(0, size.blocks - 1)
        if len(span) > cap:
            refused.append(turn)
            size.refused(span, TooMuch(f"range limited to {cap}", blocks=cap))
        else:
            served += 1
            size.answered(span, 0)
    at_first = [turn for turn in refused if turn < 20]
    assert len(refused) <= len(at_first) + 8
    assert refused[-1] - refused[-2] > 100 if len(refused) > 4 else True
    assert size.blocks <= 2 * cap


def test_a_limit_that_suited_one_dense_range_is_forgotten() -> None:
    size = RangeSize()
    size.refused(Span(0, 1_999), TooMuch("try with this block range", blocks=10))
    for _ in range(300):
        size.answered(Span(0, size.blocks - 1), 0)
    assert size.blocks >= 1_000


@given(st.integers(2, 100_000))
def test_without_a_hint_a_refused_range_is_halved(blocks: int) -> None:
    assert narrower(Span(0, blocks - 1), TooMuch("too large")) == blocks // 2


def test_dense_answers_shrink_the_range_towards_the_target_and_sparse_ones_let_it_grow() -> None:
    size = RangeSize(blocks=2_000, target_logs=20_000)
    size.answered(Span(0, 1_999), 1_000_000)
    assert size.blocks == 40
    size.answered(Span(0, 39), 20_000)
    assert size.blocks == 40
    size.answered(Span(0, 39), 0)
    assert size.blocks == 80


@given(st.integers(1, 10**6), st.integers(0, 50))
def test_large_logs_make_ranges_as_short_as_many_logs_do(bytes_a_block: int, logs_a_block: int) -> None:
    size = RangeSize(blocks=2_000)
    for _ in range(60):
        blocks = size.blocks
        size.answered(Span(0, blocks - 1), logs_a_block * blocks, bytes_a_block * blocks)
    assert (size.blocks - 1) * bytes_a_block <= TARGET_BYTES
    assert (size.blocks - 1) * logs_a_block <= TARGET_LOGS
    assert (size.blocks + 1) > min(TARGET_BYTES / bytes_a_block, TARGET_LOGS / max(logs_a_block, 1))


def test_a_short_range_at_the_end_of_a_gap_teaches_nothing() -> None:
    size = RangeSize(blocks=2_000)
    size.answered(Span(0, 2), 5)
    assert size.blocks == 2_000


@given(st.integers(1, 50_000), st.integers(1, 100_000), st.integers(1, 4))
def test_a_range_longer_than_an_endpoint_named_is_never_asked_for_once_its_word_is_kept(
    cap: int, first: int, at_once: int
) -> None:
    size, refused = RangeSize(blocks=first), 0
    named: int | None = None
    for _ in range(200):
        # So many are asked before the first of them is answered.
        spans = [Span(0, min(size.blocks, named or size.blocks) - 1) for _ in range(at_once)]
        for span in spans:
            if len(span) > cap:
                refused, named = refused + 1, cap
                size.refused(span, TooMuch(f"limited to a {cap} range", blocks=cap, is_cap=True))
            else:
                size.answered(span, 0)
    assert refused <= at_once
    assert min(size.blocks, named or size.blocks) >= min(cap, 2 * first)


@given(st.integers(500, 50_000), st.integers(1, 50), st.integers(1, 20_000))
def test_where_logs_lie_evenly_no_answer_is_too_large_once_the_limit_is_known(
    most_logs: int, per_block: int, first: int
) -> None:
    size, refused = RangeSize(blocks=first), []
    for turn in range(300):
        span = Span(0, size.blocks - 1)
        logs = len(span) * per_block
        if logs > most_logs:
            refused.append(turn)
            size.refused(span, TooMuch("query returned more", logs=most_logs))
        else:
            size.answered(span, logs)
    assert refused == list(range(len(refused))) or refused[-1] < 30
    fitting = most_logs // per_block
    assert size.blocks <= fitting
    if most_logs < TARGET_LOGS and fitting >= 20:
        assert size.blocks >= 0.8 * fitting


@given(st.integers(100, 50_000))
def test_a_limit_that_is_not_named_is_found_to_within_a_few_percent(cap: int) -> None:
    size, refused = RangeSize(), []
    for turn in range(600):
        span = Span(0, size.blocks - 1)
        if len(span) > cap:
            refused.append(turn)
            size.refused(span, TooMuch("block range is too wide"))
        else:
            size.answered(span, 0)
    assert 0.95 * cap - 1 <= size.blocks <= cap
    assert len(refused) <= 16
