"""The decision what to do next above finality."""

import pytest

from indexer.core.canonical import (
    Advance,
    Behind,
    Branch,
    Diverged,
    Idle,
    Window,
    elect,
    fork_among,
    lookback,
    next_step,
    require_linked,
)
from indexer.core.errors import Inconsistent
from indexer.core.model import BlockId, Header, Span


def block_hash(number: int, branch: str = "a") -> bytes:
    return f"{branch}{number}".encode().ljust(32, b".")


def header(number: int, branch: str = "a", parent: str | None = None) -> Header:
    return Header(
        number=number,
        hash=block_hash(number, branch),
        parent_hash=block_hash(number - 1, parent or branch),
        timestamp=number,
        base_fee_wei=None,
        gas_used=0,
        gas_limit=0,
        logs_bloom=b"",
        receipts_root=b"",
    )


def window(first: int, last: int) -> Window:
    return Window(tuple(header(number).id for number in range(first, last + 1)))


def test_a_window_is_never_empty_and_has_no_holes() -> None:
    with pytest.raises(ValueError, match="at least the cursor"):
        Window(())
    with pytest.raises(ValueError, match="no holes"):
        Window((header(3).id, header(5).id))


def test_the_head_being_the_cursor_is_nothing_to_do() -> None:
    assert next_step(window(5, 10), header(10), 16) == Idle()


def test_the_child_of_the_cursor_is_read() -> None:
    assert next_step(window(5, 10), header(11), 16) == Advance(Span(11, 11))


def test_a_far_head_is_approached_in_bounded_steps() -> None:
    assert next_step(window(5, 10), header(13), 16) == Advance(Span(11, 13))
    assert next_step(window(5, 10), header(100), 16) == Advance(Span(11, 26))


def test_a_sibling_of_the_cursor_at_the_same_height_is_a_divergence() -> None:
    assert next_step(window(5, 10), header(10, "b", parent="a"), 16) == Diverged()


def test_a_next_block_with_another_parent_is_a_divergence() -> None:
    assert next_step(window(5, 10), header(11, "b"), 16) == Diverged()


def test_a_shorter_branch_of_another_chain_is_a_divergence() -> None:
    assert next_step(window(5, 10), header(8, "b"), 16) == Diverged()


def test_a_head_that_is_one_of_our_older_blocks_contradicts_nothing() -> None:
    assert next_step(window(5, 10), header(8), 16) == Behind(header(8).id)


def test_a_head_below_the_window_is_a_node_that_fell_behind() -> None:
    assert next_step(window(5, 10), header(2, "b"), 16) == Behind(header(2, "b").id)


def test_headers_link_by_parent_hash_and_number() -> None:
    cursor = header(10).id
    require_linked(cursor, [header(11), header(12)])
    with pytest.raises(Inconsistent, match="block 12 is not a child of block 10"):
        require_linked(cursor, [header(12)])
    with pytest.raises(Inconsistent, match="block 12 is not a child of block 11"):
        require_linked(cursor, [header(11), header(12, "b")])


def test_the_fork_is_the_newest_block_in_common() -> None:
    assert fork_among(window(5, 10), [header(9, "b"), header(7), header(8), header(10, "b")]) == header(8).id
    assert fork_among(window(5, 10), [header(9, "b")]) is None


def test_looking_back_goes_down_to_the_base_and_no_further() -> None:
    ours = window(5, 10)
    assert lookback(ours, 11, 4) == Span(7, 10)
    assert lookback(ours, 7, 16) == Span(5, 6)
    assert lookback(ours, 5, 16) is None


def test_a_window_is_rewound_extended_and_pruned_by_number() -> None:
    ours = window(5, 10)
    assert ours.rewound(header(7).id) == window(5, 7)
    assert ours.rewound(header(9).id).extended([header(10).id]) == ours
    assert ours.pruned(header(8).id) == window(8, 10)
    assert ours.at(4) is None
    assert ours.at(11) is None
    assert ours.at(5) == BlockId(5, block_hash(5))


def branch(height: int, *, base: bool | None = True, cursor: bool | None = True) -> Branch:
    return Branch(BlockId(height, block_hash(height)), base, cursor)


def test_of_several_branches_the_highest_is_followed_and_of_equals_the_preferred_one() -> None:
    assert elect([branch(10, cursor=False), branch(12, cursor=False)]) == 1
    assert elect([branch(12, cursor=False), branch(12, cursor=False)]) == 0
    assert elect([branch(9, cursor=None), branch(8, cursor=None)]) == 0


def test_the_branch_that_we_are_on_is_left_only_for_one_that_is_clearly_higher() -> None:
    assert elect([branch(10, cursor=False), branch(10)]) == 1
    assert elect([branch(11, cursor=False), branch(10)]) == 1
    assert elect([branch(12, cursor=False), branch(10)]) == 0
    assert elect([branch(12, cursor=False), branch(10), branch(11)]) == 2


def test_a_branch_without_what_was_final_is_never_followed_however_high() -> None:
    assert elect([branch(99, base=False, cursor=False), branch(7, cursor=None)]) == 1
    assert elect([branch(99, base=False, cursor=False), branch(3, base=None, cursor=None)]) is None
    assert elect([]) is None
