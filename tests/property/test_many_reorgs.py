"""Many reorgs in one run: whatever was replaced by whatever, tables and journal equal the truth.

`REORGS` says how many (40 by default, 10,000 before a release); `REORGS_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import sys
from random import Random

from tests.property.journey.reorg_journal import Noticed, ReorgJournal
from tests.property.journey.world import LATECOMER, World

REORGS = int(os.environ.get("REORGS", "40"))
SEED = int(os.environ.get("REORGS_SEED") or int.from_bytes(os.urandom(4), "big"))
DEEPEST = 64
#: Blocks that are there from the beginning, to be filled beneath the reorgs.
HISTORY_BLOCKS = 150
#: Blocks that may still be replaced: at least, and where finality lags most.
OPEN_BLOCKS, MOST_OPEN_BLOCKS = DEEPEST + 1, 110
#: Reorgs between two looks at the journal, and at everything else.
JOURNAL_EVERY, LOOK_EVERY = 20, max(20, REORGS // 16)
#: Transactions of a block, at most: what is to be tried is many reorgs, not many rows.
TRANSACTIONS = 1
#: Of the transactions that a reorg takes out, the share that comes back with each block of the new branch.
SHARED = 0.03


class ManyReorgs:
    """Drives a world from reorg to reorg, and knows which of them have to be in the journal."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._journal = ReorgJournal(world.chain)
        self._noticed: list[Noticed] = []
        self._latecomer_is_watched = False
        self.done = 0

    async def run(self, reorgs: int) -> None:
        self._mine(HISTORY_BLOCKS)
        self._finalize()
        await self._world.follow()
        looked_at = 0
        while self.done < reorgs:
            for _ in range(JOURNAL_EVERY):
                await self._round()
            await self._check_journal()
            if self.done - looked_at >= LOOK_EVERY:
                looked_at = self.done
                sys.stdout.write(f"\n{self.done} reorgs: {self._journal.totals}")
                await self._world.look()
                self._journal.forget_lost_branches()
            if self._random.random() < 0.3:
                await self._change_what_is_watched()
        await self._world.settle()
        await self._check_journal()
        self._check_metrics()

    async def _round(self) -> None:
        """Some reorgs between two looks of the indexer at the chain, which thereafter has to be at the head."""
        world, random = self._world, self._random
        self._mine(random.randrange(4))
        await world.follow()
        old = world.chain.head
        for _ in range(random.choice((1, 1, 1, 1, 2, 4))):
            self._reorg()
        if random.random() < 0.1:
            await world.crash()
        fork = old
        while world.chain.blocks[min(fork.number, world.chain.head.number)].hash != fork.hash:
            fork = world.chain.by_hash[fork.parent_hash]
        # What is above the old height is no replacement: it is followed thereafter.
        new = world.chain.blocks[min(old.number, world.chain.head.number)]
        if new.hash != fork.hash:
            self._noticed.append(Noticed(old.hash, fork.hash, new.hash))
        if random.random() < 0.3:
            await world.indexer()
            await asyncio.gather(world.fill(), world.follow())
        # A step that lost a race with the backfill is tried again.
        await world.follow()
        assert await world.cursor() == world.chain.head.hash, world.failure
        self._finalize()

    def _reorg(self) -> None:
        chain, random = self._world.chain, self._random
        depth = random.randint(1, min(DEEPEST, chain.head.number - chain.finalized))
        length = max(1, depth + random.choice((-20, -3, -1, 0, 0, 0, 1, 3, 20)))
        self._world.reorg(depth, length, random.randrange(2**32), transactions=TRANSACTIONS, shared=SHARED)
        self.done += 1

    def _mine(self, blocks: int) -> None:
        self._world.mine(blocks, self._random.randrange(2**32), transactions=TRANSACTIONS)

    def _finalize(self) -> None:
        self._world.finalize(self._random.randint(OPEN_BLOCKS, MOST_OPEN_BLOCKS))

    async def _change_what_is_watched(self) -> None:
        """Take a contract in or out, so that there is history to be filled."""
        self._latecomer_is_watched = not self._latecomer_is_watched
        if self._latecomer_is_watched:
            self._world.watch(LATECOMER)
        else:
            self._world.unwatch(LATECOMER)
        await self._world.crash()

    async def _check_journal(self) -> None:
        partly = frozenset({LATECOMER.name} & {contract.name for contract in self._world.contracts})
        await self._journal.check(self._world.url_of_database, self._world.contracts, partly, self._noticed)
        self._noticed.clear()

    def _check_metrics(self) -> None:
        """Counted since the beginning, whatever crashed: the metrics outlive the flow here."""
        totals, registry = self._journal.totals, self._world.metrics.registry
        counted = {
            name: registry.get_sample_value(name, {"chain": "test"})
            for name in (
                "indexer_reorgs_total",
                "indexer_reorg_depth_count",
                "indexer_reorg_depth_sum",
                "indexer_reorg_removed_events_total",
            )
        }
        assert list(counted.values()) == [totals.entries, totals.entries, totals.depth, totals.rows_removed]
        sys.stdout.write(f"\n{self.done} reorgs of the chain, seed {SEED}: {totals}\n")


async def test_after_many_reorgs_of_any_depth_tables_and_journal_equal_the_truth(database_url: str) -> None:
    random = Random(SEED)
    try:
        async with World(database_url) as world:
            await ManyReorgs(world, random).run(REORGS)
    except BaseException as error:
        error.add_note(f"to see it again: REORGS={REORGS} REORGS_SEED={SEED}")
        raise
