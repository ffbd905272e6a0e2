"""The database has no connection left, or no time: the program says what is scarce, and waits for more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.chaos.scene import scene
from tests.chaos.servers import Server, own_server
from tests.chaos.test_database import until_health
from tests.fixtures.program import Program

pytestmark = pytest.mark.chaos

END_OUR_SESSIONS = """
    select count(pg_terminate_backend(pid)) from pg_catalog.pg_stat_activity
    where application_name like 'indexer%'
"""
LOCK_TABLES = "lock table indexer.block in access exclusive mode"
FAILED = "indexing failed, trying again"


class Crowd:
    """Sessions of others, as many as the server takes."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._sessions: list[asyncpg.Connection[asyncpg.Record]] = []

    async def come(self) -> None:
        try:
            while True:
                self._sessions.append(await asyncpg.connect(self._server.url))
        except asyncpg.TooManyConnectionsError:
            return

    async def take_the_place_of_the_program(self) -> None:
        """Have its sessions ended, and be there first."""
        await self._sessions[0].execute(END_OUR_SESSIONS)
        await self.come()

    def go(self) -> None:
        while self._sessions:
            self._sessions.pop().terminate()


async def red_for(program: Program, words: str, *, times: int = 1) -> None:
    """The program says so in its journal, and its health is red."""
    said = await program.journalled(FAILED, error="Unavailable", times=times)
    assert words in said["reason"], said
    await until_health(program, 503, "disconnected")


async def test_without_a_free_connection_it_waits_at_its_start_and_while_it_runs(tmp_path: Path) -> None:
    async with (
        own_server(
            tmp_path / "server", {"max_connections": "12", "superuser_reserved_connections": "0"}
        ) as server,
        scene(tmp_path, server.url) as world,
    ):
        world.mine(30)
        world.finalize(5)
        crowd = Crowd(server)
        await crowd.come()
        async with world.run() as program:
            await red_for(program, "no connection left")
            crowd.go()
            await world.followed()
            await until_health(program, 200, "connected")

            await crowd.come()
            await crowd.take_the_place_of_the_program()
            world.mine(3)
            await until_health(program, 503, "disconnected")
            crowd.go()
            await world.settled()
            await until_health(program, 200, "connected")
            assert await world.compare() > 0
            assert await program.stopped() == 0, program.said


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Another session holds a table, as somebody's maintenance might."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(LOCK_TABLES)
            yield
    finally:
        await connection.close()


async def test_a_statement_that_takes_too_long_is_told_and_tried_again(
    database_url: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database_url) as world:
        world.mine(10)
        world.finalize(3)
        async with world.run(timeouts={"statement_seconds": 1}) as program:
            await world.followed()
            async with locked(database_url):
                world.mine(2)
                said = await program.journalled("following failed, trying again")
                assert "took too long" in said["reason"], said
                await until_health(program, 503, "disconnected")
                world.reorg(1, 2)
            await world.settled()
            await until_health(program, 200, "connected")
            assert await world.compare() > 0
            assert await program.stopped() == 0, program.said
