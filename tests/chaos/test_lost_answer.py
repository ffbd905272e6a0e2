"""The answer to a commit is lost: it has happened, we do not know, and nothing is missing or there twice."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from indexer.core.errors import Unavailable
from tests.chaos.scene import Happening, Onlooker, Scene, nothing, repeatable, scene
from tests.fixtures.lostanswers import LosingProxy
from tests.fixtures.program import Program, until

pytestmark = pytest.mark.chaos

#: Answers lost in each phase.
LOSSES = int(os.environ.get("CHAOS_LOST_ANSWERS", "3"))

#: Words of a statement that only such a transaction runs.
OF_BACKFILL = b"int8multirange(int8range($3, $4,"
OF_TAIL = b"update indexer.cursor set number ="
OF_REORG = b"insert into indexer.reorg"


async def lose(
    proxy: LosingProxy, statement: bytes, program: Program, meanwhile: Happening = nothing
) -> None:
    """Lose the answer to the commit of the next transaction with such a statement."""
    before = proxy.lost
    proxy.lose(statement)

    async def lost() -> bool:
        assert program.running, program.said
        await meanwhile()
        return proxy.lost > before

    await until(lost, f"the answer to a commit of {statement.decode()!r} is lost")


async def keep_changing(world: Scene, onlooker: Onlooker) -> None:
    if await onlooker.at_head(world.chain):
        world.reorg(2, 3)


async def test_commits_whose_answers_are_lost_happen_once(database_url: str, tmp_path: Path) -> None:
    with repeatable() as random:
        async with (
            LosingProxy(database_url).running() as proxy,
            scene(tmp_path, database_url, random=random) as world,
            world.onlooker() as onlooker,
        ):
            world.mine(30 + 12 * LOSSES)
            world.finalize(10)
            async with world.run(database_url=proxy.url) as program:
                for _ in range(LOSSES):
                    await lose(proxy, OF_BACKFILL, program)
                for _ in range(LOSSES):
                    await lose(proxy, OF_TAIL, program, partial(world.keep_going, onlooker))
                for _ in range(LOSSES):
                    await lose(proxy, OF_REORG, program, partial(keep_changing, world, onlooker))
                await world.settled()
                assert await world.compare() > 0
                assert await program.stopped() == 0, program.said
            assert proxy.lost == 3 * LOSSES


async def test_a_registration_whose_answer_is_lost_is_found_done(
    empty_database_url: str, tmp_path: Path
) -> None:
    async with (
        LosingProxy(empty_database_url).running() as proxy,
        scene(tmp_path, empty_database_url) as world,
    ):
        world.mine(20)
        world.finalize(5)
        proxy.lose(b"insert into indexer.migration")
        async with world.run(database_url=proxy.url) as program:
            await program.journalled("indexing failed, trying again", error=Unavailable.__name__)
            await lose(proxy, b"insert into indexer.source", program)
            await world.settled()
            assert await world.compare() > 0
            assert await program.stopped() == 0, program.said
        assert proxy.lost == 2
