"""Writing on behalf of another process that leads: under its epoch, and only as long as nothing was rolled back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from indexer.core.errors import Inconsistent
from indexer.store.database import Connection, Database
from indexer.store.writer import Writer

NEWEST_REORG = "select max(id) from indexer.reorg"


async def newest_reorg(database: Database) -> int | None:
    """The newest entry of the journal of reorgs; None: it is empty."""
    async with database.connection() as connection:
        found: int | None = await connection.fetchval(NEWEST_REORG)
    return found


class Deputy(Writer):
    """A writer whose leadership another process holds and keeps.

    The epoch shuts it out as soon as somebody else leads. What the leader itself takes back it sees in the journal
    of reorgs, which is written in the same transaction.
    """

    def __init__(self, database: Database, epoch: int, since: datetime | None, reorg: int | None) -> None:
        super().__init__(database, epoch, since)
        self._reorg = reorg

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A fenced transaction that also ends without a trace when blocks were taken back since the work was planned.

        Raises:
            LostLeadership: the leader has a successor.
            Inconsistent: there was a reorg.
        """
        async with super().transaction() as connection:
            yield connection
            # Last: the sources' rows are locked by now, so whoever takes blocks back later waits for our commit.
            if await connection.fetchval(NEWEST_REORG) != self._reorg:
                raise Inconsistent("blocks were taken back since this work was planned")
