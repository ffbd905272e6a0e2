"""Fetch ahead by pulling: results in order, within a bound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def gather_in_order(
    fetch: Callable[[Item], Awaitable[Result]], items: Sequence[Item], ahead: int
) -> list[Result]:
    """The results of fetching every item, in order, with at most so many fetches running.

    Raises: the first failure in the order of the items; the fetches still running are cancelled and awaited.
    """
    if len(items) == 1:
        # At the head it is always one; a task of its own would only begin when others have had their turn.
        return [await fetch(items[0])]
    return [result async for result in _lookahead(fetch, items, ahead)]


async def _lookahead(
    fetch: Callable[[Item], Awaitable[Result]], items: Sequence[Item], ahead: int
) -> AsyncIterator[Result]:
    running: deque[asyncio.Future[Result]] = deque()
    try:
        for item in items:
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
