"""The primary dies in the middle of a transaction, its standby takes over, and the program goes on there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.chaos.scene import Scene, scene
from tests.chaos.servers import Server, own_server
from tests.chaos.test_database import until_health
from tests.fixtures.cutting import CuttingProxy
from tests.fixtures.program import Program, command

pytestmark = pytest.mark.chaos

#: The standby keeps what it has and gets nothing more.
STOP_STREAMING = ("primary_conninfo", "''")
CURSOR_NUMBER = "select number from indexer.cursor"
HAS_TABLES = "select count(*) > 0 from pg_namespace where nspname = 'indexer'"


@asynccontextmanager
async def two_servers(directory: Path) -> AsyncIterator[tuple[Server, Server]]:
    """A primary and its standby, both running."""
    async with own_server(directory / "primary") as primary:
        standby = await primary.copy(directory / "standby")
        await standby.start()
        try:
            yield primary, standby
        finally:
            await standby.stop()


def url_of_both(first: CuttingProxy, second: CuttingProxy) -> str:
    """One URL that names both ways."""
    port = urlsplit(first.url).port
    return second.url.replace("@", f"@127.0.0.1:{port},", 1)


async def caught_writing(world: Scene, program: Program) -> None:
    """Freeze the program with a transaction open that has written."""
    async with world.onlooker() as onlooker:
        assert await onlooker.freezes_writing(program, partial(world.keep_going, onlooker))


async def test_after_a_failover_that_lost_commits_the_database_is_believed(tmp_path: Path) -> None:
    async with (
        two_servers(tmp_path) as (primary, standby),
        CuttingProxy(primary.url).running() as to_primary,
        CuttingProxy(standby.url).running() as to_standby,
        scene(tmp_path, primary.url) as world,
    ):
        world.mine(200)
        world.finalize(12)
        # The standby is named first, so that each connection has to find out which one takes writes.
        both = url_of_both(to_standby, to_primary)
        async with world.run(database_url=both) as program:
            await world.followed()
            await standby.has_replayed(primary)
            reading = str(world.config(database_url=standby.url))
            for question in ("reorgs", "digest"):
                outcome = await command(question, "--config", reading, "--json")
                assert outcome.code == 0, outcome.said
            await standby.set(*STOP_STREAMING)
            held = await standby.asked(CURSOR_NUMBER)
            world.mine(3)
            await world.followed()
            world.reorg(5, 7)
            await caught_writing(world, program)
            assert await primary.asked(CURSOR_NUMBER) > held
            await primary.kill()
            program.thaw()
            await until_health(program, 503, "disconnected")
            await standby.promote()
            assert await standby.asked(CURSOR_NUMBER) == held
            world.database_url = standby.url
            await until_health(program, 200, "connected")
            world.reorg(2, 3)
            await world.settled()
            assert await world.compare() > 0
            assert await program.stopped() == 0, program.said


async def test_a_standby_is_not_written_to_and_becomes_the_database_when_it_is_promoted(
    tmp_path: Path,
) -> None:
    async with two_servers(tmp_path) as (primary, standby), scene(tmp_path, standby.url) as world:
        world.mine(10)
        world.finalize(3)
        config = str(world.config())
        for one_shot in (("migrate",), ("backfill", "--from-block", "0")):
            outcome = await command(one_shot[0], "--config", config, *one_shot[1:])
            assert outcome.code == 75, outcome.said
            assert "read-only" in outcome.said and "standby" in outcome.said, outcome.said
            assert "Traceback" not in outcome.said, outcome.said
        async with world.run() as program:
            said = await program.journalled("indexing failed, trying again", times=2)
            assert "read-only" in said["reason"]
            assert (await program.get("/health"))[0] == 503
            # The server would have noted what it refused.
            assert "ERROR" not in (tmp_path / "standby" / "server.log").read_text()
            await standby.promote()
            await world.settled()
            await until_health(program, 200, "connected")
            assert await world.compare() > 0
            assert not await primary.asked(HAS_TABLES)
            assert await program.stopped() == 0, program.said


async def test_a_database_that_becomes_read_only_is_waited_for(tmp_path: Path) -> None:
    async with own_server(tmp_path / "server") as server, scene(tmp_path, server.url) as world:
        world.mine(10)
        world.finalize(3)
        async with world.run() as program:
            await world.followed()
            await server.set("default_transaction_read_only", "on")
            world.mine(2)
            said = await program.journalled("following failed, trying again")
            assert "read-only" in said["reason"], said
            await until_health(program, 503, "disconnected")
            world.reorg(1, 2)
            await server.set("default_transaction_read_only", "off")
            await world.settled()
            await until_health(program, 200, "connected")
            assert await world.compare() > 0
            assert await program.stopped() == 0, program.said


async def test_a_host_that_fell_silent_does_not_keep_us_from_the_other(
    database_url: str, tmp_path: Path
) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent, CuttingProxy(database_url).running() as proxy, scene(tmp_path, database_url) as world:
        world.mine(5)
        world.finalize(2)
        silent_port = silent.sockets[0].getsockname()[1]
        both = proxy.url.replace("@", f"@127.0.0.1:{silent_port},", 1)
        async with world.run(database_url=both) as program:
            await world.settled()
            assert await program.stopped() == 0, program.said
        assert await world.compare() > 0
