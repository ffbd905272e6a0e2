"""The tail: block after block above finality, by hash, with reorgs.

The journey of a block: its header continues our window → read it by hash, with its logs, transactions and
receipts → check that all of it agrees → decode → one database transaction with the new cursor. When it does
not continue our window, find the fork by comparing our blocks with the node's, read the new branch first,
then replace the old one in a single transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from indexer import journal
from indexer.core import canonical
from indexer.core.batch import Decoder
from indexer.core.canonical import Advance, Behind, Diverged, Idle, Window, next_step
from indexer.core.errors import BelowFinality, Inconsistent, Unavailable
from indexer.core.model import BlockId, FollowedBlock, Header, Span
from indexer.core.source import LogFilter
from indexer.metrics import Metrics
from indexer.rpc.node import Node
from indexer.store.reading import State
from indexer.store.writer import Writer
from indexer.sync.lookahead import gather_in_order
from indexer.sync.rollback import newest_agreeing
from indexer.sync.tally import Tally

log = journal.get(__name__)

#: Farther behind finality than so many blocks the tail starts anew there; ranges fill what lies between.
JUMP_BLOCKS = 256
#: Blocks that are read and written together while the tail catches up.
CATCH_UP_BLOCKS = 16
#: Blocks being read at the same time.
READ_AHEAD = 8
#: How many blocks are compared at first when looking for a fork, and at most.
LOOKBACK_BLOCKS, LOOKBACK_MOST = 4, 128


@dataclass(frozen=True, slots=True)
class Watching:
    """What the tail looks for in each block."""

    filter: LogFilter | None
    watched: frozenset[bytes]
    #: Whether transactions are recorded, failed ones included.
    transactions: bool


class Follower:
    """Moves the cursor towards the head, one decision a step.

    What is in the database is the truth: after any failure the window is read from there again.
    """

    def __init__(
        self,
        node: Node,
        writer: Writer,
        read_state: Callable[[], Awaitable[State]],
        decoder: Decoder,
        watching: Watching,
        metrics: Metrics,
        tally: Tally,
        *,
        confirmations: int,
        max_reorg_depth: int,
        roll_back: Callable[[int], Awaitable[BlockId | None]] | None = None,
        moved: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._node = node
        self._writer = writer
        self._read_state = read_state
        self._decoder = decoder
        self._watching = watching
        self._metrics = metrics
        self._tally = tally
        self._confirmations = confirmations
        self._max_reorg_depth = max_reorg_depth
        #: Gives the stored block at or below a number, where blocks below finality may be removed; else None.
        self._stored_at_or_below = roll_back
        #: Called when finality advanced; with True when the tail began anew above blocks it did not read.
        self._moved = moved
        self._window: Window | None = None
        #: The newest block that is recorded as final; -1: none yet.
        self._final = -1

    async def step(self, head: Header) -> bool:
        """Take one step towards the head; True when there may be more to do for this head.

        Raises:
            Unavailable, Inconsistent: nothing was written; ask again.
            BelowFinality: the node's chain parts from ours below what was final; nothing was written.
        """
        try:
            return await self._step(head)
        except BaseException:
            # A commit that failed may have been carried out all the same.
            self._window = None
            raise

    async def reconcile(self, head: Header) -> None:
        """Make the stored blocks part of the node's chain, without going forward."""
        window = await self._held()
        if window is None:
            return
        cursor = window.cursor
        if head.number < cursor.number:
            header = head if window.at(head.number) else None
            known = header is None or window.holds(head.id)
        else:
            found = await self._node.header(cursor.number)
            known = found is not None and found.id == cursor
        if not known:
            await self._replace(window, head, forward=False)

    async def finalized(self, head: Header) -> Header:
        """The newest block that counts as final, as of this head."""
        finalized = await self._node.finalized()
        if finalized is None:
            number = max(0, head.number - self._confirmations)
            finalized = head if number == head.number else await self._node.header(number)
        if finalized is None:
            raise Unavailable(f"the node does not give block {head.number - self._confirmations} yet")
        self._metrics.finalized_seen(finalized.number, finalized.timestamp)
        return finalized

    async def _step(self, head: Header) -> bool:
        window = await self._held()
        finalized = await self.finalized(head)
        if window is None:
            await self._start(finalized)
            return True
        if finalized.number - window.cursor.number > JUMP_BLOCKS:
            return await self._jump(window, finalized, head)
        step = next_step(window, head, CATCH_UP_BLOCKS)
        if isinstance(step, Advance):
            more = await self._advance(window, step.span, head)
        elif isinstance(step, Diverged):
            more = await self._replace(window, head, forward=True)
        else:
            more = False
            self._unchanged(window, step)
        await self._settle(finalized)
        return more

    async def _held(self) -> Window | None:
        if self._window is None:
            state = await self._read_state()
            self._final = state.finalized.number if state.finalized else -1
            if state.cursor is not None:
                self._window = Window(state.window)
                self._metrics.cursor_at(state.cursor.number, state.cursor_time)
        return self._window

    async def _start(self, finalized: Header) -> None:
        await self._begin_at(None, finalized)
        log.info("tail started", block=finalized.number)

    async def _jump(self, window: Window, finalized: Header, head: Header) -> bool:
        """Start the tail anew at the finalized block; what lies between is left to the backfill."""
        found = await self._node.header(window.cursor.number)
        if found is None or found.id != window.cursor:
            return await self._replace(window, head, forward=False)
        await self._begin_at(window.cursor, finalized)
        log.info("tail started anew above a gap", left=window.cursor.number, block=finalized.number)
        return True

    async def _begin_at(self, expected: BlockId | None, finalized: Header) -> None:
        await self._writer.start_tail(expected, finalized)
        self._window = Window((finalized.id,))
        self._final = max(self._final, finalized.number)
        self._metrics.cursor_at(finalized.number, finalized.timestamp)
        self._moved(True)

    async def _advance(self, window: Window, span: Span, head: Header) -> bool:
        headers = [head]
        if span != Span(head.number, head.number):
            headers = await self._node.headers(range(span.first, span.last + 1))
        if not headers[0].follows(window.cursor):
            return await self._replace(window, head, forward=True)
        canonical.require_linked(window.cursor, headers)
        with self._metrics.processing():
            blocks = await self._read(headers)
            with self._metrics.commit():
                await self._writer.append(window.cursor, blocks)
        self._window = window.extended(header.id for header in headers)
        self._written(blocks)
        return span.last < head.number

    async def _replace(self, window: Window, head: Header, *, forward: bool) -> bool:
        """Exchange what the chain no longer holds for what it holds now.

        Going forward, the new branch is read before anything is removed, up to the height we had; else only
        the removal is done, because ranges will fill in what follows.
        """
        try:
            fork = await self._fork(window, head)
        except BelowFinality as error:
            return await self._roll_back(window, error)
        if fork == window.cursor:
            raise Inconsistent(f"block {fork} was not part of the node's chain, and is again")
        depth = window.cursor.number - fork.number
        if depth > self._max_reorg_depth and self._stored_at_or_below is None:
            raise BelowFinality(
                f"a reorg of {depth} blocks, from block {window.cursor} back to {fork}: deeper than "
                f"chain.max_reorg_depth = {self._max_reorg_depth}; look at the node, then raise the limit"
            )
        blocks: list[FollowedBlock] = []
        last = min(head.number, window.cursor.number)
        if forward and last > fork.number:
            headers = await self._node.headers(range(fork.number + 1, last + 1))
            canonical.require_linked(fork, headers)
            blocks = await self._read(headers)
        with self._metrics.commit():
            removed = await self._writer.replace(window.cursor, fork, blocks)
        self._window = window.rewound(fork).extended(block.header.id for block in blocks)
        rows = sum(removed.events.values())
        self._metrics.reorged(depth, rows)
        self._tally.followed(-depth)
        log.warning(
            "reorg",
            fork=fork.number,
            depth=depth,
            old_head=window.cursor.number,
            old_hash="0x" + window.cursor.hash.hex(),
            new_head=self._window.cursor.number,
            new_hash="0x" + self._window.cursor.hash.hex(),
            rows_removed=rows,
        )
        if blocks:
            self._written(blocks)
        else:
            at_fork = await self._node.header_by_hash(fork.hash)
            self._metrics.cursor_at(fork.number, at_fork.timestamp if at_fork else None)
        return True

    async def _roll_back(self, window: Window, error: BelowFinality) -> bool:
        """Remove everything above the newest stored block that the chain still has, if the policy is to do so.

        Raises: the given error where it is not, or where nothing stored is part of the chain.
        """
        if self._stored_at_or_below is None:
            raise error
        fork = await newest_agreeing(self._stored_at_or_below, self._node.header, window.base.number)
        if fork is None:
            raise error
        with self._metrics.commit():
            removed = await self._writer.roll_back(window.cursor, fork)
        depth, rows = window.cursor.number - fork.number, sum(removed.events.values())
        self._window = None
        self._metrics.reorged(depth, rows)
        log.error(
            "rolled back below finality",
            fork=fork.number,
            depth=depth,
            final=window.base.number,
            rows_removed=rows,
        )
        self._moved(True)
        return True

    async def _fork(self, window: Window, head: Header) -> BlockId:
        """The newest of our blocks that is part of the node's chain.

        Raises: BelowFinality when there is none, after a second look.
        """
        for _ in range(2):
            below, width = min(window.cursor.number, head.number) + 1, LOOKBACK_BLOCKS
            while span := canonical.lookback(window, below, width):
                found = await self._node.headers(range(span.first, span.last + 1))
                fork = canonical.fork_among(window, found)
                if fork is not None:
                    return fork
                below, width = span.first, min(width * 4, LOOKBACK_MOST)
        raise BelowFinality(
            f"none of our blocks {window.base.number}..{window.cursor.number} is part of the node's chain any "
            f"more, though block {window.base} was final. Nothing was changed. Either the node follows another "
            "chain or was reset, or the chain broke its finality: compare with another node; to start over, "
            "use an empty database"
        )

    async def _read(self, headers: Sequence[Header]) -> list[FollowedBlock]:
        return await gather_in_order(self._read_block, headers, READ_AHEAD)

    async def _read_block(self, header: Header) -> FollowedBlock:
        watching = self._watching
        block = await self._node.block(
            header.id, watching.filter, watching.watched, transactions=watching.transactions
        )
        encoded = await asyncio.to_thread(self._decoder.encode, block.logs)
        return FollowedBlock(block.header, encoded, block.transactions)

    def _written(self, blocks: Sequence[FollowedBlock]) -> None:
        for block in blocks:
            self._metrics.wrote(block.encoded)
            self._metrics.transactions(block.transactions)
            self._metrics.gas_price(block)
        self._tally.followed(len(blocks))
        newest = blocks[-1].header
        self._metrics.cursor_at(newest.number, newest.timestamp)

    def _unchanged(self, window: Window, step: Idle | Behind) -> None:
        if isinstance(step, Behind):
            log.warning("the node's head is behind ours", head=step.head.number, cursor=window.cursor.number)

    async def _settle(self, finalized: Header) -> None:
        """Record what is final now, and let go of blocks that can no longer be replaced.

        Raises: BelowFinality, Inconsistent when the finalized block is not the one we hold.
        """
        window = self._window
        if window is None:
            return
        ours = window.at(finalized.number)
        if ours is not None and ours != finalized.id:
            if ours == window.base:
                await self._replace(window, finalized, forward=False)
                return
            raise Inconsistent(
                f"block {finalized.number} is final as 0x{finalized.hash.hex()[:12]}…, "
                f"but the head builds on our {ours}"
            )
        if finalized.number <= self._final:
            return
        await self._writer.set_finalized(finalized.id)
        self._final = finalized.number
        if ours is not None:
            self._window = window.pruned(ours)
        self._moved(False)
