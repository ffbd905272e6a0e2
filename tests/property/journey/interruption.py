"""Ends of a process at the worst moments: before, during and after a commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from indexer.store.database import Connection, Database


class Cut(asyncio.CancelledError):
    """The process was told to stop here."""


def interrupt_commits(database: Database, next_cut: Callable[[], str | None]) -> None:
    """Have every writing transaction of the pool ask whether and where it is to be interrupted.

    Args:
        next_cut: says ``before``, ``during`` or ``after`` the commit, or None for not at all.
    """
    original = database.transaction

    @asynccontextmanager
    async def transaction(**options: Any) -> AsyncIterator[Connection]:
        # Transactions that only read say how isolated they want to be.
        cut = None
        async with original(**options) as connection:
            yield connection
            if "isolation" not in options:
                cut = next_cut()
            if cut == "before":
                raise Cut
            if cut == "during":
                task = asyncio.current_task()
                assert task is not None
                # Thrown where the answer to the commit is awaited: it may be carried out or not.
                task.cancel()
        if cut == "after":
            raise Cut

    database.transaction = transaction  # type: ignore[method-assign]
