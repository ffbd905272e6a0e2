"""The instruments of the catalogue, and the registry that exports them with the chain's label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from indexer.metrics.catalogue import CATALOGUE
from indexer.metrics.spec import CHAIN_LABEL, MetricSpec


class Instruments:
    """One instrument for each metric of the catalogue, in a registry of their own.

    A gauge that was given a function by `read` takes its value from there at each scrape and is left out of
    it while that is None: an unknown number is not exported as a false one.
    """

    def __init__(self, chain: Callable[[], str]) -> None:
        inner = CollectorRegistry()
        self._readings: dict[str, Callable[[], float | None]] = {}
        self._before: list[Callable[[], None]] = []
        self._counters = {
            spec.name: Counter(spec.name, spec.help, spec.labels, registry=inner)
            for spec in CATALOGUE
            if spec.kind == "counter"
        }
        self._histograms = {
            spec.name: Histogram(spec.name, spec.help, spec.labels, registry=inner, buckets=spec.buckets)
            for spec in CATALOGUE
            if spec.kind == "histogram"
        }
        self._gauges = {
            spec.name: Gauge(spec.name, spec.help, spec.labels, registry=inner)
            for spec in CATALOGUE
            if spec.kind == "gauge"
        }
        ProcessCollector(registry=inner)
        PlatformCollector(registry=inner)
        GCCollector(registry=inner)
        #: What `/metrics` renders.
        self.registry = CollectorRegistry()
        self.registry.register(_Labelled(inner, chain, self._readings, self._before))

    def counter(self, spec: MetricSpec) -> Counter:
        return self._counters[spec.name]

    def gauge(self, spec: MetricSpec) -> Gauge:
        return self._gauges[spec.name]

    def histogram(self, spec: MetricSpec) -> Histogram:
        return self._histograms[spec.name]

    def before_scrape(self, catch_up: Callable[[], None]) -> None:
        """Call this at the beginning of each scrape, to bring counters up to what is counted elsewhere."""
        self._before.append(catch_up)

    def read(self, spec: MetricSpec, value: Callable[[], float | None]) -> None:
        """Let this gauge, which has no labels, be computed at each scrape from what is in memory."""
        if spec.kind != "gauge" or spec.labels:
            raise ValueError(f"{spec.name} is not a gauge without labels")
        self._readings[spec.name] = value


class _Labelled(Collector):
    """The metrics of another registry, with the chain's label on every sample."""

    def __init__(
        self,
        inner: CollectorRegistry,
        chain: Callable[[], str],
        readings: dict[str, Callable[[], float | None]],
        before: list[Callable[[], None]],
    ) -> None:
        self._before = before
        self._inner = inner
        self._chain = chain
        self._readings = readings

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        for catch_up in self._before:
            catch_up()
        label = {CHAIN_LABEL: self._chain()}
        for metric in self._inner.collect():
            reading = self._readings.get(metric.name)
            found = metric if reading is None else _read(metric, reading())
            labelled = Metric(found.name, found.documentation, found.type, found.unit)
            # `_created` series tell what nobody asks and double the size of the page.
            labelled.samples = [
                sample._replace(labels={**label, **sample.labels})
                for sample in found.samples
                if not sample.name.endswith("_created")
            ]
            yield labelled


def _read(metric: Metric, value: float | None) -> Metric:
    found = GaugeMetricFamily(metric.name, metric.documentation)
    if value is not None:
        found.add_metric([], value)
    return found
