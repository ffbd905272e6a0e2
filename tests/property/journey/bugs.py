"""Mistakes that somebody could make in the indexer, to be planted on purpose.

A test that passes with one of them in place is worth nothing. Each is told by what is wrong with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from indexer.core import canonical
from indexer.core.batch import Decoder
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import Encoded, Header
from indexer.core.wire import header_of
from indexer.rpc import calls, ranges
from indexer.store import coverage, rewind, rows, writer
from indexer.sync import backfill, follow
from tests.property.journey import stories
from tests.property.journey.stories import Story
from tests.property.journey.world import LATECOMER

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Bug:
    """A mistake, and the story that must not survive it."""

    name: str
    plant: Plant
    story: Story
    #: What the failure says.
    symptom: str


def _parent_is_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Header, "follows", lambda self, block: self.number == block.number + 1)


def _head_is_compared_by_number_only(patch: pytest.MonkeyPatch) -> None:
    true_step = canonical.next_step

    def next_step(window: Any, head: Header, at_most: int) -> object:
        return canonical.Idle() if head.number == window.cursor.number else true_step(window, head, at_most)

    patch.setattr(follow, "next_step", next_step)


def _rewind_keeps_rows(patch: pytest.MonkeyPatch) -> None:
    async def keep(self: object) -> Counter[int]:
        return Counter()

    patch.setattr(rewind.Rewind, "_remove_events", keep)


def _rewind_keeps_transactions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        rewind, "REMOVE_TRANSACTIONS", "select source_ids from indexer.transaction where $1::bigint is null"
    )


def _rewind_keeps_undecoded_logs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rewind, "REMOVE_UNDECODED", "delete from indexer.undecoded_log where $1::bigint is null")


def _rewind_stops_above_block_0(patch: pytest.MonkeyPatch) -> None:
    true_lookback = canonical.lookback

    def lookback(window: Any, below: int, width: int) -> object:
        span = true_lookback(window, below, width)
        if span is None or span.last == 0:
            return None
        return replace(span, first=max(1, span.first))

    patch.setattr(canonical, "lookback", lookback)


def _an_event_is_dropped(patch: pytest.MonkeyPatch) -> None:

    def check(span: Any, wanted: Any, logs: list[Any]) -> RangeLogs:
        return check_range_logs(span, wanted, logs[:-1])

    patch.setattr("indexer.rpc.ranges.check_range_logs", check)


def _the_hash_of_a_range_is_not_checked(patch: pytest.MonkeyPatch) -> None:

    def with_headers(self: RangeLogs, headers: Iterable[Header]) -> RangeLogs:
        times = {header.number: header.timestamp for header in headers}
        return replace(self, times={**self.times, **times})

    def check(span: Any, wanted: Any, logs: list[Any]) -> RangeLogs:
        # Without a log in its last block nothing of a range is compared with that block's header.
        return check_range_logs(span, wanted, [log for log in logs if int(log.block_number, 16) != span.last])

    patch.setattr(RangeLogs, "with_headers", with_headers)
    patch.setattr("indexer.rpc.ranges.check_range_logs", check)


def _the_end_of_a_range_is_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    async def ask(endpoint: Any, span: Any, wanted: Any, _: object) -> tuple[Header, list[Any]]:
        head, end, logs = await endpoint.ask_all(
            [calls.header_at("latest"), calls.header_at(span.last), calls.logs_in(span, wanted)]
        )
        header = header_of(end or head)
        return header if end else replace(header, number=span.last, hash=b""), logs

    patch.setattr(ranges, "_ask", ask)


def _coverage_is_claimed_without_rows(patch: pytest.MonkeyPatch) -> None:
    true_fill = writer.Writer.fill

    async def fill(self: Any, span: Any, source_ids: Sequence[int], encoded: Encoded, **_: object) -> None:
        await true_fill(self, span, source_ids, Encoded((), (), {}, {}))

    patch.setattr(writer.Writer, "fill", fill)


def _a_reorg_leaves_coverage_as_it_was(patch: pytest.MonkeyPatch) -> None:
    async def forget_nothing(connection: object, first: int) -> None:
        return None

    patch.setattr(coverage, "forget_from", forget_nothing)


def _a_reorg_lets_a_source_without_tail_be_followed(patch: pytest.MonkeyPatch) -> None:
    true_case = "case when followed_from is not null then least(followed_from, $1) end"
    assert true_case in coverage.FORGET_FROM
    patch.setattr(
        coverage, "FORGET_FROM", coverage.FORGET_FROM.replace(true_case, "least(followed_from, $1)")
    )


def _the_window_is_believed_after_a_failure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(follow.Follower, "step", follow.Follower._step)


def _history_of_a_new_contract_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    true_gaps = backfill.gaps

    def gaps(wanted: Any, covered: Any, within: Any) -> dict[int, Any]:
        found = true_gaps(wanted, covered, within)
        new = {source.id for source in wanted.sources if source.contract == LATECOMER.name}
        return {each: spans for each, spans in found.items() if each not in new}

    patch.setattr(backfill, "gaps", gaps)


def _an_overload_is_left_out(patch: pytest.MonkeyPatch) -> None:
    true_init = Decoder.__init__

    def forget(self: Any, sources: Any, others: Any = ()) -> None:
        true_init(
            self,
            [each for each in sources if each.event.name != "Named" or len(each.event.params) == 3],
            others,
        )

    patch.setattr(Decoder, "__init__", forget)


def _failed_transactions_are_left_out(patch: pytest.MonkeyPatch) -> None:
    true_add = rows.add_transactions

    async def add(connection: Any, transactions: Sequence[Any], sources: Any) -> Counter[int]:
        return await true_add(connection, [each for each in transactions if each.success], sources)

    patch.setattr(rows, "add_transactions", add)


def _undecoded_logs_are_dropped(patch: pytest.MonkeyPatch) -> None:
    async def drop(connection: object, logs: object) -> None:
        return None

    patch.setattr(rows, "add_undecoded", drop)


def _a_jump_forgets_what_was_replaced_meanwhile(patch: pytest.MonkeyPatch) -> None:
    async def jump(self: Any, node: Any, window: Any, finalized: Header, head: Header) -> bool:
        await self._writer.start_tail(window.cursor, finalized)
        self._window = canonical.Window((finalized.id,))
        return True

    async def reconcile(self: object, head: Header) -> None:
        return None

    patch.setattr(follow.Follower, "_jump", jump)
    patch.setattr(follow.Follower, "reconcile", reconcile)


BUGS: tuple[Bug, ...] = (
    Bug(
        "parent is not checked",
        _parent_is_not_checked,
        stories.a_longer_branch_wins_between_two_looks,
        r"event .* is missing",
    ),
    Bug(
        "head is compared by number only",
        _head_is_compared_by_number_only,
        stories.the_tip_is_replaced_at_the_same_height,
        r"not \[1\]",
    ),
    Bug(
        "rewind keeps rows",
        _rewind_keeps_rows,
        stories.a_shorter_branch_of_empty_blocks_wins,
        r"duplicate key|does not belong there",
    ),
    Bug(
        "rewind keeps transactions",
        _rewind_keeps_transactions,
        stories.a_shorter_branch_of_empty_blocks_wins,
        r"transaction",
    ),
    Bug(
        "rewind keeps undecoded logs",
        _rewind_keeps_undecoded_logs,
        stories.a_shorter_branch_of_empty_blocks_wins,
        r"undecoded log .* does not belong there",
    ),
    Bug(
        "no rewind to block 0",
        _rewind_stops_above_block_0,
        stories.everything_above_the_genesis_block_is_replaced,
        r"none of our blocks",
    ),
    Bug(
        "an event is dropped",
        _an_event_is_dropped,
        stories.history_is_filled_beside_the_tail,
        r"event .* is missing",
    ),
    Bug(
        "backfill does not look at the hash",
        _the_hash_of_a_range_is_not_checked,
        stories.a_range_is_answered_from_a_branch_that_lost,
        r"event .* is missing",
    ),
    Bug(
        "backfill believes a node that fell behind",
        _the_end_of_a_range_is_not_asked_for,
        stories.the_node_falls_behind_while_history_is_filled,
        r"event .* is missing",
    ),
    Bug(
        "coverage is claimed without rows",
        _coverage_is_claimed_without_rows,
        stories.history_is_filled_beside_the_tail,
        r"event .* is missing",
    ),
    Bug(
        "the window is believed after a failure",
        _the_window_is_believed_after_a_failure,
        stories.a_commit_is_interrupted_and_the_process_goes_on,
        r"cursor",
    ),
    Bug(
        "a reorg leaves coverage as it was",
        _a_reorg_leaves_coverage_as_it_was,
        stories.a_contract_is_added_to_a_running_database,
        r"does not belong there",
    ),
    Bug(
        "a reorg makes a contract that is left out count as followed",
        _a_reorg_lets_a_source_without_tail_be_followed,
        stories.a_reorg_comes_while_a_contract_is_left_out,
        r"event .* is missing",
    ),
    Bug(
        "history of a new contract is forgotten",
        _history_of_a_new_contract_is_forgotten,
        stories.a_contract_is_added_to_a_running_database,
        r"blocks not covered",
    ),
    Bug(
        "an overload is left out",
        _an_overload_is_left_out,
        stories.history_is_filled_beside_the_tail,
        r"stored is",
    ),
    Bug(
        "failed transactions are left out",
        _failed_transactions_are_left_out,
        stories.history_is_filled_beside_the_tail,
        r"transaction .* is missing",
    ),
    Bug(
        "undecoded logs are dropped",
        _undecoded_logs_are_dropped,
        stories.history_is_filled_beside_the_tail,
        r"undecoded log .* is missing",
    ),
    Bug(
        "a jump forgets what was replaced meanwhile",
        _a_jump_forgets_what_was_replaced_meanwhile,
        stories.the_tail_jumps_over_a_long_absence,
        r"does not belong|cursor|block",
    ),
)
