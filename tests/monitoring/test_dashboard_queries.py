"""Every query of every dashboard, asked of a real Prometheus that scrapes the real indexer and real exporters."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.fixtures.asked import Asked, asked, boards, series, shows_something
from tests.fixtures.debian import Parts
from tests.fixtures.postgres import fresh_database
from tests.fixtures.program import until
from tests.fixtures.watched import Watched, watched

pytestmark = pytest.mark.integration

SHOWN_SECONDS = 60


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(
    old_parts: Parts, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    directory = tmp_path_factory.mktemp("watched")
    async with fresh_database(postgres_url) as url, watched(old_parts, url, directory) as running:
        yield running


async def test_every_query_of_every_dashboard_shows_something(stack: Watched) -> None:
    queries = [one for board in boards().values() for one in asked(board)]
    await stack.dev.reorg(2)
    empty = await _that_stay_empty(stack, queries)
    assert not empty, "\n".join(map(str, empty))


async def _that_stay_empty(stack: Watched, queries: list[Asked]) -> list[Asked]:
    """The queries that still show nothing once time has run out; the others did within it."""
    left = list(queries)

    async def answered() -> bool:
        now = time.time()
        for one in list(left):
            if shows_something(
                await series(stack.session, stack.prometheus_url, one, now - SHOWN_SECONDS, now)
            ):
                left.remove(one)
        return not left

    try:
        await until(answered, "every query shows something")
    except AssertionError as error:
        if not left:
            raise
        error.add_note("\n".join(map(str, left)))
    return left
