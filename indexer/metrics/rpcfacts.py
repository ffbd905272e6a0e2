"""What the endpoints of the node did: one method for each thing that the RPC edge reports."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

from indexer.metrics import labels
from indexer.metrics import specs_edges as edges
from indexer.metrics.observed import Observed
from indexer.metrics.registry import Instruments
from indexer.metrics.stages import StageTimes


class RpcFacts:
    """Counts calls, proofs and disagreements by endpoint; it is what `indexer.rpc.observer` describes."""

    def __init__(self, instruments: Instruments, observed: Observed, stages: StageTimes) -> None:
        self.observed = observed
        self._instruments = instruments
        self._stages = stages
        for outcome in labels.RECHECKS:
            instruments.counter(edges.BLOOM_RECHECKS).labels(outcome)

    def endpoints(self, names: Iterable[str]) -> None:
        """Begin the counters of these endpoints at 0, for the first failure of one has to be seen too."""
        counter = self._instruments.counter
        for endpoint in names:
            for method in labels.METHODS:
                for outcome in labels.OUTCOMES:
                    counter(edges.RPC_REQUESTS).labels(endpoint, method, outcome)
            for verdict in labels.VERDICTS:
                counter(edges.BLOCK_PROOFS).labels(endpoint, verdict)
                counter(edges.HEADER_PROOFS).labels(endpoint, verdict)
            for kind in labels.DISAGREEMENTS:
                counter(edges.RPC_DISAGREEMENTS).labels(endpoint, kind)
            for spec in (edges.RPC_UNKNOWN_ERRORS, edges.RPC_SENT, edges.RPC_RECEIVED):
                counter(spec).labels(endpoint)

    def checking(self) -> AbstractContextManager[None]:
        """Time holding answers against each other; while something is fetched, that is no waiting."""
        return self._stages.decode()

    def request(
        self, endpoint: str, method: str, outcome: str, seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        """One JSON-RPC call ended."""
        method = labels.bounded(method, labels.METHODS)
        outcome = labels.bounded(outcome, labels.OUTCOMES)
        self._instruments.counter(edges.RPC_REQUESTS).labels(endpoint, method, outcome).inc()
        self._instruments.histogram(edges.RPC_DURATION).labels(endpoint, method).observe(seconds)
        self._instruments.counter(edges.RPC_SENT).labels(endpoint).inc(sent_bytes)
        self._instruments.counter(edges.RPC_RECEIVED).labels(endpoint).inc(received_bytes)

    def endpoint_state(self, endpoint: str, up: bool, head: int | None) -> None:
        """The endpoint is (not) being used, and the newest block it has shown, if any."""
        self.observed.endpoint_state(endpoint, up, head)
        self._instruments.gauge(edges.RPC_UP).labels(endpoint).set(up)
        if head is not None:
            self._instruments.gauge(edges.RPC_HEAD).labels(endpoint).set(head)

    def unknown_error(self, endpoint: str) -> None:
        """The endpoint gave an error or an answer that no rule knows."""
        self._instruments.counter(edges.RPC_UNKNOWN_ERRORS).labels(endpoint).inc()

    def proof(self, endpoint: str, verdict: str) -> None:
        """A block's receipts were (not) proved by its hash."""
        verdict = labels.bounded(verdict, frozenset(labels.VERDICTS))
        self._instruments.counter(edges.BLOCK_PROOFS).labels(endpoint, verdict).inc()

    def header_proof(self, endpoint: str, verdict: str, headers: int) -> None:
        """The hash of so many headers, read without receipts, was (not) proved by their fields."""
        verdict = labels.bounded(verdict, frozenset(labels.VERDICTS))
        self._instruments.counter(edges.HEADER_PROOFS).labels(endpoint, verdict).inc(headers)

    def recheck(self, outcome: str) -> None:
        """A block whose bloom filter may hold logs that did not come was asked for again."""
        outcome = labels.bounded(outcome, frozenset(labels.RECHECKS))
        self._instruments.counter(edges.BLOOM_RECHECKS).labels(outcome).inc()

    def disagreement(self, endpoint: str, kind: str) -> None:
        """The endpoint's answer was thrown away for what another source says."""
        kind = labels.bounded(kind, frozenset(labels.DISAGREEMENTS))
        self._instruments.counter(edges.RPC_DISAGREEMENTS).labels(endpoint, kind).inc()
