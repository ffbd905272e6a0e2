"""One writer per database: an advisory lock says whose turn it is, an epoch shuts out whoever had it before.

The lock alone would not do: a process that was frozen for a minute believes it still holds what the server
has long given away. So each new leader raises `indexer.chain.epoch`, and every transaction that writes first
reads the epoch under a lock on its row (`Writer`): an old epoch is refused, and no epoch changes under a
transaction that is still open.

A standby server that is promoted may lack the newest epoch, and then gives the same number to another process.
So the moment at which a leader began counts as well.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import NoReturn

import asyncpg

from indexer.core.errors import IndexerError, LostLeadership
from indexer.store.database import Database
from indexer.store.failures import translated
from indexer.store.hosts import LoneConnection

LEADER_LOCK = 0x696E6465_786C6561

#: Sessions that write carry this name and their epoch, so that a successor finds those of its predecessors.
WRITER_NAME = "indexer writer"

TRY_LOCK = "select pg_try_advisory_lock($1)"
END_OLD_WRITERS = f"""
    select pg_terminate_backend(pid)
    from pg_catalog.pg_stat_activity
    where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
        and application_name ~ '^{WRITER_NAME} [0-9]+$'
        and substring(application_name from '[0-9]+$')::bigint <= (select epoch from indexer.chain)
"""
NEW_EPOCH = """
    update indexer.chain
    set epoch = epoch + 1, leader_pid = $1, leader_host = $2, leader_since = now()
    returning epoch, leader_since
"""
WHO_LEADS = "select leader_host, leader_pid, leader_since from indexer.chain"


class Leadership:
    """The right to write, held by a session of its own for as long as that lives."""

    def __init__(self, connection: LoneConnection, epoch: int, since: datetime, alive_seconds: float) -> None:
        self._connection = connection
        self._alive_seconds = alive_seconds
        self._ended = asyncio.Event()
        connection.add_termination_listener(lambda _: self._ended.set())
        #: Higher than that of every leader before us that this server knows of.
        self.epoch = epoch
        #: When it began, by the server's clock.
        self.since = since

    async def __aenter__(self) -> Leadership:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def keep(self) -> NoReturn:
        """Prove again and again that the lock's session lives; run it beside everything that writes.

        The server ends the session when it hears nothing for three times as long, so that a frozen leader
        does not keep its successors out.

        Raises:
            LostLeadership: the session is gone or does not answer: another process may lead by now.
        """
        while True:
            with suppress(TimeoutError):
                # Over at once where the server closes the session, as when it restarts.
                await asyncio.wait_for(self._ended.wait(), self._alive_seconds)
            try:
                with translated():
                    await self._connection.execute("select 1", timeout=2 * self._alive_seconds)
            except IndexerError as error:
                self.release()
                raise LostLeadership(f"epoch {self.epoch} ended: {error}") from error

    def release(self) -> None:
        """Let the next one lead, at once; does nothing when it was done before."""
        self._connection.terminate()


async def take_leadership(database: Database, *, alive_seconds: float = 5.0) -> Leadership | None:
    """The right to write if nobody holds it, else None.

    Args:
        alive_seconds: how often `Leadership.keep` proves that it lives.

    Raises:
        Unavailable: the database does not answer, or a transaction of the last leader could not be ended.
    """
    connection = await _lock_session(database, alive_seconds)
    try:
        leadership = await _try(connection, alive_seconds)
    except BaseException:
        connection.terminate()
        raise
    if leadership is None:
        connection.terminate()
    return leadership


async def wait_for_leadership(
    database: Database,
    *,
    waiting: Callable[[str], None] | None = None,
    alive_seconds: float = 5.0,
    retry_seconds: float = 1.0,
) -> Leadership:
    """The right to write, as soon as nobody else holds it; to stop waiting, cancel.

    Args:
        waiting: is told once who leads, when it is somebody else.

    Raises:
        Unavailable: the database does not answer.
    """
    connection = await _lock_session(database, alive_seconds + retry_seconds)
    try:
        told = False
        while (leadership := await _try(connection, alive_seconds)) is None:
            if waiting is not None and not told:
                waiting(await current_leader(database))
                told = True
            # The server can say nothing by itself when an advisory lock becomes free.
            await asyncio.sleep(retry_seconds)
    except BaseException:
        connection.terminate()
        raise
    return leadership


async def current_leader(database: Database) -> str:
    """Who took the lead last, in words."""
    async with database.connection() as connection:
        row = await connection.fetchrow(WHO_LEADS)
    if row is None or row["leader_pid"] is None:
        return "nobody yet"
    return (
        f"pid {row['leader_pid']} on {row['leader_host']} since {row['leader_since']:%Y-%m-%d %H:%M:%S} UTC"
    )


async def _lock_session(database: Database, alive_seconds: float) -> LoneConnection:
    return await database.lone_connection({
        "application_name": "indexer leader",
        "idle_session_timeout": str(int(3 * alive_seconds * 1000)),
        "lock_timeout": str(int(2 * alive_seconds * 1000)),
    }, answer_seconds=3 * alive_seconds)  # fmt: skip


async def _try(connection: asyncpg.Connection[asyncpg.Record], alive_seconds: float) -> Leadership | None:
    with translated():
        # Before the lock is ours: whoever is frozen between preparing a statement and executing it is not idle to the
        # server, no time limit of a session holds, and the lock would be kept for as long as that lasts.
        new_epoch = await connection.prepare(NEW_EPOCH)
        if not await connection.fetchval(TRY_LOCK, LEADER_LOCK):
            return None
        # A frozen writer may have a transaction open; until it ends, its row lock keeps the epoch as it is.
        await connection.execute(END_OLD_WRITERS)
        row = await new_epoch.fetchrow(os.getpid(), socket.gethostname())
    assert row is not None
    return Leadership(connection, row["epoch"], row["leader_since"], alive_seconds)
