"""Compare what is stored with the chain, range by range, and put right what differs.

The journey of a range: logs (or receipts) from the node → the same decoder as ever → compared with the
tables → each block that differs is read once more by its hash, together with its receipts → what was
confirmed is reported and, if wanted, replaced. Whatever the node contradicts itself about is neither: it
could not be told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from indexer import journal
from indexer.core.batch import Decoder
from indexer.core.difference import (
    Difference,
    Kind,
    Part,
    by_block,
    compare_transactions,
)
from indexer.core.errors import Inconsistent, TooMuch, Unavailable
from indexer.core.model import Span
from indexer.core.plan import Piece, RangeSize, Worklist, halves
from indexer.store.database import Database
from indexer.store.repair import (
    Replaced,
    compare_events,
    recount,
    replace_events,
    require_covered,
    require_final,
    write_journal,
)
from indexer.store.repair_transactions import replace_transactions, stored_transactions
from indexer.store.rows import TransactionSource
from indexer.store.sources import StoredSource
from indexer.store.writer import Writer
from indexer.sync.lookahead import gather_in_order
from indexer.sync.together import together
from indexer.sync.truth import Asked, Truth, TruthReader, split_by_block

log = journal.get(__name__)

#: Differences that are kept in full; the others are only counted.
KEPT_DIFFERENCES = 10_000
#: Blocks with all their receipts that are asked for in one piece, and blocks replaced in one transaction.
RECEIPT_RANGE_BLOCKS, REPAIR_BLOCKS = 100, 100
#: Blocks that are read again at the same time.
READ_AHEAD = 4


@dataclass(slots=True)
class Findings:
    """What an audit found so far."""

    #: Blocks times sources that were compared.
    compared: int = 0
    #: Rows of the chain that were compared: events, undecoded logs and transactions.
    rows: int = 0
    #: The first ones, and how many of them there are in all.
    differences: list[Difference] = field(default_factory=list)
    counts: Counter[tuple[int | None, Part, Kind]] = field(default_factory=Counter)
    #: What could not be told, with the reason.
    unsure: list[tuple[Span, str]] = field(default_factory=list)
    #: Differing blocks that were put right, and those that could not be.
    repaired: int = 0
    unrepaired: int = 0
    replaced: Replaced = field(default_factory=Replaced)

    def note(self, differences: Iterable[Difference]) -> None:
        for each in differences:
            self.counts[each.source_id, each.part, each.kind] += 1
            if len(self.differences) < KEPT_DIFFERENCES:
                self.differences.append(each)

    def cannot_tell(self, span: Span, error: Exception) -> None:
        self.unsure.append((span, str(error)))
        log.warning("audit cannot tell", from_block=span.first, to_block=span.last, reason=str(error))


class Audit:
    """Compares pieces of the coverage with the chain, several at a time."""

    def __init__(
        self,
        truth: TruthReader,
        store: Database,
        writer: Writer | None,
        everyone: Sequence[StoredSource],
        *,
        against: str,
        workers: int,
        max_range_blocks: int,
        progress: Callable[[Piece], None] = lambda _: None,
    ) -> None:
        """
        Args:
            writer: puts right what differs; None only tells.
            everyone: all sources of the database. Logs of active ones are told apart from each other.
            against: what the truth is taken from, for the journal of repairs.
        """
        self._truth = truth
        self._store = store
        self._writer = writer
        self._everyone = everyone
        self._by_id = {source.id: source for source in everyone}
        self._against = against
        self._workers = workers
        self._size = RangeSize(most=max_range_blocks)
        self._size.blocks = min(self._size.blocks, max_range_blocks)
        self._progress = progress
        self._decoders: dict[frozenset[int], Decoder] = {}
        self.findings = Findings()

    async def run(self, pieces: Iterable[Piece]) -> Findings:
        """Compare all pieces; in the end the counters of sources that were repaired are counted anew.

        Raises:
            LostLeadership: another process writes now; what was repaired before stays so.
        """
        worklist = Worklist(pieces)
        gone: list[Unavailable] = []

        async def work() -> None:
            while not gone and (piece := worklist.take(self._at_most())):
                try:
                    await self._audit(piece, worklist)
                except Unavailable as error:
                    # The edge has tried long enough: whoever is asked next would only wait as long again.
                    gone.append(error)
                    worklist.put_back(piece)

        while worklist and not gone:
            await together(*(work() for _ in range(self._workers)))
        while piece := worklist.take(2**63):
            self.findings.cannot_tell(piece.span, gone[0])
        if self._writer is not None and self.findings.repaired:
            touched = {source_id for source_id, _, _ in self.findings.counts if source_id is not None}
            async with self._writer.transaction() as connection:
                await recount(connection, [self._by_id[each] for each in sorted(touched)])
        return self.findings

    def _at_most(self) -> int:
        if self._truth.receipts:
            return min(RECEIPT_RANGE_BLOCKS, self._size.blocks)
        return min(self._size.blocks, self._truth.most_blocks() or self._size.blocks)

    async def _audit(self, piece: Piece, worklist: Worklist) -> None:
        """Compare one piece; what the node finds too much goes back onto the list."""
        with journal.batch():
            try:
                truth = await self._truth.read(piece.span, self._asked(piece.source_ids))
            except TooMuch as error:
                if len(piece.span) == 1:
                    self.findings.cannot_tell(piece.span, error)
                    return
                self._size.refused(piece.span, error)
                worklist.put_back(piece)
                return
            except Inconsistent as error:
                if len(piece.span) == 1:
                    self.findings.cannot_tell(piece.span, error)
                    return
                # Which of the blocks it is shows where each half is asked for alone.
                for half in halves(piece):
                    worklist.put_back(half)
                return
            self._size.answered(piece.span, len(truth.logs.logs), truth.logs.text_bytes)
            try:
                differences = await self._compare(piece, truth)
            except Inconsistent as error:
                self.findings.cannot_tell(piece.span, error)
                return
            if differences:
                await self._look_again(piece, truth, differences)
            self.findings.compared += len(piece.span) * len(piece.source_ids)
            self._progress(piece)

    async def _compare(self, piece: Piece, truth: Truth) -> list[Difference]:
        """How the rows differ, as of one moment."""
        events, mined = self._events(piece.source_ids), self._mined(piece.source_ids)
        encoded = await asyncio.to_thread(self._decoder(events).encode, truth.logs)
        self.findings.rows += encoded.rows + len(encoded.undecoded) + len(truth.transactions or ())
        found: list[Difference] = []
        async with self._store.transaction(isolation="repeatable read") as connection:
            await require_covered(connection, piece.span, piece.source_ids)
            if events:
                found += await compare_events(
                    connection, piece.span, events, self._everyone, truth.logs, encoded
                )
            if mined and truth.transactions is not None:
                ids = frozenset(each.id for each in mined.values())
                stored = await stored_transactions(connection, piece.span, ids)
                named = {address: (each.id, each.contract) for address, each in mined.items()}
                found += compare_transactions(truth.transactions, stored, named)
        return found

    async def _look_again(self, piece: Piece, truth: Truth, differences: Sequence[Difference]) -> None:
        """Report the differences of those blocks about which the node says the same once more; repair them."""
        found, asked = by_block(differences), self._asked(piece.source_ids)
        first = split_by_block(truth, found)

        async def again(number: int) -> tuple[int, Truth | None]:
            try:
                return number, await self._truth.confirmed(number, asked, *first[number])
            except (Inconsistent, TooMuch) as error:
                self.findings.cannot_tell(Span(number, number), error)
                return number, None

        confirmed = {
            number: second
            for number, second in await gather_in_order(again, list(found), READ_AHEAD)
            if second is not None
        }
        sure = [each for number in confirmed for each in found[number]]
        self.findings.note(sure)
        if sure:
            log.warning(
                "audit found differences",
                from_block=piece.span.first,
                to_block=piece.span.last,
                blocks=len(confirmed),
                differences=len(sure),
            )
        if self._writer is not None:
            await self._repair(self._writer, piece.source_ids, confirmed, found)

    async def _repair(
        self,
        writer: Writer,
        source_ids: frozenset[int],
        confirmed: Mapping[int, Truth],
        found: Mapping[int, Sequence[Difference]],
    ) -> None:
        """Replace the rows of the confirmed blocks, except where the block itself is another one."""
        mendable = [number for number in confirmed if not _is_other_block(found[number])]
        self.findings.unrepaired += len(confirmed) - len(mendable)
        remaining = iter(mendable)
        while blocks := list(islice(remaining, REPAIR_BLOCKS)):
            differences = [each for number in blocks for each in found[number]]
            try:
                replaced = await self._replace(writer, source_ids, blocks, confirmed, differences)
            except Inconsistent as error:
                self.findings.unrepaired += len(blocks)
                self.findings.cannot_tell(Span(blocks[0], blocks[-1]), error)
                continue
            self.findings.repaired += len(blocks)
            self.findings.replaced += replaced
            log.warning(
                "repaired",
                from_block=blocks[0],
                to_block=blocks[-1],
                blocks=len(blocks),
                rows_removed=replaced.removed,
                rows_added=replaced.added,
            )

    async def _replace(
        self,
        writer: Writer,
        source_ids: frozenset[int],
        blocks: Sequence[int],
        confirmed: Mapping[int, Truth],
        differences: Sequence[Difference],
    ) -> Replaced:
        """Replace the rows of these blocks in one transaction; all that replaces them is at hand."""
        events, mined = self._events(source_ids), self._mined(source_ids)
        encoded = [self._decoder(events).encode(confirmed[number].logs) for number in blocks]
        truths = [confirmed[number].transactions for number in blocks]
        transactions = [each for some in truths for each in some or ()]
        hashes = {number: confirmed[number].hashes[number] for number in blocks}
        replaced = Replaced()
        async with writer.transaction() as connection:
            await require_final(connection, blocks)
            replaced += await replace_events(connection, blocks, events, self._everyone, encoded)
            if mined and truths[0] is not None:
                replaced += await replace_transactions(connection, blocks, mined, transactions, hashes)
            await write_journal(connection, blocks, source_ids, replaced, self._against, differences)
        return replaced

    def _events(self, source_ids: Iterable[int]) -> frozenset[int]:
        return frozenset(each for each in source_ids if self._by_id[each].table is not None)

    def _mined(self, source_ids: Iterable[int]) -> dict[bytes, TransactionSource]:
        """The sources of transactions among these, by address."""
        some = [self._by_id[each] for each in sorted(source_ids)]
        return {
            each.address: TransactionSource(each.id, each.contract) for each in some if each.table is None
        }

    def _asked(self, source_ids: Iterable[int]) -> Asked:
        events = tuple(self._by_id[each].as_source() for each in sorted(self._events(source_ids)))
        return Asked(events, frozenset(self._mined(source_ids)))

    def _decoder(self, event_ids: frozenset[int]) -> Decoder:
        """A decoder for these sources that knows the logs of all other active ones and leaves them alone."""
        decoder = self._decoders.get(event_ids)
        if decoder is None:
            events = [source for source in self._everyone if source.table is not None]
            chosen = [source.as_source() for source in events if source.id in event_ids]
            others = [each.as_source() for each in events if each.id not in event_ids and each.active]
            decoder = self._decoders[event_ids] = Decoder(chosen, others)
        return decoder


def _is_other_block(differences: Iterable[Difference]) -> bool:
    return any(each.part is Part.BLOCK and each.kind is Kind.ALTERED for each in differences)
