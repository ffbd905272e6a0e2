"""A session that the server ended in a transaction fails the COPY after it, and no future is left to complain."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from indexer.core.errors import Unavailable
from indexer.store.database import Database, open_database
from tests.fixtures.cutting import CuttingProxy
from tests.fixtures.program import until

pytestmark = pytest.mark.integration

END_SESSION = "select pg_terminate_backend($1, 60000)"


class SlowEnd(CuttingProxy):
    """Passes on what the server says last, and keeps to itself that the connection ended then."""

    async def _pass_on(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, client: bool) -> None:
        while data := await source.read(1 << 20):
            to.write(data)
            await to.drain()
        if client:
            to.transport.abort()


async def one_line() -> AsyncIterator[bytes]:
    yield b"one\n"


async def break_before_copy(database: Database, other: Database) -> None:
    async with database.transaction() as connection:
        pid = await connection.fetchval("select pg_backend_pid()")
        async with other.connection() as ending:
            assert await ending.fetchval(END_SESSION, pid)

        async def copied() -> bool:
            # Until the server's last words have come, it succeeds.
            await connection.copy_to_table("lines", source=one_line())
            return False

        await until(copied, "the COPY fails")


async def failure_of_copy(database: Database, other: Database) -> str:
    try:
        await break_before_copy(database, other)
    except Unavailable as error:
        return str(error)
    raise AssertionError("unreachable")


async def test_a_copy_on_a_session_that_was_ended_is_unavailable_and_silent(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    former = loop.get_exception_handler()
    loop.set_exception_handler(None)
    reported: list[dict[str, Any]] = []
    async with SlowEnd(database_url).running() as proxy:
        database, other = await open_database(proxy.url), await open_database(database_url)
        async with other.connection() as connection:
            await connection.execute("create table lines (line text)")
        handler = loop.get_exception_handler()
        assert handler is not None
        try:
            monkeypatch.setattr(loop, "default_exception_handler", reported.append)
            assert "cannot switch to state" in await failure_of_copy(database, other)
            # What raised the error has to be gone, and the future's time-out too, before the future is.
            await asyncio.sleep(0.01)
            gc.collect()
            assert reported == []
            handler(loop, {"message": "something else", "exception": ValueError("x")})
            assert len(reported) == 1
        finally:
            monkeypatch.undo()
            loop.set_exception_handler(former)
            await database.close()
            await other.close()
