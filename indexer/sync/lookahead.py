"""Fetch ahead by pulling: results in order, within a bound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def gather_in_order(
    fetch: Callable[[Item], Awaitable[Result]], items: Iterable[Item], ahead: int
) -> list[Result]:
    """The results of fetching every item, in order, with at most so many fetches running.

    Raises: the first failure in the order of the items; the fetches still running are cancelled and awaited.
    """
    return [result async for result in _lookahead(fetch, items, ahead)]


async def _lookahead(
    fetch: Callable[[Item], Awaitable[Result]], items: Iterable[Item], ahead: int
) -> AsyncIterator[Result]:
    running: deque[asyncio.Future[Result]] = deque()
    source = iter(items)
    try:
        for item in source:
            running.append(asyncio.ensure_future(fetch(item)))
            if len(running) >= ahead:
                yield await running[0]
                running.popleft()
        while running:
            yield await running[0]
            running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
