"""A chain that breaks its own finality: the program halts, waits or goes back, as it was told to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.chaos.scene import Scene, scene
from tests.fixtures.program import Program, until

pytestmark = pytest.mark.chaos

SNAPSHOT = """
    select md5(coalesce(string_agg(event::text, '|' order by block_number, log_index), ''))
    from indexer.event
"""


def with_a_past(world: Scene) -> None:
    world.mine(40)
    world.finalize(5)


def break_finality(world: Scene, *, depth: int) -> None:
    """Replace blocks down to below the finalized one, as no honest chain does."""
    del world.chain.blocks[-depth:]
    world.chain._branch += 1
    world.chain.finalized = world.chain.head.number
    world.mine(depth + 2)
    world.finalize(5)


async def health(program: Program) -> tuple[int, str]:
    status, body = await program.get("/health")
    return status, " ".join(json.loads(body)["reasons"])


async def halted(program: Program) -> None:
    async def red() -> bool:
        status, reasons = await health(program)
        return status == 503 and "halted" in reasons

    await until(red, "/health says that it halted")


async def well(program: Program) -> None:
    async def green() -> bool:
        return (await health(program))[0] == 200 and (await program.metrics()).total("indexer_halted") == 0

    await until(green, "/health says that all is well")


async def test_by_default_it_halts_serves_on_and_touches_nothing(database_url: str, tmp_path: Path) -> None:
    async with scene(tmp_path, database_url) as world, world.onlooker() as onlooker:
        with_a_past(world)
        async with world.run() as program:
            await world.caught_up()
            before = await onlooker.asked(SNAPSHOT)
            break_finality(world, depth=20)
            await halted(program)
            assert (await program.metrics()).total("indexer_halted") == 1
            assert (await program.get("/health/live"))[0] == 200
            assert await onlooker.asked(SNAPSHOT) == before
            assert await onlooker.asked("select count(*) from indexer.reorg") == 0
            assert await program.stopped() == 0


async def test_told_to_wait_it_goes_on_when_the_chain_is_the_old_one_again(
    database_url: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database_url) as world:
        with_a_past(world)
        async with world.run(chain={"below_finality": "wait"}) as program:
            await world.caught_up()
            old = list(world.chain.blocks)
            break_finality(world, depth=20)
            await halted(program)
            world.chain.blocks = old
            world.chain.finalized = old[-1].number - 5
            await world.settled()
            await well(program)
        assert await world.compare() > 0


@pytest.mark.parametrize("depth", [20, 39], ids=["partly", "nearly to the beginning"])
async def test_told_to_roll_back_it_ends_with_the_new_chain_and_keeps_what_it_removed(
    depth: int, database_url: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database_url) as world, world.onlooker() as onlooker:
        with_a_past(world)
        async with world.run(chain={"below_finality": "rollback"}) as program:
            await world.caught_up()
            removed = await onlooker.asked(
                "select count(*) from indexer.event where block_number > $1", world.chain.head.number - depth
            )
            break_finality(world, depth=depth)
            await world.settled()
            await well(program)
        assert await world.compare() > 0
        kept = await onlooker.asked("select count(*) from indexer.orphaned_event")
        assert kept >= removed > 0


async def test_told_to_roll_back_it_halts_where_nothing_stored_is_left_of_the_chain(
    database_url: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database_url) as world, world.onlooker() as onlooker:
        with_a_past(world)
        async with world.run(chain={"below_finality": "rollback"}) as program:
            await world.caught_up()
            # Below the first block with rows there is nothing to go back to.
            first = await onlooker.asked("select min(number) from indexer.block")
            before = await onlooker.asked(SNAPSHOT)
            break_finality(world, depth=world.chain.head.number - first + 1)
            await halted(program)
            assert await onlooker.asked(SNAPSHOT) == before
