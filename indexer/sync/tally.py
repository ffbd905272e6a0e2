"""How many blocks are covered and missing per contract: kept in step with what is committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from indexer.core.model import Span
from indexer.core.plan import missing
from indexer.core.source import Source
from indexer.metrics import Metrics


class Tally:
    """Sums over a contract's sources, exported after each change.

    The numbers are read from the database whenever the backfill looks there, and carried on in between.
    """

    def __init__(self, sources: Iterable[Source], metrics: Metrics) -> None:
        self._sources = tuple(sources)
        self._metrics = metrics
        self._contract_of = {source.id: source.contract for source in self._sources}
        self._per_contract = Counter(self._contract_of.values())
        self._covered: Counter[str] = Counter()
        self._lacking: Counter[str] = Counter()

    def read(self, coverage: Mapping[int, Iterable[Span]], cursor: int) -> None:
        """Take the numbers from the database's coverage as it was at that cursor."""
        self._covered, self._lacking = Counter(), Counter()
        for source in self._sources:
            spans = tuple(coverage.get(source.id, ()))
            self._covered[source.contract] += sum(map(len, spans))
            if source.start_block <= cursor:
                gaps = missing(Span(source.start_block, cursor), spans)
                self._lacking[source.contract] += sum(map(len, gaps))
        self._export()

    def filled(self, span: Span, source_ids: Iterable[int]) -> None:
        """These blocks of these sources were written; ids of other sources are passed over."""
        for source_id in source_ids:
            if contract := self._contract_of.get(source_id):
                self._covered[contract] += len(span)
                self._lacking[contract] -= len(span)
        self._export()

    def followed(self, blocks: int) -> None:
        """The cursor went forward by so many blocks, or back if negative."""
        for contract, sources in self._per_contract.items():
            self._covered[contract] += blocks * sources
        self._export()

    def _export(self) -> None:
        for contract in self._per_contract:
            self._metrics.coverage(contract, max(0, self._covered[contract]), max(0, self._lacking[contract]))
