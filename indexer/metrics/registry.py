"""The instruments of the catalogue, and the page that exports them with the chain's label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from indexer.metrics.catalogue import CATALOGUE
from indexer.metrics.families import Counter, Gauge, Histogram
from indexer.metrics.spec import CHAIN_LABEL, MetricSpec

_write_openmetrics, _ = choose_encoder("application/openmetrics-text; version=1.0.0")


class Instruments:
    """One instrument for each metric of the catalogue.

    Writing thousands of samples anew at each scrape took the library's encoder 60 ms, so ours keeps what did
    not change. What it writes is what the library would write of `registry`; a test compares them.
    """

    def __init__(self, chain: Callable[[], str]) -> None:
        self._chain = chain
        self._counters = {spec.name: Counter(spec) for spec in CATALOGUE if spec.kind == "counter"}
        self._gauges = {spec.name: Gauge(spec) for spec in CATALOGUE if spec.kind == "gauge"}
        self._histograms = {spec.name: Histogram(spec) for spec in CATALOGUE if spec.kind == "histogram"}
        every: dict[str, Counter | Gauge | Histogram] = {**self._counters, **self._gauges, **self._histograms}
        self._families = tuple(every[spec.name] for spec in CATALOGUE)
        self._process = CollectorRegistry()
        self._process.register(_OfProcess(chain))
        #: The same as values.
        self.registry = CollectorRegistry()
        self.registry.register(_Ours(self._families, chain))
        self.registry.register(_OfProcess(chain))

    def counter(self, spec: MetricSpec) -> Counter:
        return self._counters[spec.name]

    def gauge(self, spec: MetricSpec) -> Gauge:
        return self._gauges[spec.name]

    def histogram(self, spec: MetricSpec) -> Histogram:
        return self._histograms[spec.name]

    def read(self, spec: MetricSpec, value: Callable[[], float | None]) -> None:
        """Let this gauge, which has no labels, be computed at each scrape from what is in memory."""
        self._gauges[spec.name].read(value)

    def page(self, *, openmetrics: bool) -> bytes:
        """All of it as OpenMetrics 1.0.0, or in the Prometheus text format 0.0.4; does no I/O but for /proc."""
        chain = self._chain()
        ours = "".join([family.text(chain, openmetrics=openmetrics) for family in self._families])
        if openmetrics:
            return ours.encode() + _write_openmetrics(self._process)
        return ours.encode() + generate_latest(self._process)


class _Ours(Collector):
    """The metrics of the catalogue."""

    def __init__(self, families: Iterable[Counter | Gauge | Histogram], chain: Callable[[], str]) -> None:
        self._families = families
        self._chain = chain

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        chain = self._chain()
        for family in self._families:
            yield family.metric(chain)


class _OfProcess(Collector):
    """What every Python exporter tells of its process, with the chain's label on every sample."""

    def __init__(self, chain: Callable[[], str]) -> None:
        self._inner = CollectorRegistry()
        self._chain = chain
        ProcessCollector(registry=self._inner)
        PlatformCollector(registry=self._inner)
        GCCollector(registry=self._inner)

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        label = {CHAIN_LABEL: self._chain()}
        for metric in self._inner.collect():
            # Some collectors give the same object each time.
            labelled = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            labelled.samples = [each._replace(labels={**label, **each.labels}) for each in metric.samples]
            yield labelled
