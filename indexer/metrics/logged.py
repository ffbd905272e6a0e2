"""What the program's own log tells about itself: how many lines, and what became of the copies for Logstash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from indexer.metrics import labels
from indexer.metrics import specs_logs as logs
from indexer.metrics.registry import Instruments
from indexer.metrics.spec import MetricSpec


class Shipped(Protocol):
    """The figures of what carries lines to Logstash; they only grow, but for what waits."""

    @property
    def sent(self) -> int: ...
    @property
    def dropped(self) -> Mapping[str, int]: ...
    @property
    def queued(self) -> int: ...


class LogMetrics:
    """Counts lines in plain integers, which become the counters' values at each scrape.

    The counters themselves have locks that a thread cannot take twice, and the collector of garbage may journal
    at any moment: while one of them is held, too.
    """

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._records = dict.fromkeys(labels.LEVELS, 0)
        self._exported: dict[tuple[str, ...], int] = {}
        self._shipped: Shipped | None = None
        instruments.before_scrape(self._catch_up)
        instruments.read(logs.QUEUED, lambda: 0 if self._shipped is None else self._shipped.queued)

    def record(self, level: str) -> None:
        """A line was written."""
        self._records[level if level in self._records else labels.OTHER] += 1

    def shipping(self, shipped: Shipped) -> None:
        """Read from there, at each scrape, what became of the lines for Logstash."""
        self._shipped = shipped

    def _catch_up(self) -> None:
        for level, count in self._records.items():
            self._grow(logs.RECORDS, count, level)
        self._grow(logs.SENT, 0 if self._shipped is None else self._shipped.sent)
        for reason in labels.LOG_DROPS:
            self._grow(logs.DROPPED, 0 if self._shipped is None else self._shipped.dropped[reason], reason)

    def _grow(self, spec: MetricSpec, count: int, *values: str) -> None:
        key = (spec.name, *values)
        counter = self._instruments.counter(spec)
        (counter.labels(*values) if values else counter).inc(count - self._exported.get(key, 0))
        self._exported[key] = count
