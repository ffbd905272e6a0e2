"""Every query of every dashboard, asked of a real Prometheus that scrapes the real indexer and real exporters."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.fixtures.asked import Asked, asked, boards, series, shows_something
from tests.fixtures.debian import Parts
from tests.fixtures.postgres import fresh_database
from tests.fixtures.program import until
from tests.fixtures.watched import Watched, watched

pytestmark = pytest.mark.integration

SHOWN_SECONDS = 60
CHOICE = re.compile(r"label_values\((\w+), (\w+)\)")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(
    old_parts: Parts, postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    directory = tmp_path_factory.mktemp("watched")
    async with (
        fresh_database(postgres_url, template_database) as url,
        watched(old_parts, url, directory) as running,
    ):
        yield running


async def test_every_query_of_every_dashboard_shows_something(stack: Watched) -> None:
    queries = [one for board in boards().values() for one in asked(board)]
    await stack.dev.reorg(2)
    empty = await _that_stay_empty(stack, queries)
    assert not empty, "\n".join(map(str, empty))


async def test_a_query_that_shows_nothing_or_is_refused_is_noticed(stack: Watched) -> None:
    now = time.time()

    async def answer(expr: str) -> list[Any]:
        one = Asked("planted", "planted", "A", expr, False, "")
        return await series(stack.session, stack.prometheus_url, one, now - SHOWN_SECONDS, now)

    assert not shows_something(await answer("rate(indexer_events[15s])"))
    assert not shows_something(await answer("0 * indexer_leader / 0"))
    with pytest.raises(AssertionError, match="expected type range vector"):
        await answer("rate(indexer_events_total)")


async def test_every_variable_offers_values(stack: Watched) -> None:
    choices = {CHOICE.fullmatch(text) for board in boards().values() for text in _choices(board)}
    assert None not in choices
    for choice in choices:
        assert choice is not None
        metric, label = choice.groups()

        async def offered(metric: str = metric, label: str = label) -> list[str]:
            return list(await stack.answer(f"label/{label}/values", **{"match[]": metric}))

        assert await until(offered, f"{metric} has values of {label}")


def _choices(board: Any) -> list[str]:
    variables = board.get("templating", {}).get("list", [])
    return [variable["query"]["query"] for variable in variables if variable["type"] == "query"]


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
