"""A reorg carried out: find the fork, read the new branch, and only then replace the old one.

What is to be written is in memory before the first row goes, and both happen in one transaction; so whatever
fails on the way leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from indexer import journal
from indexer.core import canonical
from indexer.core.canonical import Window
from indexer.core.errors import BelowFinality, Inconsistent, TooDeep
from indexer.core.model import BlockId, FollowedBlock, Header
from indexer.metrics import Metrics
from indexer.rpc.node import Node
from indexer.store.rewind import Removed
from indexer.store.writer import Writer
from indexer.sync.blocks import BlockReader
from indexer.sync.branches import Parted
from indexer.sync.rollback import newest_agreeing
from indexer.sync.tally import Tally

log = journal.get(__name__)

#: How many blocks are compared at first when looking for a fork, and at most.
LOOKBACK_BLOCKS, LOOKBACK_MOST = 4, 128


@dataclass(frozen=True, slots=True)
class BelowFinalityPolicy:
    """What may be done about blocks that are not to be replaced."""

    #: A deeper reorg is refused, unless it may be rolled back.
    max_reorg_depth: int
    #: Whether to remove blocks though they had been called final.
    rolls_back: bool


class Replacing:
    """Exchanges what the chain no longer holds for what it holds now."""

    def __init__(
        self,
        writer: Writer,
        reader: BlockReader,
        stored_at_or_below: Callable[[int], Awaitable[BlockId | None]],
        metrics: Metrics,
        tally: Tally,
        policy: BelowFinalityPolicy,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._stored_at_or_below = stored_at_or_below
        self._metrics = metrics
        self._tally = tally
        self._policy = policy

    async def replace(
        self, window: Window, node: Node, head: Header, *, forward: bool, keeping: tuple[str, ...] = ()
    ) -> list[FollowedBlock]:
        """Put the node's branch in the place of ours; the blocks that were written above the fork.

        Going forward, the new branch is read before anything is removed, up to the height we had; else only
        the removal is done, because ranges will fill in what follows.

        Args:
            keeping: endpoints that still have our cursor.

        Raises:
            Unavailable, Inconsistent: nothing was changed; ask again.
            BelowFinality: the branches part below what was final, or too deep; nothing was changed.
        """
        fork = await self._fork(window, node, head)
        if fork == window.cursor:
            raise Inconsistent(f"block {fork} was not part of the node's chain, and is again")
        if window.cursor.number - fork.number > self._policy.max_reorg_depth and not self._policy.rolls_back:
            await self._refuse(window, node, head, fork, keeping)
        blocks: list[FollowedBlock] = []
        last = min(head.number, window.cursor.number)
        if forward and last > fork.number:
            headers = await node.headers(range(fork.number + 1, last + 1))
            canonical.require_linked(fork, headers)
            if window.holds(headers[0].id):
                # Taken out and put back, it would stand in the journal as a reorg that never was.
                raise Inconsistent(f"block {headers[0].id} was not part of the node's chain, and is again")
            blocks = await self._reader.read(node, headers)
        with self._metrics.commit(fork.number + 1):
            removed = await self._writer.replace(window.cursor, fork, blocks)
        self._tally.followed(fork.number - window.cursor.number)
        self._tell(window, removed, blocks[-1].header.id if blocks else fork, blocks)
        return blocks

    async def require_consistent(self, window: Window, node: Node, head: Header) -> None:
        """Return when a head below our window contradicts nothing that is stored.

        Raises: BelowFinality when it does, after a second look.
        """
        stored = await self._stored_at_or_below(head.number)
        if stored is None:
            return
        for _ in range(2):
            found = await node.header(stored.number)
            if found is None or found.id == stored:
                return
        raise BelowFinality(
            f"the node's newest block is {head.id}, below {window.base}, which was final; and in the place of our "
            f"block {stored} it has another one. Nothing was changed. The node follows another chain or was "
            "started anew: compare with another node; to start over, use an empty database"
        )

    async def roll_back(self, window: Window, node: Node, error: BelowFinality) -> BlockId:
        """Remove everything above the newest stored block that the chain still has, if the policy is to do so.

        Returns: that block, which is the cursor now.
        Raises: the given error where it is not, or where nothing stored is part of the chain.
        """
        if not self._policy.rolls_back:
            raise error
        fork = await newest_agreeing(self._stored_at_or_below, node.header, window.base.number)
        if fork is None:
            raise error
        with self._metrics.commit(fork.number + 1):
            removed = await self._writer.roll_back(window.cursor, fork)
        depth, rows = window.cursor.number - fork.number, sum(removed.events.values())
        self._metrics.reorged(depth, rows)
        self._metrics.error(error, "following")
        log.error(
            "rolled back below finality",
            event_type="reorg",
            from_block=fork.number + 1,
            to_block=window.cursor.number,
            fork=fork.number,
            depth=depth,
            final=window.base.number,
            rows_removed=rows,
            reorg=removed.reorg_id,
        )
        return fork

    async def _fork(self, window: Window, node: Node, head: Header) -> BlockId:
        """The newest of our blocks that is part of the node's chain.

        Raises: BelowFinality when there is none, after a second look.
        """
        for _ in range(2):
            below, width = min(window.cursor.number, head.number) + 1, LOOKBACK_BLOCKS
            while span := canonical.lookback(window, below, width):
                found = await node.headers(range(span.first, span.last + 1))
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

    async def _refuse(
        self, window: Window, node: Node, head: Header, fork: BlockId, keeping: tuple[str, ...]
    ) -> None:
        """Raise TooDeep, if a second look shows the same and nobody else still has our newest block."""
        depth, most = window.cursor.number - fork.number, self._policy.max_reorg_depth
        what = f"a reorg of {depth} blocks, from block {window.cursor} back to {fork}: deeper than "
        what += f"chain.max_reorg_depth = {most}"
        if keeping:
            raise Parted(f"{what}, and not seen by {', '.join(keeping)}")
        if await self._fork(window, node, head) != fork:
            raise Inconsistent(f"{what}, and the chain has changed again")
        raise TooDeep(f"{what}; look at the node, then raise the limit")

    def _tell(self, window: Window, removed: Removed, new: BlockId, blocks: list[FollowedBlock]) -> None:
        rows = sum(removed.events.values())
        self._metrics.reorged(removed.depth, rows)
        log.warning(
            "reorg",
            event_type="reorg",
            from_block=window.cursor.number - removed.depth + 1,
            to_block=window.cursor.number,
            reorg=removed.reorg_id,
            fork=window.cursor.number - removed.depth,
            depth=removed.depth,
            old_head=window.cursor.number,
            old_hash="0x" + window.cursor.hash.hex(),
            new_head=new.number,
            new_hash="0x" + new.hash.hex(),
            rows_removed=rows,
            rows_added=sum(block.encoded.rows for block in blocks),
        )
