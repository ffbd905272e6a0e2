"""Mistakes that somebody could make in the indexer, planted in every process on request.

A simulation that passes with one of them in place would be worth nothing. Nothing in the program knows of them: the
process that was forked alters itself before it calls the program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from indexer.core.batch import Decoder
from indexer.core.model import Encoded, Header
from indexer.rpc import blocks, proving, ranges
from indexer.store import coverage, rewind, rows, writer
from indexer.store.database import Database
from indexer.store.leadership import WRITER_NAME
from indexer.sync import backfill, follow

NOTHING = Encoded((), (), {}, {})


def plant(name: str) -> None:
    """Make this process's program wrong.

    Raises: KeyError: no such mistake is known.
    """
    BUGS[name]()


def _parent_is_not_checked() -> None:
    _set(Header, "follows", lambda self, block: self.number == block.number + 1)


def _rewind_keeps_rows() -> None:
    async def keep(self: object) -> Counter[int]:
        return Counter()

    _set(rewind.Rewind, "_remove_events", keep)


def _rewind_keeps_undecoded_logs() -> None:
    _set(rewind, "REMOVE_UNDECODED", "delete from indexer.undecoded_log where $1::bigint is null")


def _reorg_is_not_journalled() -> None:
    async def forget(self: Any, *_: object) -> None:
        await self._connection.execute("delete from indexer.orphaned_event where reorg_id = $1", self._id)
        await self._connection.execute("delete from indexer.reorg where id = $1", self._id)

    _set(rewind.Rewind, "journal", forget)


def _orphans_are_not_kept() -> None:
    true_journal = rewind.Rewind.journal

    async def forget(self: Any, *arguments: Any) -> None:
        await true_journal(self, *arguments)
        await self._connection.execute("delete from indexer.orphaned_event where reorg_id = $1", self._id)

    _set(rewind.Rewind, "journal", forget)


def _an_event_is_dropped() -> None:
    true_check: Any = _get(ranges, "check_range_logs")

    def check(span: Any, wanted: Any, logs: list[Any], *more: Any) -> Any:
        return true_check(span, wanted, logs[:-1], *more)

    _set(ranges, "check_range_logs", check)


def _coverage_is_claimed_without_rows() -> None:
    true_fill = writer.Writer.fill

    async def fill(self: Any, span: Any, source_ids: Sequence[int], encoded: Encoded, **_: object) -> None:
        del encoded
        await true_fill(self, span, source_ids, NOTHING)

    _set(writer.Writer, "fill", fill)


def _rows_are_committed_before_their_coverage() -> None:
    async def fill(self: Any, span: Any, source_ids: Sequence[int], encoded: Encoded, **_: object) -> None:
        async with self.transaction() as connection:
            await rows.copy_tables(connection, encoded.tables)
            await rows.add_blocks_with_rows(connection, encoded.blocks)
            await rows.add_undecoded(connection, encoded.undecoded)
        async with self.transaction() as connection:
            await coverage.claim(connection, span, source_ids, encoded.counts)

    _set(writer.Writer, "fill", fill)


def _cursor_moves_before_the_rows_are_written() -> None:
    async def append(self: Any, expected: Any, blocks: Sequence[Any]) -> None:
        async with self.transaction() as connection:
            await writer._move_cursor(connection, expected, blocks[-1].header.id)
        async with self.transaction() as connection:
            await self._add(connection, blocks)

    _set(writer.Writer, "append", append)


def _epoch_is_not_compared() -> None:
    @asynccontextmanager
    async def transaction(self: Any) -> AsyncIterator[Any]:
        database: Database = self._database
        async with database.transaction() as connection:
            await connection.fetchval(writer.FENCE, f"{WRITER_NAME} {self._epoch}")
            yield connection

    _set(writer.Writer, "transaction", transaction)


def _receipts_are_not_proved() -> None:
    async def believe(*_: object, **__: object) -> bool:
        return True

    _set(proving, "require_proved", believe)
    _set(blocks, "require_proved", believe)


def _undecoded_logs_are_dropped() -> None:
    async def drop(connection: object, logs: object) -> None:
        del connection, logs

    _set(rows, "add_undecoded", drop)


def _failed_transactions_are_left_out() -> None:
    true_add = rows.add_transactions

    async def add(connection: Any, transactions: Sequence[Any], sources: Any) -> Counter[int]:
        return await true_add(connection, [each for each in transactions if each.success], sources)

    _set(rows, "add_transactions", add)


def _an_overload_is_left_out() -> None:
    true_init = Decoder.__init__

    def forget(self: Any, sources: Any, others: Any = ()) -> None:
        kept = [each for each in sources if each.event.name != "Named" or len(each.event.params) == 3]
        true_init(self, kept, others)

    _set(Decoder, "__init__", forget)


def _history_of_a_new_contract_is_forgotten() -> None:
    true_gaps = backfill.gaps

    def gaps(wanted: Any, covered: Any, within: Any) -> dict[int, Any]:
        found = true_gaps(wanted, covered, within)
        new = {source.id for source in wanted.sources if source.contract == "Latecomer"}
        return {each: spans for each, spans in found.items() if each not in new}

    _set(backfill, "gaps", gaps)


def _the_window_is_believed_after_a_failure() -> None:
    _set(follow.Follower, "step", follow.Follower._step)


def _block_time_is_off_by_a_second() -> None:
    true_encode = Decoder.encode

    def encode(self: Any, logs: Any) -> Any:
        later = {number: time + 1 if number % 7 == 0 else time for number, time in logs.times.items()}
        return true_encode(self, replace(logs, times=later))

    _set(Decoder, "encode", encode)


def _get(owner: Any, name: str) -> Any:
    if not hasattr(owner, name):
        raise AttributeError(f"{owner} has no {name} any more: plant the mistake where it is now")
    return getattr(owner, name)


def _set(owner: Any, name: str, value: object) -> None:
    _get(owner, name)
    setattr(owner, name, value)


BUGS: Mapping[str, Callable[[], None]] = {
    bug.__name__.removeprefix("_").replace("_", "-"): bug
    for bug in (
        _parent_is_not_checked,
        _rewind_keeps_rows,
        _rewind_keeps_undecoded_logs,
        _reorg_is_not_journalled,
        _orphans_are_not_kept,
        _an_event_is_dropped,
        _coverage_is_claimed_without_rows,
        _rows_are_committed_before_their_coverage,
        _cursor_moves_before_the_rows_are_written,
        _epoch_is_not_compared,
        _receipts_are_not_proved,
        _undecoded_logs_are_dropped,
        _failed_transactions_are_left_out,
        _an_overload_is_left_out,
        _history_of_a_new_contract_is_forgotten,
        _the_window_is_believed_after_a_failure,
        _block_time_is_off_by_a_second,
    )
}
