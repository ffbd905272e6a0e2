"""Series that keep the text of their lines, so that a scrape joins what is there and writes only what changed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from threading import Lock

from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from indexer.metrics.spec import CHAIN_LABEL


@dataclass(slots=True)
class Shared:
    """What the series of one metric have in common."""

    #: Held while a number changes or is read: the journal counts from any thread.
    lock: Lock = field(default_factory=Lock)
    #: The lines of all series, with exemplars (True) and without (False), until one of them changes.
    bodies: dict[bool, str] = field(default_factory=dict)


class NumberSeries:
    """One number under one set of labels."""

    __slots__ = ("_line", "_shared", "labels", "value")

    def __init__(self, labels: Mapping[str, str], shared: Shared) -> None:
        self.labels = labels
        self.value = 0.0
        self._shared = shared
        self._line: str | None = None

    def text(self, name: str, chain: str, *, exemplars: bool) -> str:
        """Its line of the page; the lock is held."""
        del exemplars
        if self._line is None:
            self._line = line(name, chain, self.labels, self.value)
        return self._line

    def samples(self, name: str, chain: str) -> list[Sample]:
        """The same as values."""
        return [Sample(name, {CHAIN_LABEL: chain, **self.labels}, self.value)]

    def forget(self) -> None:
        """Write its line anew when it is next asked for."""
        self._line = None

    def _put(self, value: float) -> None:
        if value != self.value:
            self.value = value
            self._line = None
            self._shared.bodies.clear()


class CounterSeries(NumberSeries):
    """A number that only grows."""

    __slots__ = ()

    def inc(self, amount: float = 1.0) -> None:
        """Add to it. Raises: ValueError when the amount is negative."""
        if amount < 0:
            raise ValueError(f"a counter cannot go back by {-amount:g}")
        with self._shared.lock:
            self._put(self.value + amount)


class GaugeSeries(NumberSeries):
    """A number that goes up and down."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """Replace it."""
        with self._shared.lock:
            self._put(float(value))


class HistogramSeries:
    """How many of the observed values were at most so large, and one recent example for each bucket."""

    __slots__ = ("_counts", "_exemplars", "_shared", "_sum", "_texts", "bounds", "labels")

    def __init__(self, labels: Mapping[str, str], shared: Shared, bounds: tuple[float, ...]) -> None:
        self.labels = labels
        #: Inclusive upper bounds, the last one infinite.
        self.bounds = bounds
        self._counts = [0] * len(bounds)
        self._sum = 0.0
        self._exemplars: list[Exemplar | None] = [None] * len(bounds)
        self._shared = shared
        self._texts: dict[bool, str] = {}

    def observe(self, value: float, exemplar: Exemplar | None = None) -> None:
        """Count a value; the exemplar says where it was seen."""
        with self._shared.lock:
            bucket = bisect_left(self.bounds, value)
            self._counts[bucket] += 1
            self._sum += value
            self._exemplars[bucket] = exemplar or self._exemplars[bucket]
            self._texts.clear()
            self._shared.bodies.clear()

    def text(self, name: str, chain: str, *, exemplars: bool) -> str:
        """Its lines of the page; the lock is held."""
        text = self._texts.get(exemplars)
        if text is None:
            lines = []
            for sample in self.samples(name, chain):
                own = {key: value for key, value in sample.labels.items() if key != CHAIN_LABEL}
                shown = sample.exemplar if exemplars else None
                lines.append(line(sample.name, chain, own, sample.value, shown))
            text = self._texts[exemplars] = "".join(lines)
        return text

    def samples(self, name: str, chain: str) -> list[Sample]:
        """The same as values."""
        labels = {CHAIN_LABEL: chain, **self.labels}
        totals = list(accumulate(self._counts))
        return [
            *(
                Sample(f"{name}_bucket", {**labels, "le": number(bound)}, float(total), None, exemplar)
                for bound, total, exemplar in zip(self.bounds, totals, self._exemplars, strict=True)
            ),
            Sample(f"{name}_count", labels, float(totals[-1])),
            Sample(f"{name}_sum", labels, self._sum),
        ]

    def forget(self) -> None:
        """Write its lines anew when they are next asked for."""
        self._texts.clear()


def line(
    name: str, chain: str, labels: Mapping[str, str], value: float, exemplar: Exemplar | None = None
) -> str:
    """One sample as both formats write it; the exemplar is for OpenMetrics only."""
    text = f"{name}{_set_of({CHAIN_LABEL: chain, **labels})} {number(value)}"
    if exemplar is not None:
        text += f" # {_set_of(exemplar.labels)} {number(exemplar.value)} {exemplar.timestamp}"
    return text + "\n"


def number(value: float) -> str:
    """The number as Go writes it, which both formats follow."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def _set_of(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{key}="{escaped(value)}"' for key, value in sorted(labels.items())) + "}"


def escaped(value: str) -> str:
    """The text as it stands between quotation marks."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
