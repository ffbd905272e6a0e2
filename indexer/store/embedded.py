"""The database of a user who has none: a private PostgreSQL, started and stopped together with us."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, NoReturn

import asyncpg

from indexer.core.errors import Fatal, Unavailable
from indexer.store.cluster import USER, Cluster, start_failure

DATABASE = "indexer"
#: A larger log of the server is begun anew at the next start.
LONGEST_LOG_BYTES = 10_000_000
#: Between two looks at something that cannot call us: another process, a server that is starting.
LOOK_SECONDS = 0.05


class EmbeddedPostgres:
    """A server for as long as the `async with` block runs; its value is the URL of our database.

    Of several processes the first one owns the server and the others use it; when the owner ends, so does
    the server. Start it from the main thread.

    Args:
        directory: holds the data and the server's log; made where it is missing.
        binaries: the directory of `postgres` and `initdb`; by default those of the package.
        durable: False gives up safety against power failure for speed; for tests only.
        settings: server settings on top of ours.
        start_seconds: how long to wait for the server; recovery after a crash may take some time.
    """

    def __init__(
        self,
        directory: Path,
        *,
        binaries: Path | None = None,
        durable: bool = True,
        settings: Mapping[str, str] = MappingProxyType({}),
        start_seconds: float = 120.0,
    ) -> None:
        self._cluster = Cluster(directory, binaries)
        self._durable = durable
        self._settings = dict(settings)
        if not durable:
            self._settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        self._start_seconds = start_seconds
        self._lock: IO[bytes] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return self._cluster.url(DATABASE)

    @property
    def is_owner(self) -> bool:
        """Whether the server is ours, and not that of another process."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """Process id of the server if it is ours."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> str:
        try:
            async with asyncio.timeout(self._start_seconds):
                await self._start_or_find()
        except TimeoutError as error:
            await self._stop()
            raise Unavailable(
                f"the embedded PostgreSQL was not ready within {self._start_seconds:g} s"
            ) from error
        except BaseException:
            await self._stop()
            raise
        return self.url

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def watch(self) -> NoReturn:
        """Wait until the server ends by itself; for ever if it belongs to another process.

        Raises:
            Unavailable: it ended; starting us again starts it again.
        """
        if self._process is None:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("unreachable")
        code = await self._process.wait()
        raise Unavailable(f"the embedded PostgreSQL ended by itself (code {code}), see its server.log")

    async def _start_or_find(self) -> None:
        self._cluster.directory.mkdir(parents=True, exist_ok=True)
        while True:
            self._lock = _try_lock(self._cluster.directory)
            if self._lock is not None:
                await self._start()
                return
            if await _answers(self.url):
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _start(self) -> None:
        cluster = self._cluster
        await _end_leftover(cluster)
        await asyncio.to_thread(cluster.create, durable=self._durable)
        if cluster.log.exists() and cluster.log.stat().st_size > LONGEST_LOG_BYTES:
            cluster.log.unlink()
        since = cluster.log.stat().st_size if cluster.log.exists() else 0
        self._process = await cluster.start(self._settings)
        while not await _answers(cluster.url(USER)):
            if self._process.returncode is not None:
                raise start_failure(cluster, since, self._process.returncode)
            await asyncio.sleep(LOOK_SECONDS)
        await _create_database(cluster)

    async def _stop(self) -> None:
        """Shut the server down if it is ours: first cleanly, then the hard way; then let others start it."""
        process, self._process = self._process, None
        try:
            if process is not None:
                await _end(process)
                self._cluster.remove_socket_directory()
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None


async def _end(process: asyncio.subprocess.Process) -> None:
    for stop, seconds in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
        if process.returncode is not None:
            return
        process.send_signal(stop)
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
        except TimeoutError:
            continue


def running_url(directory: Path) -> str | None:
    """URL of the server that another process runs there; None when none does."""
    if not directory.is_dir():
        return None
    lock = _try_lock(directory)
    if lock is not None:
        lock.close()
        return None
    return Cluster(directory).url(DATABASE)


def _try_lock(directory: Path) -> IO[bytes] | None:
    """The right to run the server, which the kernel takes back when we end; None: another process has it."""
    file = (directory / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except BaseException:
        file.close()
        raise
    return file


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True


async def _create_database(cluster: Cluster) -> None:
    connection = await asyncpg.connect(cluster.url(USER))
    try:
        if not await connection.fetchval("select true from pg_database where datname = $1", DATABASE):
            await connection.execute(f'create database "{DATABASE}"')
    finally:
        await connection.close()


async def _end_leftover(cluster: Cluster) -> None:
    """Make sure that no server of a killed owner still runs on the data, and that none seems to.

    The file with its process id outlives a crash, and in a container the number soon belongs to another
    process. We hold the lock, so only a PostgreSQL on this very directory counts.
    """
    pid_file = cluster.data / "postmaster.pid"
    asked = 0
    while pid_file.exists():
        words = pid_file.read_text(encoding="utf-8", errors="replace").split()
        pid = int(words[0]) if words and words[0].isdigit() else 0
        if not pid or not _serves(pid, cluster.data):
            pid_file.unlink(missing_ok=True)
            return
        if pid != asked:
            _ask_to_end(pid, cluster)
            asked = pid
        await asyncio.sleep(LOOK_SECONDS)


def _ask_to_end(pid: int, cluster: Cluster) -> None:
    try:
        os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise Fatal(f"process {pid} of another user serves {cluster.directory.name}/data") from error


def _serves(pid: int, data: Path) -> bool:
    """Whether a process is a PostgreSQL on this directory; where that cannot be told, whether it is alive."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        return _is_alive(pid)
    except OSError:
        return False
    return os.fsencode(data) in command


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
