"""Several fetches at a time, within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Requests of one question that run at the same time: they hide the distance to the node.
AT_ONCE = 4


async def fetch_all(
    fetch: Callable[[Item], Awaitable[Result]], items: Sequence[Item], at_once: int
) -> list[Result]:
    """The results of fetching every item, in order, with at most so many fetches running.

    Raises: the first failure as it is; the fetches still running are cancelled and awaited.
    """
    if len(items) == 1:
        return [await fetch(items[0])]
    gate = asyncio.Semaphore(at_once)

    async def fetch_one(item: Item) -> Result:
        async with gate:
            return await fetch(item)

    tasks = [asyncio.ensure_future(fetch_one(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
