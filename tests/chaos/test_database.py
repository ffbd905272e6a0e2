"""The database restarts, dies, or its connections break: the program says so, outlives it, and loses nothing."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from tests.chaos.scene import Scene, repeatable, scene
from tests.chaos.servers import Server, own_server
from tests.fixtures.cutting import CuttingProxy
from tests.fixtures.program import Program, until

log = logging.getLogger(__name__)
pytestmark = pytest.mark.chaos

#: How often the server, or one of its processes, is ended.
KILLS = int(os.environ.get("CHAOS_DATABASE_KILLS", "4"))

#: How often connections are cut.
CUTS = 8
END_ALL_SESSIONS = """
    select count(pg_terminate_backend(pid)) from pg_catalog.pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
"""


async def until_health(program: Program, status: int, database: str) -> None:
    """Return when the health page has that status and says so of the database."""

    async def said() -> bool:
        assert program.running, program.said
        found, page = await program.get("/health")
        return (found, json.loads(page)["database"]) == (status, database)

    await until(said, f"/health is {status} and the database is {database}")


async def until_lag(program: Program, blocks: int) -> None:
    """Return when the metrics say that the cursor is so many blocks behind the head."""

    async def said() -> bool:
        assert program.running, program.said
        return (await program.metrics())["indexer_block_lag"] == blocks

    await until(said, f"the lag is {blocks} blocks")


async def go_on(world: Scene) -> None:
    """Let the chain go on, with a reorg, and see the program catch up."""
    world.mine(3)
    world.reorg(2, 3)
    await world.settled()


async def test_a_database_that_ends_in_any_way_while_rows_are_written_loses_none(tmp_path: Path) -> None:
    with repeatable() as random:
        async with (
            own_server(tmp_path / "server") as server,
            scene(tmp_path, server.url, random=random) as world,
        ):
            world.mine(400)
            world.finalize(10)
            async with world.run() as program:
                await world.followed()
                ends = (server.stop, server.kill, server.stop_immediately, server.kill_session)
                inside = 0
                for number in range(KILLS):
                    end = ends[number % len(ends)]
                    inside += await caught_writing(world, program)
                    await end()
                    program.thaw()
                    if end != server.kill_session:
                        await stays_away(world, program, server)
                    await goes_on(world, program)
                log.info("%d of %d ends of the database were inside a transaction", inside, KILLS)
                await world.settled()
                assert await world.compare() > 0
                assert await program.stopped() == 0, program.said


async def caught_writing(world: Scene, program: Program) -> bool:
    """Freeze the program, mostly with a transaction open that has written; whether it was."""
    async with world.onlooker() as onlooker:

        async def keep_going() -> None:
            await world.keep_going(onlooker)

        await world.answered(world.random.randrange(1, 40), program, keep_going)
        return await onlooker.freezes_writing(program, keep_going)


async def stays_away(world: Scene, program: Program, server: Server) -> None:
    """The database is away for a while, the chain goes on, and the program says so."""
    await until_health(program, 503, "disconnected")
    before = world.chain.head.number
    world.mine(3)
    world.reorg(2, 3)
    assert world.chain.head.number == before + 4
    assert (await program.get("/health/live"))[0] == 200
    await server.start()


async def goes_on(world: Scene, program: Program) -> None:
    """It follows again, and at times has a longer way to go."""
    await until_health(program, 200, "connected")
    if world.random.random() < 0.5:
        await world.followed()
        world.weather()


async def test_connections_that_break_after_any_message_lose_nothing_and_double_nothing(
    database_url: str, tmp_path: Path
) -> None:
    async with CuttingProxy(database_url).running() as proxy, scene(tmp_path, database_url) as world:
        world.mine(150)
        world.finalize(10)
        async with world.run(database_url=proxy.url) as program, world.onlooker() as onlooker:
            for cut in range(CUTS):
                proxy.arm(world.random.randrange(10, 60))

                async def struck() -> bool:
                    await world.keep_going(onlooker)
                    return proxy.struck

                await until(struck, f"connections are cut for the {cut + 1}th time")
            await until_health(program, 200, "connected")
            await onlooker.asked(END_ALL_SESSIONS)
            await go_on(world)
            assert await world.compare() > 0
            assert await program.stopped() == 0, program.said
