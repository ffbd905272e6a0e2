"""The journal of stops until a person looks, so that the reason can be read where no process runs any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from indexer.store.database import Database

#: A process that looks again and again and finds the same leaves one entry.
RECORD = """
    insert into indexer.halt (kind, reason)
    select $1, $2 where not exists (
        select from indexer.halt cross join indexer.cursor
        where kind = $1 and reason = $2 and halted_at > updated_at
    )
"""
READ_CURRENT = """
    select halt.halted_at, halt.kind, halt.reason from indexer.halt cross join indexer.cursor
    where halted_at > updated_at order by id desc limit 1
"""


@dataclass(frozen=True, slots=True)
class Halt:
    """A stop that is not over."""

    halted_at: datetime
    #: A bounded set, see `indexer.metrics.labels.HALTS`.
    kind: str
    reason: str


async def record_halt(database: Database, kind: str, reason: str) -> None:
    """Note that writing has stopped; it needs no leadership, because it changes no rows of the chain."""
    async with database.connection() as connection:
        await connection.execute(RECORD, kind, reason)


async def current_halt(database: Database) -> Halt | None:
    """The last stop, if the cursor has not moved since."""
    async with database.connection() as connection:
        row = await connection.fetchrow(READ_CURRENT)
    return halt_of(row)


def halt_of(row: asyncpg.Record | None) -> Halt | None:
    """The entry of a row of the journal."""
    return None if row is None else Halt(row["halted_at"], row["kind"], row["reason"])
