"""The embedded server: started once, found by others, stopped with its owner, recovered after a crash."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from indexer.core.errors import Fatal, Unavailable, UserMistake
from indexer.store.cluster import Cluster
from indexer.store.embedded import EmbeddedPostgres, running_url

pytestmark = pytest.mark.integration

OWNER = """
import asyncio, sys
from pathlib import Path
from indexer.store.embedded import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
    async with server as url:
        print(server.pid, url, flush=True)
        await server.watch()

asyncio.run(main())
"""


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def ended(pid: int) -> None:
    """Return when no process of that id runs any more."""
    while Path(f"/proc/{pid}/stat").exists() and ") Z " not in Path(f"/proc/{pid}/stat").read_text():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.02)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


async def test_a_server_lives_as_long_as_its_block_and_keeps_the_data(directory: Path) -> None:
    assert running_url(directory) is None
    server = EmbeddedPostgres(directory, durable=False)
    async with server as url:
        assert server.is_owner
        assert running_url(directory) == url
        await execute(url, "create table kept (id int)")
        other = EmbeddedPostgres(directory)
        async with other as same:
            assert same == url
            assert not other.is_owner
        await execute(url, "insert into kept values (1)")
    assert running_url(directory) is None
    # A process id that a crash left behind and that is somebody else's by now, as in a container.
    (directory / "data" / "postmaster.pid").write_text(f"{os.getppid()}\n{directory}/data\n")
    async with EmbeddedPostgres(directory, durable=False) as url:
        await execute(url, "insert into kept values (2)")
    with pytest.raises(OSError, match=r"No such file|Connect call failed"):
        await asyncpg.connect(url)


async def test_a_server_that_was_killed_is_noticed_and_recovers(directory: Path) -> None:
    server = EmbeddedPostgres(directory)
    async with server as url:
        await execute(url, "create table kept (id int)")
        watching = asyncio.ensure_future(server.watch())
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match="ended by itself"):
            await watching
    async with EmbeddedPostgres(directory, durable=False) as url:
        await execute(url, "drop table kept")


async def test_a_server_ends_when_its_owner_is_killed(directory: Path) -> None:
    owner = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", OWNER, str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pid, url = (await asyncio.to_thread(owner.stdout.readline)).split()
    assert running_url(directory) == url
    follower = EmbeddedPostgres(directory)
    async with follower as same:
        assert (same, follower.is_owner) == (url, False)
        owner.kill()
        owner.wait()
        owner.stdout.close()
        # The next one takes over whether or not the old server is quite gone.
        heir = EmbeddedPostgres(directory, durable=False)
        async with heir as again:
            assert (again, heir.is_owner) == (url, True)
            await ended(int(pid))
            await execute(again, "select 1")


async def test_a_path_too_long_for_a_socket_is_worked_around(tmp_path: Path) -> None:
    directory = tmp_path.joinpath(*("deep" * 5 for _ in range(4)))
    async with EmbeddedPostgres(directory, durable=False) as url:
        assert running_url(directory) == url
        await execute(url, "select 1")
        assert len(url) < 160
        elsewhere = Cluster(directory).socket_directory
        assert elsewhere.is_dir()
    assert not elsewhere.exists()


async def test_a_start_that_fails_shows_what_the_server_said(directory: Path) -> None:
    async with EmbeddedPostgres(directory, durable=False):
        pass
    with pytest.raises(Fatal, match="shared_buffers"):
        async with EmbeddedPostgres(directory, settings={"shared_buffers": "many"}):
            pytest.fail("it started")
    assert running_url(directory) is None
    (directory / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(UserMistake, match="made by PostgreSQL 9, installed is"):
        async with EmbeddedPostgres(directory):
            pytest.fail("it started")


async def test_a_set_up_that_was_interrupted_is_begun_anew(directory: Path) -> None:
    (directory / "data.unfinished" / "base").mkdir(parents=True)
    cluster = Cluster(directory)
    await asyncio.to_thread(cluster.create, durable=False)
    assert (cluster.data / "PG_VERSION").exists()
    assert not (directory / "data.unfinished").exists()
