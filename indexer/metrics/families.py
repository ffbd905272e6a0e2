"""Metrics with all their series, as a part of the page and as values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Sample

from indexer.metrics.series import (
    CounterSeries,
    GaugeSeries,
    HistogramSeries,
    NumberSeries,
    Shared,
    escaped,
    line,
)
from indexer.metrics.spec import CHAIN_LABEL, MetricSpec

Series = TypeVar("Series", bound="NumberSeries | HistogramSeries")


class Family(Generic[Series]):
    """One metric of the catalogue; a series begins, at 0, when its labels are first named."""

    def __init__(self, spec: MetricSpec, make: Callable[[Mapping[str, str], Shared, int], Series]) -> None:
        self.spec = spec
        self._make = make
        self._shared = Shared()
        self._series: dict[tuple[str, ...], Series] = {}
        self._chain: str | None = None
        #: The lines of each series in the text format and in OpenMetrics, in the order of the series.
        self._lines: list[tuple[str, str]] = []
        #: All of them together, by whether they are OpenMetrics, as long as nothing changes.
        self._bodies: dict[bool, str] = {}
        if not spec.labels:
            self.labels()

    def labels(self, *values: str) -> Series:
        """The series with these values of the labels, in the order of the catalogue.

        Raises: ValueError when there are more or fewer values than labels.
        """
        series = self._series.get(values)
        return self._begin(values) if series is None else series

    def text(self, chain: str, *, openmetrics: bool) -> str:
        """Its part of the page."""
        return self._heading(openmetrics=openmetrics) + self._body(chain, openmetrics=openmetrics)

    def metric(self, chain: str) -> Metric:
        """The same as values."""
        found = Metric(self._family_name(openmetrics=True), self.spec.help, self.spec.kind)
        found.samples = self._samples(chain)
        return found

    def _samples(self, chain: str) -> list[Sample]:
        with self._shared.lock:
            every = tuple(self._series.values())
            return [sample for series in every for sample in series.samples(self.spec.name, chain)]

    def _begin(self, values: tuple[str, ...]) -> Series:
        if len(values) != len(self.spec.labels):
            raise ValueError(f"{self.spec.name} has labels {self.spec.labels}, not {len(values)} of them")
        labels = dict(zip(self.spec.labels, values, strict=True))
        with self._shared.lock:
            if values not in self._series:
                place = len(self._lines)
                self._series[values] = self._make(labels, self._shared, place)
                self._lines.append(("", ""))
                self._shared.changed.add(place)
            return self._series[values]

    def _body(self, chain: str, *, openmetrics: bool) -> str:
        with self._shared.lock:
            self._write_changed(chain)
            body = self._bodies.get(openmetrics)
            if body is None:
                body = self._bodies[openmetrics] = "".join([lines[openmetrics] for lines in self._lines])
            return body

    def _write_changed(self, chain: str) -> None:
        changed = self._shared.changed
        every = tuple(self._series.values())
        if chain != self._chain:
            self._chain = chain
            changed.update(range(len(every)))
            for series in every:
                series.renamed()
        if changed:
            for place in changed:
                self._lines[place] = every[place].lines(self.spec.name, chain)
            changed.clear()
            self._bodies.clear()

    def _heading(self, *, openmetrics: bool) -> str:
        name = self._family_name(openmetrics=openmetrics)
        help_ = self.spec.help.replace("\\", "\\\\").replace("\n", "\\n")
        if openmetrics:
            help_ = escaped(self.spec.help)
        return f"# HELP {name} {help_}\n# TYPE {name} {self.spec.kind}\n"

    def _family_name(self, *, openmetrics: bool) -> str:
        return self.spec.name.removesuffix("_total") if openmetrics else self.spec.name


class Counter(Family[CounterSeries]):
    """A counter of the catalogue."""

    def __init__(self, spec: MetricSpec) -> None:
        super().__init__(spec, CounterSeries)

    def inc(self, amount: float = 1.0) -> None:
        """Add to the only series of a counter without labels."""
        self.labels().inc(amount)


class Gauge(Family[GaugeSeries]):
    """A gauge of the catalogue."""

    def __init__(self, spec: MetricSpec) -> None:
        super().__init__(spec, GaugeSeries)
        self._reading: Callable[[], float | None] | None = None

    def set(self, value: float) -> None:
        """Replace the only series of a gauge without labels."""
        self.labels().set(value)

    def read(self, value: Callable[[], float | None]) -> None:
        """Compute it at each scrape from what is in memory, from now on; while that is None there is no series."""
        if self.spec.labels:
            raise ValueError(f"{self.spec.name} is not a gauge without labels")
        self._reading = value

    def _samples(self, chain: str) -> list[Sample]:
        if self._reading is None:
            return super()._samples(chain)
        value = self._reading()
        return [] if value is None else [Sample(self.spec.name, {CHAIN_LABEL: chain}, value)]

    def _body(self, chain: str, *, openmetrics: bool) -> str:
        if self._reading is None:
            return super()._body(chain, openmetrics=openmetrics)
        return "".join(f"{line(sample)}\n" for sample in self._samples(chain))


class Histogram(Family[HistogramSeries]):
    """A histogram of the catalogue."""

    def __init__(self, spec: MetricSpec) -> None:
        bounds = (*spec.buckets, math.inf)
        super().__init__(spec, lambda labels, shared, place: HistogramSeries(labels, shared, place, bounds))

    def observe(self, value: float, exemplar: Exemplar | None = None) -> None:
        """Count a value in the only series of a histogram without labels."""
        self.labels().observe(value, exemplar)
