"""The disk of the database is full: the program says so, loses nothing, and goes on when there is room again."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from indexer.core.errors import Unavailable
from indexer.store.embedded import EmbeddedPostgres
from tests.chaos.scene import Scene, scene
from tests.chaos.servers import own_server
from tests.chaos.test_database import until_health
from tests.fixtures.program import Program, until

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small filesystem"),
]

#: Blocks and transactions in each that are more than fits into the last pages of our tables.
MANY_BLOCKS, MANY_TRANSACTIONS = 20, 12
#: What it keeps in memory is on that disk too.
SHORT_OF_MEMORY = {"max_wal_size": "48MB", "shared_buffers": "16MB"}


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    """A filesystem of its own with room for so much."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(directory)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no filesystem can be mounted here: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


class Ballast:
    """A file that takes all the room there is."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "ballast"

    def fill(self) -> None:
        with self._path.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def remove(self) -> None:
        self._path.unlink()


async def says_that_the_disk_is_full(world: Scene, program: Program) -> None:
    """Let the chain grow until what it holds does not fit, and see the program say so."""
    for _ in range(MANY_BLOCKS):
        world.mine(1, transactions=MANY_TRANSACTIONS)
    said = await program.journalled("following failed, trying again")
    assert "disk of the database is full" in said["reason"], said

    async def red() -> bool:
        status, page = await program.get("/health")
        return status == 503 and "disk" in json.loads(page)["services"]["database"].get("error", "")

    await until(red, "/health says that the disk is full")


async def test_a_full_disk_under_the_tables_stops_the_writing_until_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 40) as small:
        async with own_server(tmp_path / "server") as server:
            (small / "tables").mkdir(mode=0o700)
            connection = await asyncpg.connect(server.url)
            await connection.execute(f"create tablespace small location '{small / 'tables'}'")
            await connection.execute("create database cramped tablespace small")
            await connection.close()
            await run_full(tmp_path, server.url.replace("/indexer?", "/cramped?"), Ballast(small))


async def run_full(directory: Path, url: str, ballast: Ballast) -> None:
    async with scene(directory, url) as world:
        world.mine(10)
        world.finalize(3)
        async with world.run() as program:
            await world.followed()
            ballast.fill()
            await says_that_the_disk_is_full(world, program)
            world.reorg(2, 3)
            ballast.remove()
            await world.settled()
            await until_health(program, 200, "connected")
            assert await world.compare() > 0
            assert await program.stopped() == 0, program.said


async def test_a_server_that_dies_of_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 160) as small:
        ballast = Ballast(small)
        async with (
            own_server(small / "server", SHORT_OF_MEMORY) as server,
            scene(tmp_path, server.url) as world,
        ):
            world.mine(10)
            world.finalize(3)
            async with world.run() as program:
                await world.followed()
                ballast.fill()
                await server.dies_writing()
                world.mine(3)
                await until_health(program, 503, "disconnected")
                ballast.remove()
                await server.start()
                world.reorg(2, 3)
                await world.settled()
                await until_health(program, 200, "connected")
                assert await world.compare() > 0
                assert await program.stopped() == 0, program.said


async def test_an_embedded_server_that_finds_no_room_to_start_is_to_be_started_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 160) as small:
        postgres = EmbeddedPostgres(small / "server", settings=SHORT_OF_MEMORY)
        async with postgres:
            pass
        ballast = Ballast(small)
        ballast.fill()
        with pytest.raises(Unavailable, match="No space left on device"):
            async with postgres:
                pass
        ballast.remove()
        async with postgres as url:
            assert url
