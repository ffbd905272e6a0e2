"""The way to PostgreSQL: a pool of connections, and transactions that end rightly whatever happens."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg

from indexer.core.errors import Fatal, Unavailable, UserMistake
from indexer.store.failures import READ_ONLY, needs_help, translated, wrong_url
from indexer.store.hosts import Hosts, LoneConnection
from indexer.store.lostcopy import keep_silent_about_lost_copies
from indexer.store.slow import SLOW_SECONDS, SlowQueries

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

# In quotes, because asyncpg's classes are generic for type checkers only.
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

#: A host name or address, or nothing, and perhaps a port; a URL may hold several, for fail-over.
HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(:[0-9]+)?")
#: Multiranges came with 14.
OLDEST_VERSION = 14
#: The newest that the tests have seen; a newer one works unless PostgreSQL breaks something.
NEWEST_VERSION = 18

IS_READ_ONLY = "select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long we wait for the database, in seconds."""

    connect: float = 10.0
    statement: float = 60.0
    #: A long reader may hold a table that we want to alter.
    lock: float = 10.0
    #: A frozen writer loses its transaction after this, so that its successor can go on.
    idle_in_transaction: float = 15.0


class Database:
    """A pool of connections to one database. Made by `open_database`."""

    def __init__(
        self, pool: Pool, hosts: Hosts, name: str, timeouts: Timeouts, slow: SlowQueries, *, writes: bool
    ) -> None:
        self._pool = pool
        self._hosts = hosts
        #: Host, port and database: to show; it holds no user and no password.
        self.name = name
        self._timeouts = timeouts
        self._slow = slow
        self._writes = writes
        #: What the last transaction failed at, though the database answers; until one succeeds.
        self._trouble: Unavailable | None = None

    def __repr__(self) -> str:
        return f"Database({self.name})"

    @property
    def size(self) -> int:
        """Open connections."""
        return self._pool.get_size()

    @property
    def most(self) -> int:
        """Connections that there may be."""
        return self._pool.get_max_size()

    @property
    def idle(self) -> int:
        """Open connections that nobody uses."""
        return self._pool.get_idle_size()

    async def ping(self) -> None:
        """Return when the database answers, and takes what we write if we do.

        Raises:
            Unavailable: it does not answer, it became read-only, or the last transaction failed at the
                database's own trouble, such as a full disk. The caller sets the time-out.
        """
        async with self.connection() as connection:
            if await connection.fetchval(IS_READ_ONLY) and self._writes:
                raise Unavailable(READ_ONLY)
        if self._trouble is not None:
            raise Unavailable(f"nothing can be written: {self._trouble}")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection where each statement is a transaction of its own.

        A connection that saw any failure, also a cancellation, is thrown away: closing it is the one
        rollback that cannot fail, cannot hang and cannot swallow the cancellation.

        Raises:
            Unavailable, UserMistake, Inconsistent, Fatal: instead of the errors of the driver.
        """
        with translated():
            connection = await self._pool.acquire(timeout=self._timeouts.connect)
        try:
            with translated():
                yield connection
        except BaseException:
            # Refused where the pool saw the connection break, and took it back, before we did.
            with suppress(asyncpg.InterfaceError):
                connection.terminate()
            raise
        finally:
            with translated():
                await self._pool.release(connection)

    @asynccontextmanager
    async def transaction(
        self, *, isolation: str = "read committed", statement_seconds: float | None = None
    ) -> AsyncIterator[Connection]:
        """A transaction that is committed when the block ends well, and else never happened.

        When the *commit itself* fails or is cancelled, it may have happened all the same: after any
        error from here, read the state anew and believe the database.

        Args:
            isolation: as PostgreSQL calls it.
            statement_seconds: a time-out for each statement instead of the usual one; 0 means none.
        """
        try:
            async with self.connection() as connection:
                with self._slow.transaction():
                    await connection.execute(f"begin isolation level {isolation}")
                    if statement_seconds is not None:
                        await connection.execute(
                            f"set local statement_timeout = {int(statement_seconds * 1000)}"
                        )
                    yield connection
                    # A transaction in which a statement failed answers a commit with a silent rollback.
                    outcome = await connection.execute("commit")
                    if outcome != "COMMIT":
                        raise Fatal(f"the database answered {outcome} to a commit")
        except Unavailable as error:
            if needs_help(error):
                self._trouble = error
            raise
        if "read only" not in isolation:
            # That it can be read says nothing about writing.
            self._trouble = None

    async def lone_connection(self, settings: Mapping[str, str], *, answer_seconds: float) -> LoneConnection:
        """A connection outside the pool, with these server settings on top of ours; the caller closes it.

        Args:
            answer_seconds: how long each statement may take until the database counts as gone.
        """
        return await self._hosts.connect(
            command_timeout=answer_seconds,
            server_settings={**_server_settings(self._timeouts), **settings},
        )

    async def close(self) -> None:
        """Close every connection at once; what was not committed is rolled back by the server."""
        self._pool.terminate()


async def open_database(
    url: str,
    *,
    application_name: str = "indexer",
    max_connections: int = 8,
    timeouts: Timeouts | None = None,
    read_only: bool = False,
    slow_seconds: float = SLOW_SECONDS,
) -> Database:
    """A pool of connections to the database, with at least one proven to work.

    Args:
        slow_seconds: a statement or transaction that takes longer is journalled.

    Raises:
        Unavailable: the server does not answer, or not yet.
        UserMistake: the URL, the user, the password, the database name or the server's version is wrong.
    """
    keep_silent_about_lost_copies()
    timeouts = timeouts or Timeouts()
    name = name_of(url)
    settings = _server_settings(timeouts) | {"application_name": application_name}
    if read_only:
        settings["default_transaction_read_only"] = "on"
    slow = SlowQueries(slow_seconds)
    hosts = Hosts(url, seconds=timeouts.connect, writes=not read_only)

    async def connect(*_: object, **options: Any) -> LoneConnection:
        connection = await hosts.connect(**options)
        connection.add_query_logger(slow.statement)
        return connection

    with translated():
        pool = asyncpg.create_pool(
            connect=connect,
            # A pool that keeps a minimum open reconnects in the background and reports it to nobody.
            min_size=0,
            max_size=max_connections,
            # The server's own time-out comes first and leaves a clearer message.
            command_timeout=timeouts.statement + 5,
            server_settings=settings,
            reset=_no_reset,
        )
        await pool
    database = Database(pool, hosts, name, timeouts, slow, writes=not read_only)
    try:
        await _check_version(database)
    except BaseException:
        await database.close()
        raise
    return database


def name_of(url: str) -> str:
    """Host, port and database of a database URL: nothing secret.

    Raises:
        UserMistake: the URL cannot be read; the message does not repeat it.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise wrong_url("its host") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise wrong_url("it must begin with postgresql://")
    # An unescaped # / ? or @ in a password cuts the URL in the wrong place: the rest would show as a path.
    if parts.fragment or "@" in parts.path or "@" in parts.query or parts.netloc.count("@") > 1:
        raise wrong_url("write special characters of the password as %23 (#), %2F (/), %3F (?), %40 (@)")
    hosts = parts.netloc.rpartition("@")[2]
    if not all(HOST_AND_PORT.fullmatch(host) for host in hosts.split(",")):
        raise wrong_url("its host or port")
    return f"{hosts or 'socket'}{parts.path or '/'}"


def _server_settings(timeouts: Timeouts) -> dict[str, str]:
    def milliseconds(seconds: float) -> str:
        return str(int(seconds * 1000))

    return {
        "statement_timeout": milliseconds(timeouts.statement),
        "lock_timeout": milliseconds(timeouts.lock),
        "idle_in_transaction_session_timeout": milliseconds(timeouts.idle_in_transaction),
        # What a host of ours left behind that vanished without a word is given back after a minute.
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        # Compiling a plan over a hundred tables takes longer than running it.
        "jit": "off",
        "client_min_messages": "warning",
    }


async def _no_reset(_connection: object) -> None:
    """Save a round trip per use: we change settings only with `set local`, which ends by itself."""


async def _check_version(database: Database) -> None:
    async with database.connection() as connection:
        version = connection.get_server_version()
    if version.major < OLDEST_VERSION:
        raise UserMistake(f"the database is PostgreSQL {version.major}; {OLDEST_VERSION} or newer is needed")
