"""What runs for as long as we lead: watch the head, follow it, keep the gaps filled."""

from __future__ import annotations

import asyncio

from indexer import sentry
from indexer.core.model import BlockId
from indexer.metrics import Metrics
from indexer.rpc.heads import Heads
from indexer.sync.backfill import Backfill
from indexer.sync.branches import Parted
from indexer.sync.follow import Follower
from indexer.sync.indexing import Indexing
from indexer.sync.persist import PASSING, persist


async def follow(follower: Follower, heads: Heads, metrics: Metrics) -> None:
    """Follow the head for ever; failures that pass are tried again with the head of that time."""
    seen: BlockId | None = None
    while True:
        seen = (await heads.next_after(seen)).id

        async def step() -> bool:
            nonlocal seen
            head = heads.latest
            assert head is not None
            seen = head.id
            try:
                with sentry.step("follow", head.number):
                    more = await follower.step(head)
            except Parted:
                # All endpoints were heard, whoever announced this head.
                raise
            except PASSING:
                # Another endpoint's head may lead farther than the one that led to this.
                await heads.doubt(head.id)
                raise
            # Whatever had stopped the writing is over.
            metrics.goes_on()
            return more

        while await persist(step, metrics, "following"):
            pass


async def watch_head(heads: Heads, metrics: Metrics) -> None:
    """Tell the metrics about every new head, whatever becomes of it: so lag cannot freeze."""
    seen: BlockId | None = None
    while True:
        head = await heads.next_after(seen)
        seen = head.id
        metrics.head_seen(head)


class Wake:
    """What the tail tells the backfill: that finality advanced, or that it left a gap behind."""

    def __init__(self) -> None:
        self.advanced = asyncio.Event()
        self.jumped = asyncio.Event()
        #: All gaps that were final were filled.
        self.filled = asyncio.Event()

    def moved(self, jumped: bool) -> None:
        self.advanced.set()
        if jumped:
            self.jumped.set()


async def keep_filled(follower: Follower, backfill: Backfill, wake: Wake, metrics: Metrics) -> None:
    """Fill gaps for ever, as soon as they are final; failures that pass are tried again."""

    async def fill() -> bool:
        # Nothing in a range of old blocks tells another chain's from ours.
        await follower.look_around()
        return await backfill.fill_final()

    while True:
        wake.advanced.clear()
        wake.jumped.clear()
        complete = await persist(fill, metrics, "backfilling")
        wake.filled.set()
        # With nothing missing up to the cursor only a jump of the tail can leave a new gap.
        await (wake.jumped if complete else wake.advanced).wait()


async def keep_indexed(indexing: Indexing, wake: Wake, metrics: Metrics) -> None:
    """Build the declared indexes, each when its table is filled; return when all of them are there."""
    while True:
        await wake.filled.wait()
        wake.filled.clear()
        if await persist(indexing.make, metrics, "building indexes"):
            return
