"""Undecoded logs as they came from the node, and whose they are under the sources of today."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import Span, UndecodedLog
from indexer.core.source import LogFilter, Source
from indexer.core.wire import WireLog


class Owners:
    """Tells which sources a log belongs to; the same rule as that of `indexer.core.batch.Decoder`."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._named: dict[tuple[bytes, bytes, int], list[Source]] = defaultdict(list)
        self._anonymous: dict[tuple[bytes, int], list[Source]] = defaultdict(list)
        for source in sources:
            event = source.event
            if event.topic0 is None:
                self._anonymous[source.address, event.topic_count].append(source)
            else:
                self._named[source.address, event.topic0, event.topic_count].append(source)

    def of(self, log: UndecodedLog) -> Sequence[Source]:
        """The sources whose rows or undecoded logs it makes; empty where no event has such topics."""
        count = len(log.topics)
        if count and (named := self._named.get((log.address, log.topics[0], count))):
            return named
        return self._anonymous.get((log.address, count), ())


def as_logs(entries: Iterable[UndecodedLog]) -> RangeLogs:
    """The entries' logs, each once, as if the node had just sent them.

    Raises:
        Inconsistent: they cannot be logs of one chain.
        ValueError: there are none.
    """
    logs = {(each.block_number, each.log_index): each for each in entries}
    if not logs:
        raise ValueError("no logs")
    numbers = [number for number, _ in logs]
    addresses = tuple(sorted({each.address for each in logs.values()}))
    wires = [_wire(each) for _, each in sorted(logs.items())]
    return check_range_logs(Span(min(numbers), max(numbers)), LogFilter(addresses, None), wires)


def _wire(log: UndecodedLog) -> WireLog:
    return WireLog(
        address="0x" + log.address.hex(),
        topics=["0x" + topic.hex() for topic in log.topics],
        data="0x" + log.data.hex(),
        block_number=hex(log.block_number),
        block_hash="0x" + log.block_hash.hex(),
        transaction_hash="0x" + log.transaction_hash.hex(),
        transaction_index=hex(log.transaction_index),
        log_index=hex(log.log_index),
        block_timestamp=hex(log.block_time),
    )
