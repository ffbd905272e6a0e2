"""Series that write the text of their lines anew only when they changed."""

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
    #: The places of series whose lines are to be written anew.
    changed: set[int] = field(default_factory=set)


class NumberSeries:
    """One number under one set of labels."""

    __slots__ = ("_place", "_shared", "_start", "labels", "value")

    def __init__(self, labels: Mapping[str, str], shared: Shared, place: int) -> None:
        self.labels = labels
        self.value = 0.0
        self._shared = shared
        self._place = place
        #: Of its line, up to the number.
        self._start = ""

    def lines(self, name: str, chain: str) -> tuple[str, str]:
        """Its line in the text format and in OpenMetrics; the lock is held."""
        self._start = self._start or start_of(name, {CHAIN_LABEL: chain, **self.labels})
        text = f"{self._start}{number(self.value)}\n"
        return text, text

    def samples(self, name: str, chain: str) -> list[Sample]:
        """The same as values."""
        return [Sample(name, {CHAIN_LABEL: chain, **self.labels}, self.value)]

    def renamed(self) -> None:
        """The name of the chain is another one now."""
        self._start = ""

    def _put(self, value: float) -> None:
        if value != self.value:
            self.value = value
            self._shared.changed.add(self._place)


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

    __slots__ = ("_counts", "_exemplars", "_place", "_shared", "_sum", "bounds", "labels")

    def __init__(
        self, labels: Mapping[str, str], shared: Shared, place: int, bounds: tuple[float, ...]
    ) -> None:
        self.labels = labels
        #: Inclusive upper bounds, the last one infinite.
        self.bounds = bounds
        self._counts = [0] * len(bounds)
        self._sum = 0.0
        self._exemplars: list[Exemplar | None] = [None] * len(bounds)
        self._shared = shared
        self._place = place

    def observe(self, value: float, exemplar: Exemplar | None = None) -> None:
        """Count a value; the exemplar says where it was seen."""
        with self._shared.lock:
            bucket = bisect_left(self.bounds, value)
            self._counts[bucket] += 1
            self._sum += value
            self._exemplars[bucket] = exemplar or self._exemplars[bucket]
            self._shared.changed.add(self._place)

    def lines(self, name: str, chain: str) -> tuple[str, str]:
        """Its lines in the text format, and with exemplars in OpenMetrics; the lock is held."""
        plain, rich = [], []
        for sample in self.samples(name, chain):
            text = line(sample)
            plain.append(f"{text}\n")
            rich.append(f"{text}{_example(sample.exemplar)}\n")
        return "".join(plain), "".join(rich)

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

    def renamed(self) -> None:
        """The name of the chain is another one now."""


def line(sample: Sample) -> str:
    """A sample as both formats write it, without its end."""
    return start_of(sample.name, sample.labels) + number(sample.value)


def start_of(name: str, labels: Mapping[str, str]) -> str:
    """A line up to its number."""
    return f"{name}{_set_of(labels)} "


def number(value: float) -> str:
    """The number as Go writes it, which both formats follow."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def escaped(value: str) -> str:
    """The text as it stands between quotation marks."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _example(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    return f" # {_set_of(exemplar.labels)} {number(exemplar.value)} {exemplar.timestamp}"


def _set_of(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{key}="{escaped(value)}"' for key, value in sorted(labels.items())) + "}"
