"""Run coroutines side by side; the gravest of their errors comes out as itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from indexer.core.errors import Fatal, IndexerError

Result = TypeVar("Result")


async def together(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all until each has returned; the first failure cancels the others.

    Failures are kept out of the TaskGroup: before Python 3.13 a group whose child fails at the moment that we
    are cancelled reports the failure alone, and a process that was told to stop goes on.

    Raises: the failure itself; of several the gravest: one we did not foresee, then a Fatal, then the first.
    """
    failures: list[Exception] = []
    tasks: list[asyncio.Task[None]] = []

    async def guarded(coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except Exception as error:  # noqa: BLE001 - raised again below, when the others have stopped
            failures.append(error)
            for task in tasks:
                task.cancel()

    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(guarded(coroutine)) for coroutine in coroutines]
    finally:
        for coroutine in coroutines:
            # One that was cancelled before its first step would be reported as never awaited.
            coroutine.close()
    if failures:
        raise max(failures, key=_gravity)


async def beside(work: Coroutine[Any, Any, Result], *background: Coroutine[Any, Any, Any]) -> Result:
    """The work's result; what runs beside it is cancelled when the work ends, and its failure ends the work."""
    tasks = [asyncio.ensure_future(work), *(asyncio.ensure_future(each) for each in background)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task is not tasks[0]:
                task.result()
        result: Result = await tasks[0]
        return result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _gravity(error: Exception) -> int:
    if isinstance(error, Fatal):
        return 1
    return 0 if isinstance(error, IndexerError) else 2
