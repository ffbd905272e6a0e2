"""Keep to a number of requests per second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Limiter:
    """Lets calls through at a steady rate, with at most one second's worth at once."""

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        #: When everything let through so far is paid for.
        self._paid_at = float("-inf")

    def reserve(self, calls: int) -> float:
        """Take places for some calls; the seconds to wait before they may be sent."""
        if self._per_second is None:
            return 0.0
        now = self._clock()
        wait = max(0.0, self._paid_at - now)
        # Up to one second ahead of the clock is the burst that is allowed.
        self._paid_at = max(self._paid_at, now - 1.0) + calls / self._per_second
        return max(0.0, wait)

    async def take(self, calls: int) -> None:
        """Return when that many calls may be sent."""
        wait = self.reserve(calls)
        if wait:
            await asyncio.sleep(wait)
