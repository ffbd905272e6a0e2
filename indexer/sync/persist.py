"""Try again after a failure that passes: the one place above the edges where that is done."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from indexer import journal
from indexer.core.errors import Inconsistent, TooMuch, Unavailable
from indexer.metrics import Metrics

log = journal.get(__name__)
Result = TypeVar("Result")

#: What may be over by the next attempt; anything else is somebody else's to decide.
PASSING = (Unavailable, Inconsistent, TooMuch)
#: The first pause between two attempts and the longest; each is cut by a random half.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0


async def persist(
    attempt: Callable[[], Awaitable[Result]],
    metrics: Metrics,
    doing: str,
    passing: tuple[type[Exception], ...] = PASSING,
    attempts: int | None = None,
) -> Result:
    """The result of the first attempt that succeeds; every failed one is counted and journalled.

    Args:
        passing: the errors after which it is tried again.
        attempts: how many failures there may be in quick succession; None: any number.

    An attempt plans anew from what the database and the node say at its time; it repeats no request, which is
    the business of the RPC edge.
    """
    failures = 0
    clock = asyncio.get_running_loop().time
    while True:
        started = clock()
        try:
            return await attempt()
        except passing as error:
            metrics.error(error, doing)
            if clock() - started > LONGEST_PAUSE_SECONDS:
                # It went well for a while: this is a new trouble and not the old one.
                failures = 0
            failures += 1
            if failures == attempts:
                raise
            log.warning(f"{doing} failed, trying again", error=type(error).__name__, reason=str(error))
        longest = min(FIRST_PAUSE_SECONDS * 2 ** min(failures, 10), LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(random.uniform(longest / 2, longest))
