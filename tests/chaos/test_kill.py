"""Killed at any moment and started again at once, the program ends with every row once."""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path

import pytest

from indexer.core.errors import Unavailable
from tests.chaos.scene import Happening, Onlooker, Scene, frozen, nothing, repeatable, scene
from tests.fixtures.program import Program

log = logging.getLogger(__name__)
pytestmark = pytest.mark.chaos

#: How often each test kills.
KILLS = int(os.environ.get("CHAOS_KILLS", "6"))


class Killer:
    """Kills in turn in the middle of a transaction and at some request to the node."""

    def __init__(self, world: Scene, onlooker: Onlooker) -> None:
        self._world = world
        self._onlooker = onlooker
        self.kills = 0
        #: How many of them found a transaction open that had written something.
        self.inside = 0

    async def kill(self, program: Program, idle: Happening = nothing) -> bool:
        """Kill the program at a moment of our choice; False when it ended before."""
        # As far as it may get before the moment; a start takes about 15 requests.
        await self._world.answered(self._world.random.randrange(1, 60), program, idle)
        if self.kills % 3:
            inside = await self._onlooker.freezes_writing(program, idle)
        else:
            await frozen(program)
            inside = await self._onlooker.is_writing()
        if not program.running:
            return False
        self.kills += 1
        self.inside += inside
        program.kill()
        await program.ended()
        return True

    def tell(self) -> None:
        log.info("%d of %d kills were inside a transaction", self.inside, self.kills)
        assert self.inside >= self.kills // 2


async def test_a_backfill_killed_at_any_moment_ends_with_every_row_once(
    empty_database_url: str, tmp_path: Path
) -> None:
    with repeatable() as random:
        async with scene(tmp_path, empty_database_url, random=random) as world, world.onlooker() as onlooker:
            world.mine(240)
            world.finalize()
            killer = Killer(world, onlooker)
            while killer.kills < KILLS:
                async with world.backfill() as program:
                    if await killer.kill(program):
                        continue
                    # The server had not noticed yet that the one before is gone, or nothing was left to do.
                    code = await program.ended()
                    assert code in (0, Unavailable.exit_code), program.said
                if code == 0:
                    world.mine(60)
                    world.finalize()
            while (outcome := await world.backfilled()).code == Unavailable.exit_code:
                pass
            assert outcome.code == 0 and outcome.json()["complete"], outcome.said
            assert await onlooker.covers(world.chain.head.number)
            assert await world.compare_claims() > 0
            killer.tell()


async def test_a_tail_killed_at_any_moment_of_a_restless_chain_ends_with_every_row_once(
    empty_database_url: str, tmp_path: Path
) -> None:
    with repeatable() as random:
        async with scene(tmp_path, empty_database_url, random=random) as world, world.onlooker() as onlooker:
            world.mine(30)
            world.finalize(10)
            killer = Killer(world, onlooker)
            while killer.kills < KILLS:
                async with world.run() as program:
                    await program.journalled("leading")
                    if killer.kills % 2:
                        # Else most kills would fall on the backfill that each start begins with.
                        await world.followed()
                    ended = not await killer.kill(program, partial(world.keep_going, onlooker))
                    assert not ended, program.said
                for _ in range(random.randrange(3)):
                    world.weather()
            async with world.run() as program:
                await world.followed()
                world.reorg(3, 4)
                await world.settled()
                assert await program.stopped() == 0, program.said
            assert await world.compare() > 0
            assert await onlooker.asked("select count(*) from indexer.reorg") > 0
            killer.tell()
