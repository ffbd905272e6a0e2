"""The logs of a range of blocks, checked: what does not fit together never becomes a value of this type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from indexer.core.answeredlogs import AnsweredLogs
from indexer.core.arrays import Integers
from indexer.core.errors import Inconsistent
from indexer.core.logcolumns import Kind, LogColumns, are_in_order, block_columns, log_columns, log_indexes
from indexer.core.model import Header, Span
from indexer.core.source import LogFilter
from indexer.core.wire import WireLog

_CHECKED = object()
#: The JSON of a log with three topics and without its data.
_LOG_BYTES = 640


@dataclass(frozen=True, slots=True, eq=False)
class RangeLogs:
    """The logs of a span in chain order; only `check_range_logs` builds it.

    All are of blocks of the span and of the filter that was asked for, none is there twice or removed, and
    all logs of a block name the same block hash.
    """

    span: Span
    logs: Sequence[WireLog]
    #: The hash of every block that has a log here, ascending.
    blocks: Mapping[int, bytes]
    #: The time of those of them that are known.
    times: Mapping[int, int]
    #: The same logs as columns; None when there are none.
    columns: LogColumns | None = field(repr=False)
    proof: object = field(repr=False)

    def __post_init__(self) -> None:
        if self.proof is not _CHECKED:
            raise TypeError("logs become RangeLogs through check_range_logs only")

    @property
    def text_bytes(self) -> int:
        """About how long their JSON was."""
        if self.columns is None:
            return 0
        return len(self.columns) * _LOG_BYTES + 2 * len(self.columns.data)

    @property
    def untimed(self) -> list[int]:
        """Block numbers whose time is still to be read from the header, ascending."""
        return [number for number in self.blocks if number not in self.times]

    def with_headers(self, headers: Iterable[Header]) -> RangeLogs:
        """The same logs with the headers' times added; headers of blocks without logs here are passed over.

        Raises:
            Inconsistent: a header has another hash or time than the logs of its block.
        """
        times = dict(self.times)
        for header in headers:
            block_hash = self.blocks.get(header.number)
            if block_hash is None:
                continue
            if block_hash != header.hash:
                raise Inconsistent(
                    f"block {header.id} is not the one whose logs came, which is 0x{block_hash.hex()[:12]}…"
                )
            if times.setdefault(header.number, header.timestamp) != header.timestamp:
                raise Inconsistent(
                    f"block {header.number} is of {header.timestamp}, but its logs say {times[header.number]}"
                )
        return replace(self, times=times)

    def of_block(self, number: int) -> Sequence[WireLog]:
        """The logs of one block, in order."""
        if self.columns is None:
            return []
        first, end = np.searchsorted(self.columns.numbers, (number, number + 1))
        return self.logs[first:end]


def check_range_logs(span: Span, filter: LogFilter, logs: Sequence[WireLog]) -> RangeLogs:  # noqa: A002
    """The logs in chain order, if they can be an honest answer to the filter for the span.

    Raises:
        Inconsistent: they cannot; the message says which log contradicts what.
    """
    if not logs:
        return RangeLogs(span, [], {}, {}, None, _CHECKED)
    if isinstance(logs, AnsweredLogs):
        blocks, columns = logs.scanned.blocks, logs.scanned.columns
        _check_span(span, columns.numbers)
    else:
        blocks = block_columns(logs)
        logs, numbers, indexes = _in_order(logs, blocks.numbers, log_indexes(logs))
        _check_span(span, numbers)
        if True in [log.removed for log in logs]:
            raise Inconsistent(f"a log of the blocks {span} is marked as removed by a reorg")
        columns = log_columns(logs, numbers, indexes)
    _check_filter(filter, columns.kinds)
    hashes = dict(sorted(blocks.hashes.items()))
    return RangeLogs(span, logs, hashes, blocks.times, columns, _CHECKED)


def _in_order(
    logs: Sequence[WireLog], numbers: Integers, indexes: Integers
) -> tuple[Sequence[WireLog], Integers, Integers]:
    """The logs, their block numbers and their indexes in chain order."""
    if are_in_order(numbers, indexes):
        return logs, numbers, indexes
    order = np.lexsort((indexes, numbers))
    numbers, indexes = numbers[order], indexes[order]
    twice = np.flatnonzero((np.diff(numbers) == 0) & (np.diff(indexes) == 0))
    if len(twice):
        raise Inconsistent(f"log {indexes[twice[0]]} of block {numbers[twice[0]]} came twice")
    return [logs[position] for position in order.tolist()], numbers, indexes


def _check_span(span: Span, numbers: Integers) -> None:
    if numbers[0] < span.first or numbers[-1] > span.last:
        raise Inconsistent(f"logs of the blocks {numbers[0]} to {numbers[-1]} came for the blocks {span}")


def _check_filter(filter: LogFilter, kinds: Iterable[Kind]) -> None:  # noqa: A002
    addresses = frozenset(filter.addresses)
    topics = None if filter.topic0s is None else frozenset(filter.topic0s)
    for address, topic0, _ in kinds:
        if address not in addresses:
            raise Inconsistent(f"a log of 0x{address.hex()} came, which was not asked for")
        if topics is not None and topic0 not in topics:
            shown = "no topic" if topic0 is None else f"the first topic 0x{topic0.hex()[:12]}…"
            raise Inconsistent(f"a log of 0x{address.hex()} with {shown} came, which was not asked for")
