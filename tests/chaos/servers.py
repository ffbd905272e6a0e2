"""PostgreSQL servers of a test's own, which can be stopped, killed, copied and promoted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg
import pytest

from indexer.core.errors import Unavailable
from indexer.store.cluster import PORT, USER, Cluster, bundled_binaries
from indexer.store.embedded import EmbeddedPostgres
from tests.fixtures.program import until

#: Whatever dies here is a process and never the machine, so nothing has to reach the disk.
SETTINGS: Mapping[str, str] = {"fsync": "off", "max_connections": "40"}


class Server:
    """A PostgreSQL that can be ended in every way and started again on the same data."""

    def __init__(self, directory: Path, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self._directory = directory
        self._settings = {**SETTINGS, **settings}
        self._running = AsyncExitStack()
        self._postgres = self._made()
        self.url = self._postgres.url

    def _made(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(self._directory, settings=self._settings)

    async def start(self) -> None:
        self._postgres = self._made()
        await self._running.enter_async_context(self._postgres)

    async def stop(self) -> None:
        """A fast shutdown: sessions are ended, and nothing needs to be recovered."""
        await self._running.aclose()

    async def stop_immediately(self) -> None:
        """An immediate shutdown: every process of the server quits, and the next start recovers."""
        await self._end_by(signal.SIGQUIT)

    async def kill(self) -> None:
        """The postmaster dies, and its children with it."""
        await self._end_by(signal.SIGKILL)

    async def kill_session(self) -> None:
        """A process that serves the program dies, at which the server ends all others and recovers by itself."""
        pid = await self.asked(
            "select pid from pg_stat_activity where application_name like 'indexer%' limit 1"
        )
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)

        async def recovered() -> bool:
            # The dead session is listed until all shared memory is made anew.
            with suppress(asyncpg.PostgresError, OSError):
                return not await self.asked("select count(*) from pg_stat_activity where pid = $1", pid)
            return False

        await until(recovered, "the server has recovered from the death of a session")

    async def dies_writing(self) -> None:
        """Have it write ahead until it cannot any more, and dies: for a disk that is full."""
        connection = await asyncpg.connect(self.url)
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            while True:
                await connection.execute("select pg_switch_wal(), pg_logical_emit_message(false, '', 'x')")
        connection.terminate()
        await self._has_ended()

    async def asked(self, query: str, *arguments: object) -> Any:
        """The first column of the query's first row."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()

    async def set(self, name: str, value: str) -> None:
        """Change a setting of the running server, for the sessions that exist too."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f"alter system set {name} = {value}")
            await connection.execute("select pg_reload_conf()")
        finally:
            await connection.close()

    async def copy(self, directory: Path) -> Server:
        """A standby of this server that follows it; not started yet."""
        copied = Cluster(directory)
        copied.directory.mkdir(parents=True)
        socket = Cluster(self._directory).socket_directory
        command = [
            str(bundled_binaries() / "pg_basebackup"), "--pgdata", str(copied.data), "--write-recovery-conf",
            "--checkpoint=fast", "--no-sync", "--username", USER, "--host", str(socket), "--port", str(PORT),
        ]  # fmt: skip
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return Server(directory, self._settings)

    async def promote(self) -> None:
        """Make the standby a primary."""
        assert await self.asked("select pg_promote()")

    async def has_replayed(self, primary: Server) -> None:
        """Return when the standby has all that its primary has now."""
        position = await primary.asked("select pg_current_wal_lsn()::text")

        async def replayed() -> bool:
            return bool(await self.asked("select pg_last_wal_replay_lsn() >= $1::text::pg_lsn", position))

        await until(replayed, "the standby has caught up with its primary")

    async def _end_by(self, number: signal.Signals) -> None:
        assert self._postgres.pid is not None
        os.kill(self._postgres.pid, number)
        await self._has_ended()

    async def _has_ended(self) -> None:
        with pytest.raises(Unavailable, match="ended by itself"):
            await self._postgres.watch()
        await self._running.aclose()


@asynccontextmanager
async def own_server(
    directory: Path, settings: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Server]:
    """A server that runs."""
    server = Server(directory, settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
