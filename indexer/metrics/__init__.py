"""The program's numbers: facts recorded by the flow, read from memory at each scrape."""

from indexer.metrics.facts import Metrics
from indexer.metrics.observed import LastError, Observed

__all__ = ["LastError", "Metrics", "Observed"]
