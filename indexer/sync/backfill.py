"""Fill what is missing below finality: ranges by number, several at a time, beside the tail.

The journey of a range: gaps of all sources → pieces that share one request → logs, checked → decoded in a
thread → one database transaction with the coverage. What is missing is a question to the database, so a
new source, an interrupted run and a jump of the tail need no case of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from indexer import journal, sentry
from indexer.core.batch import Decoder
from indexer.core.errors import TooMuch
from indexer.core.model import BlockId, Span
from indexer.core.plan import Piece, RangeSize, Worklist, merge_gaps, missing
from indexer.core.proof import ProofLevel
from indexer.core.source import Source, filter_of
from indexer.metrics import Metrics
from indexer.rpc.node import Node
from indexer.store.reading import State
from indexer.store.writer import Writer
from indexer.sync.failedtransactions import FailedTransactions
from indexer.sync.tally import Tally
from indexer.sync.undecoded import tell_undecoded

log = journal.get(__name__)

#: Transactions cost two calls a block; so many blocks are asked for in one piece.
TRANSACTION_RANGE_BLOCKS = 200
#: The same where every header is read for its bloom filter (one call a block), or every block's receipts.
PROVED_RANGE_BLOCKS: Mapping[ProofLevel, int] = {"bloom": 2_000, "receipts": 200}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What has to be in the database: sources of events and of transactions, each from its first block."""

    sources: tuple[Source, ...]
    #: Source ids of transactions by the contract's address; empty when they are not backfilled.
    transaction_sources: Mapping[bytes, int]
    #: The first wanted block of each transaction source.
    transactions_from: Mapping[int, int]

    def only(self, contracts: frozenset[str], addresses: frozenset[bytes]) -> Wanted:
        """The part of it that concerns these contracts."""
        kept = {address: each for address, each in self.transaction_sources.items() if address in addresses}
        sources = tuple(source for source in self.sources if source.contract in contracts)
        return Wanted(sources, kept, self.transactions_from)

    def starts(self) -> dict[int, int]:
        """The first wanted block per source id."""
        starts = {source.id: source.start_block for source in self.sources}
        starts.update({each: self.transactions_from[each] for each in self.transaction_sources.values()})
        return starts


@dataclass(slots=True)
class Progress:
    """How much of a backfill is done, in blocks times sources."""

    #: Called at the beginning and after every range that was written.
    changed: Callable[[Progress], None]
    total: int = 0
    done: int = 0
    rows: int = 0

    def begin(self, total: int) -> None:
        """There are so many blocks times sources to do."""
        self.total, self.done = total, 0
        self.changed(self)

    def advance(self, piece: Piece, rows: int) -> None:
        """A piece was written."""
        self.done += len(piece.span) * len(piece.source_ids)
        self.rows += rows
        self.changed(self)


def gaps(wanted: Wanted, coverage: Mapping[int, Iterable[Span]], within: Span) -> dict[int, list[Span]]:
    """The missing blocks of each wanted source within the given ones; sources without any are left out."""
    found: dict[int, list[Span]] = {}
    for source_id, start in wanted.starts().items():
        if start > within.last:
            continue
        span = Span(max(start, within.first), within.last)
        if holes := missing(span, coverage.get(source_id, ())):
            found[source_id] = holes
    return found


class Backfill:
    """Fetches and writes missing ranges with a fixed number of workers.

    Each worker holds one answer at a time, so memory is bounded by their number; while one waits for the
    node another decodes and a third commits.
    """

    def __init__(
        self,
        node: Node,
        writer: Writer,
        read_state: Callable[[], Awaitable[State]],
        wanted: Wanted,
        metrics: Metrics,
        tally: Tally,
        failed: FailedTransactions,
        *,
        workers: int,
        max_range_blocks: int,
        proof: ProofLevel = "linked",
    ) -> None:
        self._node = node
        self._writer = writer
        self._read_state = read_state
        self._wanted = wanted
        self._metrics = metrics
        self._tally = tally
        self._failed = failed
        self._workers = workers
        self._proof: ProofLevel = proof
        longest = min(PROVED_RANGE_BLOCKS.get(proof, max_range_blocks), max_range_blocks)
        self._size = RangeSize(most=longest)
        self._size.blocks = min(self._size.blocks, longest)
        most = min(TRANSACTION_RANGE_BLOCKS, max_range_blocks)
        self._transaction_size = RangeSize(blocks=most, most=most)
        #: What every range has to be of one chain with.
        self._final: BlockId | None = None
        self._decoders: dict[frozenset[int], Decoder] = {}
        self._by_id = {source.id: source for source in wanted.sources}
        self._addresses = {each: address for address, each in wanted.transaction_sources.items()}

    async def state(self) -> State:
        """Where the database is."""
        return await self._read_state()

    async def fill_final(self) -> bool:
        """Fill every gap at or below what is final; True when nothing is missing up to the cursor either."""
        state = await self._read_state()
        if state.finalized is None or state.cursor is None:
            return False
        self._tally.read(state.coverage, state.cursor.number)
        # Above its cursor the tail, where it lags behind finality, reads the blocks itself.
        last = min(state.finalized.number, state.cursor.number)
        await self.fill(state, Span(0, last), self._wanted, Progress(self._pace))
        if state.cursor.number <= state.finalized.number:
            return True
        return not gaps(self._wanted, state.coverage, Span(state.finalized.number + 1, state.cursor.number))

    async def fill(self, state: State, within: Span, wanted: Wanted, progress: Progress) -> None:
        """Fill every gap that the state shows for the wanted sources within these blocks, all of them final.

        Raises:
            Unavailable, Inconsistent, TooMuch: what was committed until then stays and is not fetched again.
        """
        self._final = state.finalized
        missing_blocks = gaps(wanted, state.coverage, within)
        events = {each: spans for each, spans in missing_blocks.items() if each in self._by_id}
        others = {each: spans for each, spans in missing_blocks.items() if each in self._addresses}
        progress.begin(sum(len(span) for spans in missing_blocks.values() for span in spans))
        if not missing_blocks:
            return
        log.info(
            "backfill started", from_block=within.first, to_block=within.last, sources=len(missing_blocks)
        )
        await self._work(Worklist(merge_gaps(events)), self._fill_events, progress)
        await self._work(Worklist(merge_gaps(others)), self._fill_transactions, progress)
        self._failed.tell_rest()
        log.info("backfill finished", from_block=within.first, to_block=within.last, rows=progress.rows)

    def _pace(self, progress: Progress) -> None:
        self._metrics.backfill(progress.total, progress.done)

    async def _work(
        self,
        worklist: Worklist,
        fill: Callable[[Piece], Awaitable[int | None]],
        progress: Progress,
    ) -> None:
        """Fill the pieces of the list, so many at a time, until none is left and none can come back."""

        async def fill_one(piece: Piece) -> None:
            with sentry.step("backfill", piece.span.first, piece.span.last):
                rows = await fill(piece)
            if rows is None:
                worklist.put_back(piece)
            else:
                self._tally.filled(piece.span, piece.source_ids)
                progress.advance(piece, rows)

        running: set[asyncio.Task[None]] = set()
        try:
            while worklist or running:
                while len(running) < self._workers and (piece := worklist.take(self._at_most(fill))):
                    running.add(asyncio.create_task(fill_one(piece)))
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                # All are asked: asyncio complains of a failure that nobody asked for.
                failures = [failure for task in done if (failure := task.exception())]
                if failures:
                    raise failures[0]
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _at_most(self, fill: Callable[[Piece], Awaitable[int | None]]) -> int:
        if fill == self._fill_transactions:
            return self._transaction_size.blocks
        return min(self._size.blocks, self._node.most_blocks() or self._size.blocks)

    async def _fill_events(self, piece: Piece) -> int | None:
        """Write the events of a piece; None when the node wants it smaller."""
        with journal.batch():
            sources = [self._by_id[each] for each in sorted(piece.source_ids)]
            rollbacks = self._writer.rollbacks
            try:
                with self._metrics.fetching():
                    logs = await self._node.range_logs(
                        piece.span, filter_of(sources), self._proof, self._final
                    )
            except TooMuch as error:
                if len(piece.span) == 1:
                    raise
                self._size.refused(piece.span, error)
                log.debug(
                    "range refused", from_block=piece.span.first, to_block=piece.span.last, reason=str(error)
                )
                return None
            self._size.answered(piece.span, len(logs.logs), logs.text_bytes)
            with self._metrics.processing(piece.span.first):
                with self._metrics.decoding():
                    encoded = await asyncio.to_thread(self._decoder(piece.source_ids).encode, logs)
                # The answer's text is several times as large as the rows: it need not wait for the commit.
                del logs
                with self._metrics.commit(piece.span.first):
                    await self._writer.fill(
                        piece.span, sorted(piece.source_ids), encoded, rollbacks=rollbacks
                    )
            self._metrics.wrote(encoded)
            tell_undecoded(encoded)
            return encoded.rows

    async def _fill_transactions(self, piece: Piece) -> int | None:
        """Write the transactions of a piece; None when the node wants it smaller."""
        with journal.batch():
            watched = frozenset(self._addresses[each] for each in piece.source_ids)
            rollbacks = self._writer.rollbacks
            try:
                with self._metrics.fetching():
                    transactions, hashes = await self._node.range_transactions(
                        piece.span, watched, prove=self._proof == "receipts", final=self._final
                    )
            except TooMuch as error:
                if len(piece.span) == 1:
                    raise
                self._transaction_size.refused(piece.span, error)
                return None
            self._transaction_size.answered(piece.span, 0)
            with self._metrics.commit(piece.span.first):
                await self._writer.fill_transactions(
                    piece.span, sorted(piece.source_ids), transactions, hashes, rollbacks=rollbacks
                )
            self._metrics.transactions(transactions)
            self._failed.tell(transactions)
            return len(transactions)

    def _decoder(self, source_ids: frozenset[int]) -> Decoder:
        """A decoder for these sources that knows the logs of all others and leaves them alone."""
        decoder = self._decoders.get(source_ids)
        if decoder is None:
            others = tuple(source for source in self._wanted.sources if source.id not in source_ids)
            chosen = tuple(source for source in self._wanted.sources if source.id in source_ids)
            decoder = self._decoders[source_ids] = Decoder(chosen, others)
        return decoder
