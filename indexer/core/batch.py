"""From checked logs to rows: the hot path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from indexer.core.adminroles import admin_changes
from indexer.core.arrays import Flags, Integers
from indexer.core.codec import codec_for
from indexer.core.columnar import Layout, encode_columns, layout_of
from indexer.core.logcolumns import Kind, LogColumns
from indexer.core.logs import RangeLogs
from indexer.core.malformed import Malformed
from indexer.core.model import BlockId, Encoded, TableRows, UndecodedLog
from indexer.core.rowstart import ROW_START_TYPE, START_FIELDS, fill_row_start
from indexer.core.schema import TableSpec
from indexer.core.source import Source

#: From so many logs of one table on, making rows at once is cheaper than one by one.
COLUMNAR_FROM = 32


class Decoder:
    """Makes rows of the logs of a fixed set of sources; safe to use from several threads.

    A log belongs to every source with its address, first topic and number of topics. Where there is none, it
    belongs to the sources of anonymous events with its address and number of topics.
    """

    def __init__(self, sources: Sequence[Source], others: Sequence[Source] = ()) -> None:
        """Rows are made for the sources only; logs of the others are recognised, and left alone.

        That keeps a log of another source (of the same address and first topic) from being called malformed,
        and one that no source can read from being reported by more than one of them.
        """
        self.sources = tuple(sources)
        self.others = tuple(others)
        self._wanted = frozenset(source.id for source in self.sources)
        self._tables = {_key(source.table): _Table(source.table) for source in self.sources}
        self._named: dict[Kind, list[Source]] = defaultdict(list)
        self._anonymous: dict[tuple[bytes, int], list[Source]] = defaultdict(list)
        self._by_topic: dict[tuple[bytes, bytes], list[Source]] = defaultdict(list)
        for source in sorted(self.sources + self.others, key=lambda each: each.id):
            event = source.event
            if event.topic0 is None:
                self._anonymous[source.address, event.topic_count].append(source)
            else:
                self._named[source.address, event.topic0, event.topic_count].append(source)
                self._by_topic[source.address, event.topic0].append(source)

    def encode(self, logs: RangeLogs) -> Encoded:
        """The rows of the sources' tables, and the logs that could not be made one or only with loss.

        No log makes it raise: whatever is wrong with one is a reason in the result.

        Raises:
            ValueError: the time of a block is not known yet; headers are to be added to the logs first.
        """
        if logs.columns is None:
            return Encoded((), (), {}, {})
        if logs.untimed:
            raise ValueError(f"the times of {len(logs.untimed)} blocks of {logs.span} are not known")
        result = _Result(logs, logs.columns)
        ours = np.zeros(len(logs.columns.kinds), dtype=np.bool_)
        by_table: dict[tuple[str, str], dict[int, Source]] = defaultdict(dict)
        for code, kind in enumerate(logs.columns.kinds):
            for source in self._sources_of(kind):
                by_table[_key(source.table)][code] = source
                ours[code] = True
            if (puzzled := self._puzzled_by(kind)) is not None:
                ours[code] = True
                for log in np.flatnonzero(logs.columns.kind == code).tolist():
                    result.undecoded.append(result.undecoded_log(log, puzzled.id, "topic_count"))
        for key, source_of in by_table.items():
            self._tables[key].encode(result, source_of)
        changes = admin_changes(logs.columns, lambda kind: [source.id for source in self._sources_of(kind)])
        return replace(result.encoded(ours), admin_changes=changes)

    def _known(self, kind: Kind) -> list[Source]:
        """All sources, the others included, that a log of this kind belongs to."""
        address, topic0, count = kind
        if topic0 is not None and (named := self._named.get((address, topic0, count))):
            return named
        return self._anonymous.get((address, count), [])

    def _sources_of(self, kind: Kind) -> list[Source]:
        return [source for source in self._known(kind) if source.id in self._wanted]

    def _puzzled_by(self, kind: Kind) -> Source | None:
        """The source that reports a log with its first topic that has too many or too few of the others."""
        address, topic0, _ = kind
        if topic0 is None or self._known(kind):
            return None
        candidates = self._by_topic.get((address, topic0))
        return candidates[0] if candidates and candidates[0].id in self._wanted else None


@dataclass(slots=True)
class _Result:
    """What is made of one call's logs."""

    logs: RangeLogs
    columns: LogColumns
    #: The block time of each log, in Unix seconds.
    times: Integers = field(init=False)
    tables: list[TableRows] = field(default_factory=list)
    undecoded: list[UndecodedLog] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        times = np.array([self.logs.times[number] for number in self.logs.blocks], dtype=np.int64)
        starts = np.flatnonzero(np.diff(self.columns.numbers, prepend=-1))
        self.times = np.repeat(times, np.diff(starts, append=len(self.columns)))

    def undecoded_log(self, log: int, source_id: int, reason: str) -> UndecodedLog:
        columns = self.columns
        number = int(columns.numbers[log])
        return UndecodedLog(
            source_id=source_id,
            block_number=number,
            block_hash=self.logs.blocks[number],
            block_time=self.logs.times[number],
            log_index=int(columns.indexes[log]),
            transaction_hash=columns.transaction_hashes[log].tobytes(),
            transaction_index=int(columns.transaction_indexes[log]),
            address=columns.kinds[columns.kind[log]][0],
            topics=columns.topics_of(log),
            data=columns.data_of(log),
            reason=reason,
        )

    def encoded(self, ours: Flags) -> Encoded:
        """The result, given which kinds of logs are of our sources."""
        logs = self.logs
        numbers: Sequence[int] = list(logs.blocks)
        if not ours.all():
            numbers = np.unique(self.columns.numbers[ours[self.columns.kind]]).tolist()
        blocks = {BlockId(number, logs.blocks[number]): logs.times[number] for number in numbers}
        undecoded = sorted(self.undecoded, key=lambda log: (log.block_number, log.log_index, log.source_id))
        return Encoded(tuple(self.tables), tuple(undecoded), self.counts, blocks)


class _Table:
    """Makes the rows of one event table."""

    def __init__(self, table: TableSpec) -> None:
        self._table = table
        self._codec = codec_for(table.event)
        self._layout: Layout | None = layout_of(table.event)
        self._field_count = START_FIELDS + len(table.columns)

    def encode(self, result: _Result, source_of: Mapping[int, Source]) -> None:
        """Add the rows of the logs whose kind is one of these, each for its source."""
        columns = result.columns
        rows: Integers | None = None
        if len(source_of) < len(columns.kinds):
            chosen = np.zeros(len(columns.kinds), dtype=np.bool_)
            chosen[list(source_of)] = True
            rows = np.flatnonzero(chosen[columns.kind])
        count = len(columns) if rows is None else len(rows)
        parts: list[bytes] = []
        tally = np.zeros(len(columns.kinds), dtype=np.int64)
        left = np.arange(count) if rows is None else rows
        if self._layout is not None and count >= COLUMNAR_FROM:
            made = encode_columns(self._layout, columns, result.times, rows)
            parts.append(made.payload)
            tally += np.bincount(columns.kind[left[made.written]], minlength=len(tally))
            left = left[~made.written]
        if len(left):
            parts += self._one_by_one(result, source_of, left, tally)
        written = int(tally.sum())
        for code, source in source_of.items():
            if tally[code]:
                result.counts[source.id] = result.counts.get(source.id, 0) + int(tally[code])
        if written:
            table = self._table
            payload = b"".join(parts)
            result.tables.append(TableRows(table.schema, table.name, table.column_names, written, payload))

    def _one_by_one(
        self, result: _Result, source_of: Mapping[int, Source], rows: Integers, tally: Integers
    ) -> list[bytes]:
        """The rows of these logs, in parts; counts them by kind, and notes what is not well formed."""
        columns, encode = result.columns, self._codec.columns
        starts = np.empty(len(rows), dtype=ROW_START_TYPE)
        starts["field_count"] = self._field_count
        fill_row_start(starts, columns, result.times, rows)
        size = ROW_START_TYPE.itemsize
        row_starts = starts.tobytes()
        parts: list[bytes] = []
        for place, (log, (topics, data)) in enumerate(
            zip(rows.tolist(), _arguments(columns, rows), strict=True)
        ):
            try:
                fields, lossy = encode(topics, data)
            except Malformed as malformed:
                source = source_of[int(columns.kind[log])]
                result.undecoded.append(result.undecoded_log(log, source.id, malformed.reason))
                continue
            parts.append(row_starts[size * place : size * place + size])
            parts.append(fields)
            code = int(columns.kind[log])
            tally[code] += 1
            if lossy:
                result.undecoded.append(result.undecoded_log(log, source_of[code].id, "lossy_text"))
        return parts


def _arguments(columns: LogColumns, rows: Integers) -> Iterator[tuple[tuple[bytes, ...], bytes]]:
    """Topics and data of each of these logs."""
    later = [column[rows].tobytes() for column in columns.later_topics]
    starts, ends = columns.data_starts[:-1][rows].tolist(), columns.data_starts[1:][rows].tolist()
    for place, (code, start, end) in enumerate(zip(columns.kind[rows].tolist(), starts, ends, strict=True)):
        _, topic0, count = columns.kinds[code]
        rest = [column[32 * place : 32 * place + 32] for column in later[: max(count - 1, 0)]]
        yield (() if topic0 is None else (topic0, *rest)), columns.data[start:end]


def _key(table: TableSpec) -> tuple[str, str]:
    return table.schema, table.name
