"""The database restarts, dies, or its connections break: the program says so, outlives it, and loses nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from indexer.core.errors import Unavailable
from indexer.store.embedded import EmbeddedPostgres
from tests.chaos.scene import Scene, scene
from tests.fixtures.cutting import CuttingProxy
from tests.fixtures.program import Program, until

pytestmark = pytest.mark.chaos

#: How often connections are cut.
CUTS = 8
END_ALL_SESSIONS = """
    select count(pg_terminate_backend(pid)) from pg_catalog.pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
"""


class Server:
    """A PostgreSQL of our own that can be stopped, killed and started again on the same data."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running = AsyncExitStack()
        self._postgres = EmbeddedPostgres(directory)
        self.url = self._postgres.url

    async def start(self) -> None:
        self._postgres = EmbeddedPostgres(self._directory)
        await self._running.enter_async_context(self._postgres)

    async def stop(self) -> None:
        """A fast shutdown: sessions are ended, and nothing needs to be recovered."""
        await self._running.aclose()

    async def kill(self) -> None:
        """The postmaster dies, and its children with it."""
        assert self._postgres.pid is not None
        os.kill(self._postgres.pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match="ended by itself"):
            await self._postgres.watch()
        await self._running.aclose()


@asynccontextmanager
async def own_server(directory: Path) -> AsyncIterator[Server]:
    server = Server(directory)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


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


async def test_a_database_that_is_restarted_or_killed_while_rows_are_written_loses_none(
    tmp_path: Path,
) -> None:
    async with own_server(tmp_path / "server") as server, scene(tmp_path, server.url) as world:
        world.mine(400)
        world.finalize(10)
        async with world.run() as program:
            for end in (server.stop, server.kill):
                await world.followed()
                async with world.onlooker() as onlooker:
                    await onlooker.freezes_writing(program)
                    assert not await onlooker.covers(world.chain.finalized), "the backfill should still run"
                program.thaw()
                await end()
                await until_health(program, 503, "disconnected")
                world.mine(3)
                world.reorg(2, 3)
                await until_lag(program, 4)
                assert (await program.get("/health/live"))[0] == 200
                await server.start()
                await until_health(program, 200, "connected")
            await world.settled()
            assert await world.compare() > 0
            assert await program.stopped() == 0, program.said


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
