"""What the journal tells of slow statements and transactions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import asyncpg
import pytest

from indexer.core.errors import Unavailable
from indexer.store import slow
from indexer.store.database import open_database
from tests.fixtures.program import until_sql

pytestmark = pytest.mark.integration

#: How long the statement waits for its lock, at least.
WAITING = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and now() - query_start > '30 ms'"


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """All that the module journals, from the level debug on."""
    found: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = found.append  # type: ignore[assignment, method-assign]
    logger = logging.getLogger(slow.__name__)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(before)


def fields(record: logging.LogRecord) -> dict[str, object]:
    found: dict[str, object] = getattr(record, "fields", {})
    return found


async def test_a_statement_that_waits_for_a_lock_is_told_with_its_milliseconds(
    database_url: str, records: list[logging.LogRecord]
) -> None:
    database = await open_database(database_url, slow_seconds=0.02)
    locker = await asyncpg.connect(database_url)
    try:
        transaction = locker.transaction()
        await transaction.start()
        await locker.execute("lock table indexer.cursor")

        async def wait_for_it() -> None:
            async with database.transaction() as connection:
                await connection.execute(
                    "update indexer.cursor   set number = number\n where $1::int = 4711", 4711
                )

        waiting = asyncio.create_task(wait_for_it())
        await until_sql(database_url, WAITING)
        await transaction.rollback()
        await waiting
    finally:
        await locker.close()
        await database.close()
    warned = [each for each in records if each.levelno == logging.WARNING]
    (statement,) = [fields(each) for each in warned if each.getMessage() == "slow statement"]
    assert statement["query"] == "update indexer.cursor set number = number where $1::int = 4711"
    (whole,) = [fields(each) for each in warned if each.getMessage() == "slow transaction"]
    assert isinstance(statement["query_duration"], float)
    assert isinstance(whole["query_duration"], float)
    assert 30 <= statement["query_duration"] <= whole["query_duration"]
    quick = [fields(each) for each in records if each.getMessage() == "statement"]
    assert "commit" in [each["query"] for each in quick], "at the level debug all are told"


async def test_a_statement_that_failed_is_told_as_such(
    database_url: str, records: list[logging.LogRecord]
) -> None:
    database = await open_database(database_url, slow_seconds=1e-9)
    try:
        with pytest.raises(Unavailable):
            async with database.transaction(statement_seconds=0.05) as connection:
                await connection.execute("select pg_sleep(60)")
    finally:
        await database.close()
    # The driver tells of a statement at the loop's next turn.
    await asyncio.sleep(0)
    (failed,) = [fields(each) for each in records if "pg_sleep" in str(fields(each).get("query"))]
    assert failed["failure"] == "QueryCanceledError"
