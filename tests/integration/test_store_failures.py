"""What becomes of the errors of a server and of a URL: the right verdict, and never the password."""

from __future__ import annotations

import asyncio
import socket
import struct
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from indexer.core.errors import Fatal, Inconsistent, IndexerError, Unavailable, UserMistake
from indexer.store.database import Database, name_of, open_database

pytestmark = pytest.mark.integration

PASSWORD = "s3cret%23w0rd"
SPELLINGS = (PASSWORD, "s3cret#w0rd", "s3cret", "w0rd")


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


@asynccontextmanager
async def refusing_server(code: str) -> AsyncIterator[int]:
    """A server that answers each connection with this SQLSTATE."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        await reader.readexactly(length - 4)
        fields = b"SFATAL\0VFATAL\0C" + code.encode() + b'\0Mrefused for user "me"\0\0'
        writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("28P01", UserMistake),
        ("28000", UserMistake),
        ("3D000", UserMistake),
        ("53300", Unavailable),
        ("53100", Unavailable),
        ("53200", Unavailable),
        ("55P03", Unavailable),
        ("57P03", Unavailable),
        ("57P01", Unavailable),
        ("08006", Unavailable),
        ("XX000", Fatal),
    ],
)
async def test_a_refusal_is_told_without_the_password(code: str, verdict: type[IndexerError]) -> None:
    async with refusing_server(code) as port:
        with pytest.raises(verdict) as raised:
            await open_database(f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/events?sslmode=disable")
    assert type(raised.value) is verdict
    assert code in str(raised.value)
    assert not [each for each in SPELLINGS if each in shown(raised.value)]


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match="cannot be reached") as raised:
            await open_database(f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/events")
    assert not [each for each in SPELLINGS if each in shown(raised.value)]


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:s3cret@host/events",
        "postgresql://me:s3cret#w0rd@host/events",
        "postgresql://me:s3cret/w0rd@host/events",
        "postgresql://me:s3cret?w0rd@host/events",
        "postgresql://me:s3cret@w0rd@host/events",
        "postgresql://me:s3cret@host:port/events",
        "postgresql://me:s3cret@[::1/events",
        "postgresql://me:s3cret@host/events?sslmode=w0rd",
        "host=localhost password=s3cret",
        "",
    ],
)
async def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(UserMistake, match="DATABASE_URL cannot be read") as raised:
        await open_database(url)
    assert not [each for each in SPELLINGS if each in shown(raised.value).replace(url or "-", "")]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"postgresql://me:{PASSWORD}@db.example:6543/events?sslmode=require", "db.example:6543/events"),
        ("postgres://me@one:1,two:2/events", "one:1,two:2/events"),
        ("postgresql://postgres@/indexer?host=%2Ftmp&port=5432", "socket/indexer"),
        ("postgresql://[::1]:5432/", "[::1]:5432/"),
    ],
)
def test_a_database_is_named_by_place_and_name(url: str, name: str) -> None:
    assert name_of(url) == name


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("select 1 / 0", Fatal),
        ("insert into indexer.chain values (true)", Inconsistent),
        ("select * from indexer.nothing", UserMistake),
        ("set local statement_timeout = 1; select pg_sleep(60)", Unavailable),
        ("set transaction read only; update indexer.cursor set number = null", Unavailable),
        ("select pg_terminate_backend(pg_backend_pid())", Unavailable),
    ],
)
async def test_a_failed_statement_has_a_verdict_and_the_pool_recovers(
    database: Database, statement: str, verdict: type[IndexerError]
) -> None:
    with pytest.raises(verdict) as raised:
        async with database.transaction() as connection:
            await connection.execute(statement)
    assert type(raised.value) is verdict
    async with database.transaction():
        pass
    await database.ping()


async def test_a_failure_that_was_swallowed_is_not_taken_for_a_commit(database: Database) -> None:
    async def swallow() -> None:
        async with database.transaction() as connection:
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.execute("select 1 / 0")

    with pytest.raises(Fatal, match="answered ROLLBACK to a commit"):
        await swallow()


async def test_a_read_only_pool_cannot_write(database_url: str) -> None:
    database = await open_database(database_url, read_only=True)
    with pytest.raises(Unavailable, match="25006"):
        async with database.transaction() as connection:
            await connection.execute("update indexer.cursor set number = null")
    assert (database.size, database.idle) == (0, 0)
    await database.close()
