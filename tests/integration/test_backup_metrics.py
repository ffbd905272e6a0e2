"""What a process of any role tells of the backups that others make."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from indexer.metrics import Metrics
from indexer.store.backups import Backups, read_backups
from indexer.store.database import Database
from indexer.sync.watching import watch_database
from tests.fixtures.program import until

pytestmark = pytest.mark.integration

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RECORD = """
    insert into indexer.backup (started_at, finished_at, outcome, file_name, size_bytes, checksum, verified_at, error)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
"""
FIGURES = ("last_success_timestamp_seconds", "size_bytes", "duration_seconds", "verified_timestamp_seconds")


async def record(database: Database, hours: int, size: int | None, verified: datetime | None = None) -> None:
    """One backup that ended so many hours after noon; without a size it failed."""
    ended = NOON + timedelta(hours=hours)
    good = size is not None
    values = ("ok", f"{hours}.dump", size, "ab" * 32) if good else ("failed", None, None, None)
    error = None if good else "no space"
    async with database.connection() as connection:
        await connection.execute(RECORD, ended - timedelta(seconds=90), ended, *values, verified, error)


def told(metrics: Metrics) -> tuple[float | None, ...]:
    read = metrics.registry.get_sample_value
    return tuple(read(f"indexer_backup_{each}", {"chain": "1"}) for each in FIGURES)


async def test_the_newest_good_backup_and_the_newest_trial_are_told(database: Database) -> None:
    assert await read_backups(database) == Backups(None, None, None, None)
    await record(database, 1, 1_000, verified=NOON + timedelta(hours=5))
    await record(database, 3, 3_000)
    await record(database, 4, None)
    found = await read_backups(database)
    assert found == Backups(NOON + timedelta(hours=3), 3_000, 90.0, NOON + timedelta(hours=5))
    metrics = Metrics("1")
    assert told(metrics) == (0, 0, 0, 0)
    watching = asyncio.create_task(watch_database(database, metrics))
    try:

        async def is_told() -> bool:
            return told(metrics)[0] != 0

        await until(is_told, "the backup is told")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    noon = NOON.timestamp()
    assert told(metrics) == (noon + 3 * 3_600, 3_000, 90.0, noon + 5 * 3_600)


@pytest.mark.parametrize(
    "values",
    [
        ("ok", None, 1, "ab", None, None),
        ("ok", "a", 1, "ab", None, "an error"),
        ("ok", "a", -1, "ab", None, None),
        ("failed", None, None, None, None, None),
        ("failed", None, None, None, NOON, "no space"),
        ("perhaps", "a", 1, "ab", None, None),
    ],
)
async def test_a_backup_that_contradicts_itself_is_not_recorded(
    database: Database, values: tuple[object, ...]
) -> None:
    async with database.connection() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(RECORD, NOON, NOON, *values)
