"""The journal of backups, as far as a running process tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from indexer.store.database import Database

READ = """
    select last.finished_at, last.size_bytes, extract(epoch from last.finished_at - last.started_at)::float8 as seconds,
        (select max(verified_at) from indexer.backup) as verified_at
    from (select 1) as one left join lateral (
        select * from indexer.backup where outcome = 'ok' order by finished_at desc limit 1
    ) as last on true
"""


@dataclass(frozen=True, slots=True)
class Backups:
    """What there is to go back to."""

    #: The end of the newest backup that succeeded; None: there is none.
    succeeded_at: datetime | None
    #: Its size and how long it took; None as above.
    size_bytes: int | None
    seconds: float | None
    #: When any backup was last restored on trial; None: never.
    verified_at: datetime | None


async def read_backups(database: Database) -> Backups:
    """The newest good backup and the newest trial of one. Raises: Unavailable."""
    async with database.connection() as connection:
        row = await connection.fetchrow(READ)
    assert row is not None
    return Backups(row["finished_at"], row["size_bytes"], row["seconds"], row["verified_at"])
