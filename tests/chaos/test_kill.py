"""Killed at any moment and started again at once, the program ends with every row once.

The default is a handful of kills; `CHAOS_KILLS=125` makes it 500 for the four tests together.
"""

from __future__ import annotations

import asyncio
import logging
import os
from functools import partial
from pathlib import Path

import pytest

from indexer.core.errors import Unavailable
from tests.chaos.scene import CONTRACTS, Happening, Onlooker, Scene, frozen, nothing, repeatable, scene
from tests.fixtures.postgres import fresh_database
from tests.fixtures.program import Program, until_sql

log = logging.getLogger(__name__)
pytestmark = [
    pytest.mark.chaos,
    # What is killed in the middle of a request leaves a socket to the test's own node that is only collected later.
    pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"),
]

#: How often each test kills.
KILLS = int(os.environ.get("CHAOS_KILLS", "4"))

#: How far below the head a reorg of these tests may fork.
FORKS_BELOW_HEAD = 10
#: A start from the first line of the journal to the first block, on a quiet machine.
PREPARING_SECONDS = 0.6
#: Kills of one database before it is let through to the next step.
KILLS_WHILE_PREPARING = 4
WATCHED = "select count(distinct contract) = $1 from indexer.source where active"


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
        await self._end(program, inside=inside)
        return True

    async def kill_writing(self, program: Program, idle: Happening) -> bool:
        """Kill the program in its next transaction that writes; False when it ended before."""
        if not await self._onlooker.freezes_writing(program, idle):
            return False
        await self._end(program, inside=True)
        return True

    async def kill_preparing(self, program: Program) -> None:
        """Kill the program between its first word and its first block, mostly while it changes the schema."""
        if self.kills % 3:
            # Where everything is prepared and followed already, a new block gives it something to write.
            await self._onlooker.freezes_writing(program, partial(self._world.keep_going, self._onlooker))
        else:
            await program.journalled("started")
            # Nothing that happens in this time can be waited for: it is to be any moment.
            await asyncio.sleep(self._world.random.uniform(0, PREPARING_SECONDS))
            await frozen(program)
        await self._end(program, inside=await self._onlooker.is_writing())

    async def _end(self, program: Program, *, inside: bool) -> None:
        self.kills += 1
        self.inside += inside
        program.kill()
        await program.ended()

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


async def test_a_reorg_that_is_killed_at_any_moment_is_carried_out_once(
    empty_database_url: str, tmp_path: Path
) -> None:
    with repeatable() as random:
        async with scene(tmp_path, empty_database_url, random=random) as world, world.onlooker() as onlooker:
            world.mine(20)
            world.finalize(FORKS_BELOW_HEAD)
            killer = Killer(world, onlooker)
            while killer.kills < KILLS:
                async with world.run() as program:
                    await world.followed()
                    depth = random.randrange(1, FORKS_BELOW_HEAD)
                    world.reorg(depth, depth + random.choice((-1, 0, 1, 5)) or 1)
                    if killer.kills % 4 == 3:
                        # A second reorg while the first one is read.
                        await world.answered(random.randrange(1, 8), program)
                        world.reorg(random.randrange(1, 5), 3)
                    assert await killer.kill_writing(
                        program, idle=partial(reorg_if_followed, world, onlooker)
                    )
            async with world.run() as program:
                await world.settled()
                assert await program.stopped() == 0, program.said
            assert await world.compare() > 0
            assert await onlooker.asked("select count(*) from indexer.reorg") > 0
            killer.tell()


async def reorg_if_followed(world: Scene, onlooker: Onlooker) -> None:
    if await onlooker.at_head(world.chain):
        world.reorg(2, 3)


async def test_migrations_and_new_contracts_killed_at_any_moment_are_made_by_the_next_start(
    postgres_url: str, tmp_path: Path
) -> None:
    with repeatable() as random:
        kills = inside = 0
        while kills < KILLS:
            async with (
                fresh_database(postgres_url) as url,
                scene(tmp_path, url, random=random) as world,
                world.onlooker() as onlooker,
            ):
                world.mine(8)
                world.finalize(2)
                for contracts in (CONTRACTS[:1], CONTRACTS):
                    killer = Killer(world, onlooker)
                    for _ in range(min(KILLS_WHILE_PREPARING, KILLS - kills)):
                        async with world.run(contracts=contracts) as program:
                            await killer.kill_preparing(program)
                    kills, inside = kills + killer.kills, inside + killer.inside
                    async with world.run(contracts=contracts) as program:
                        await program.journalled("leading")
                        await until_sql(url, WATCHED, len(contracts))
                        await world.settled()
                        assert await program.stopped() == 0, program.said
                assert await world.compare() > 0
        log.info("%d of %d kills were inside a transaction", inside, kills)
        assert inside >= kills // 3
