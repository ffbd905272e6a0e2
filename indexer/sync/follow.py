"""The tail: block after block above finality, by hash.

The journey of a block: its header continues our window → read it by hash, with its logs, transactions and
receipts → check that all of it agrees → decode → one database transaction with the new cursor. When it does
not continue our window, the chain has changed its mind: see `branches` (whom to believe) and `replacing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from indexer import journal
from indexer.core import canonical
from indexer.core.canonical import Advance, Behind, Diverged, Window, next_step
from indexer.core.errors import BelowFinality, Inconsistent, TooDeep, Unavailable, WrongChain
from indexer.core.model import BlockId, FollowedBlock, Header, Span
from indexer.metrics import Metrics
from indexer.rpc.node import Node
from indexer.store.reading import State
from indexer.store.writer import Writer
from indexer.sync.blocks import BlockReader
from indexer.sync.branches import Branches, Elected, Parted
from indexer.sync.failedtransactions import FailedTransactions
from indexer.sync.replacing import Replacing
from indexer.sync.tally import Tally
from indexer.sync.undecoded import tell_undecoded

log = journal.get(__name__)

#: Farther behind finality than so many blocks the tail starts anew there; ranges fill what lies between.
JUMP_BLOCKS = 256
#: Blocks that are read and written together while the tail catches up.
CATCH_UP_BLOCKS = 16


class Follower:
    """Moves the cursor towards the head, one decision a step.

    What is in the database is the truth: after any failure the window is read from there again.
    """

    def __init__(
        self,
        node: Node,
        writer: Writer,
        read_state: Callable[[], Awaitable[State]],
        reader: BlockReader,
        replacing: Replacing,
        metrics: Metrics,
        tally: Tally,
        failed: FailedTransactions,
        *,
        confirmations: int,
        moved: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._node = node
        self._writer = writer
        self._read_state = read_state
        self._reader = reader
        self._replacing = replacing
        self._branches = Branches(node, metrics)
        self._metrics = metrics
        self._tally = tally
        self._failed = failed
        self._confirmations = confirmations
        #: Called when finality advanced; with True when the tail began anew above blocks it did not read.
        self._moved = moved
        self._window: Window | None = None
        #: The newest block that is recorded as final; -1: none yet.
        self._final = -1
        #: The endpoints of `_node` that still have our cursor, while a step follows another one.
        self._keeping: tuple[str, ...] = ()

    async def step(self, head: Header) -> bool:
        """Take one step towards the head; True when there may be more to do for this head.

        Raises:
            Unavailable, Inconsistent: ask again. Nothing was written, or if so, all of it is right.
            BelowFinality: the node's chain parts from ours below what was final; nothing was written.
        """
        try:
            with journal.batch():
                return await self._step(head)
        except BaseException:
            # A commit that failed may have been carried out all the same.
            self._window = None
            raise

    async def reconcile(self, head: Header) -> None:
        """Make the stored blocks part of the node's chain, without going forward."""
        await self.look_around()
        window = await self._held()
        if window is None:
            return
        try:
            await self._reconcile_with(self._node, window, head)
        except Parted:
            elected = await self._elected(window)
            if elected is not None:
                await self._reconcile_with(elected.node, window, elected.head)

    async def look_around(self) -> None:
        """Find out which of several endpoints are on another chain than ours, so that nothing is taken from them."""
        state = await self._read_state()
        if state.cursor is not None and self._branches.are_several:
            await self._branches.look_around(Window(state.window))

    async def finalized(self, head: Header, node: Node | None = None) -> Header:
        """The newest block that counts as final, as of this head."""
        node = node or self._node
        finalized = await node.finalized()
        if finalized is None:
            number = max(0, head.number - self._confirmations)
            finalized = head if number == head.number else await node.header(number)
        if finalized is None:
            raise Unavailable(f"the node does not give block {head.number - self._confirmations} yet")
        self._metrics.finalized_seen(finalized.number, finalized.timestamp)
        return finalized

    async def _step(self, head: Header) -> bool:
        """A step with all endpoints as one, or if that parts from what we hold, with one of them."""
        before = await self._held()
        try:
            return await self._step_with(self._node, head)
        except Parted:
            elected = await self._step_with_one()
        if elected is None:
            return True
        if before is not None and self._window is not None and self._window.cursor == before.cursor:
            if elected.without:
                # Nothing leads to a head that such an endpoint told.
                raise Inconsistent(
                    f"{', '.join(sorted(elected.without))}: its blocks do not link; {elected.told}"
                )
            # Who announced the head may be right: it is looked at again until one of them gives way.
            raise Parted(f"the endpoints are on different branches: {elected.told}")
        return True

    async def _step_with_one(self) -> Elected | None:
        """The endpoint whose answers a step was taken with; None when what is stored was rolled back instead.

        One that contradicts itself is left out, or whoever invents the highest head would hold everything up.
        """
        without: frozenset[str] = frozenset()
        while True:
            window = await self._held()
            assert window is not None
            elected = await self._elected(window, without)
            if elected is None:
                return None
            try:
                await self._step_with(elected.node, elected.head)
            except WrongChain as error:
                raise Unavailable(str(error)) from error
            except Inconsistent as error:
                if isinstance(error, Parted) or not elected.others:
                    raise
                log.warning("endpoint contradicts itself", endpoint=elected.node.name, reason=str(error))
                without |= {elected.node.name}
                # As after any failure, it is the database that says what was written.
                self._window = None
                continue
            finally:
                self._keeping = ()
            return elected

    async def _elected(self, window: Window, without: frozenset[str] = frozenset()) -> Elected | None:
        """The endpoint to follow; None when what is stored was rolled back instead."""
        try:
            elected = await self._branches.elect(window, without)
        except BelowFinality as error:
            await self._roll_back(window, self._node, error)
            return None
        self._keeping = elected.keeping
        return elected

    async def _step_with(self, node: Node, head: Header) -> bool:
        window = await self._held()
        if window is not None and head.follows(window.cursor):
            await self._step_to_child(node, window, head)
            return False
        finalized = await self.finalized(head, node)
        if window is None:
            await self._begin_at(node, None, finalized)
            log.info("tail started", block=finalized.number)
            return True
        if finalized.number - window.cursor.number > JUMP_BLOCKS:
            return await self._jump(node, window, finalized, head)
        step = next_step(window, head, CATCH_UP_BLOCKS)
        if isinstance(step, Advance):
            more = await self._advance(node, window, step.span, head)
        elif isinstance(step, Diverged):
            more = await self._replace(node, window, head, forward=True)
        else:
            more = isinstance(step, Behind) and await self._wait_behind(node, window, head)
        await self._settle(node, finalized)
        return more

    async def _step_to_child(self, node: Node, window: Window, head: Header) -> None:
        """The everyday step: the next block, read while the node says what is final; there is nothing to jump over."""
        finality = asyncio.ensure_future(self.finalized(head, node))
        try:
            with self._metrics.processing(head.number):
                blocks = await self._reader.read(node, [head])
                finalized = await finality
                await self._append(window, blocks)
        finally:
            finality.cancel()
            await asyncio.gather(finality, return_exceptions=True)
        await self._settle(node, finalized)

    async def _held(self) -> Window | None:
        if self._window is None:
            state = await self._read_state()
            self._final = state.finalized.number if state.finalized else -1
            if state.cursor is not None:
                self._window = Window(state.window)
                self._metrics.cursor_at(state.cursor.number, state.cursor_time)
        return self._window

    async def _reconcile_with(self, node: Node, window: Window, head: Header) -> None:
        cursor = window.cursor
        if head.number < cursor.number:
            known = window.at(head.number) in {None, head.id}
        else:
            found = await node.header(cursor.number)
            known = found is not None and found.id == cursor
        if not known:
            await self._replace(node, window, head, forward=False)

    async def _jump(self, node: Node, window: Window, finalized: Header, head: Header) -> bool:
        """Start the tail anew at the finalized block; what lies between is left to the backfill."""
        found = await node.header(window.cursor.number)
        if found is None or found.id != window.cursor:
            return await self._replace(node, window, head, forward=False)
        await self._begin_at(node, window.cursor, finalized)
        log.info("tail started anew above a gap", left=window.cursor.number, block=finalized.number)
        return True

    async def _begin_at(self, node: Node, expected: BlockId | None, finalized: Header) -> None:
        canonical_header = await node.header(finalized.number)
        if canonical_header is None or canonical_header.id != finalized.id:
            # All that comes later will stand on it, so one answer alone is not believed.
            raise Inconsistent(
                f"block {finalized.id} is said to be final, but at its height is another or none"
            )
        await self._writer.start_tail(expected, finalized)
        self._window = Window((finalized.id,))
        self._final = max(self._final, finalized.number)
        self._metrics.cursor_at(finalized.number, finalized.timestamp)
        self._moved(True)

    async def _advance(self, node: Node, window: Window, span: Span, head: Header) -> bool:
        headers = [head]
        if span != Span(head.number, head.number):
            headers = await node.headers(range(span.first, span.last + 1))
        if not headers[0].follows(window.cursor):
            return await self._replace(node, window, head, forward=True)
        canonical.require_linked(window.cursor, headers)
        with self._metrics.processing(headers[0].number):
            await self._append(window, await self._reader.read(node, headers))
        return span.last < head.number

    async def _append(self, window: Window, blocks: list[FollowedBlock]) -> None:
        with self._metrics.commit(blocks[0].header.number):
            await self._writer.append(window.cursor, blocks)
        self._window = window.extended(block.header.id for block in blocks)
        self._written(blocks)

    async def _replace(self, node: Node, window: Window, head: Header, *, forward: bool) -> bool:
        """Exchange what the chain no longer holds for what it holds now.

        Raises: Parted when it is not sure that all endpoints see it so.
        """
        if node is self._node and self._branches.are_several:
            raise Parted(f"block {window.cursor} is not part of the node's chain any more")
        try:
            blocks = await self._replacing.replace(window, node, head, forward=forward, keeping=self._keeping)
        except BelowFinality as error:
            if node is not self._node and not isinstance(error, TooDeep):
                raise Inconsistent(f"{node.name} had our block {window.base} and has it no more") from error
            return await self._roll_back(window, node, error)
        self._window = None
        if blocks:
            self._written(blocks)
        await self._held()
        return True

    async def _roll_back(self, window: Window, node: Node, error: BelowFinality) -> bool:
        await self._replacing.roll_back(window, node, error)
        self._window = None
        self._moved(True)
        return True

    async def _wait_behind(self, node: Node, window: Window, head: Header) -> bool:
        """Leave a head below the cursor alone, unless a block that we hold contradicts it."""
        log.warning("the node's head is behind ours", head=head.number, cursor=window.cursor.number)
        if head.number >= window.base.number or self._branches.are_several:
            return False
        try:
            await self._replacing.require_consistent(window, node, head)
        except BelowFinality as error:
            return await self._roll_back(window, node, error)
        return False

    def _written(self, blocks: Sequence[FollowedBlock]) -> None:
        for block in blocks:
            self._metrics.wrote(block.encoded)
            tell_undecoded(block.encoded)
            self._metrics.transactions(block.transactions)
            self._failed.tell(block.transactions)
            self._metrics.gas_price(block)
        self._tally.followed(len(blocks))
        newest = blocks[-1].header
        self._metrics.cursor_at(newest.number, newest.timestamp)

    async def _settle(self, node: Node, finalized: Header) -> None:
        """Record what is final now, and let go of blocks that can no longer be replaced.

        Raises: BelowFinality, Inconsistent when the finalized block is not the one we hold.
        """
        window = self._window
        if window is None:
            return
        ours = window.at(finalized.number)
        if ours is not None and ours != finalized.id:
            if ours == window.base:
                await self._replace(node, window, finalized, forward=False)
                return
            what = (
                f"block {finalized.number} is final as 0x{finalized.hash.hex()[:12]}…, "
                f"but the head builds on our {ours}"
            )
            raise Parted(what) if node is self._node and self._branches.are_several else Inconsistent(what)
        if finalized.number <= self._final:
            return
        await self._writer.set_finalized(finalized.id)
        self._final = finalized.number
        if ours is not None:
            self._window = window.pruned(ours)
        self._moved(False)
