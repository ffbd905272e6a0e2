"""Keep to a number of calls per second, configured or learned."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from indexer.rpc.callrate import CallRate
from indexer.rpc.callwindow import CallWindow, Sent, window_calls
from indexer.rpc.patience import waiting_for_turn

#: So many requests a second carry the calls of a slow endpoint: fewer make bursts, more are work for nothing.
_REQUESTS_PER_SECOND = 4
#: Of the calls that are allowed, looking for the newest block takes this part at most.
WATCHING_PART = 0.2
#: Of the calls that are allowed, at most this part is lost because batches do not fill a second evenly.
_LOST = 0.02


class Limiter:
    """Lets calls through, in the order in which they came, as fast as the endpoint takes them."""

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = CallRate(per_second)
        self._window = CallWindow()
        self._clock = clock
        self._turn = asyncio.Lock()

    @property
    def per_second(self) -> float | None:
        """Calls a second that are let through; None: all."""
        return self._rate.per_second

    def share(self, part: float) -> None:
        """From now on let only this part of the configured rate through; the rest is for other processes."""
        if self._rate.share(part):
            # Until now all of it was ours: what was sent in this second counts.
            self._window.close(self._clock())

    async def take(self, calls: int) -> Sent:
        """Return when that many calls may be sent, which has to be at once; see `ended`."""
        if self._rate.per_second is None:
            return Sent(self._clock(), calls)
        with waiting_for_turn():
            async with self._turn:
                while True:
                    now = self._clock()
                    wait = self._window.wait(calls, self._rate.per_second, now)
                    if not wait:
                        return self._window.send(calls, self._rate.per_second, now)
                    self._rate.pressed(now)
                    await asyncio.sleep(wait)

    def ended(self, sent: Sent, *, limited: int, answered: bool) -> bool:
        """Learn from how a request ended; whether calls are slower from now on.

        Args:
            limited: how many of its calls were refused as too many.
            answered: whether an answer came at all.
        """
        now = self._clock()
        if answered:
            self._window.answered(sent, now)
            self._rate.taken(sent.calls - limited, now)
        if not limited:
            return False
        self._window.close(now)
        return self._rate.limited(sent.at, now)

    def pause_of_a_watch(self) -> float:
        """Seconds between the calls of somebody who only watches: the rate is for those who work."""
        return 1.0 / (self._rate.per_second * WATCHING_PART) if self._rate.per_second else 0.0

    def most_at_once(self) -> int | None:
        """Calls that may ever be sent together; None: any number."""
        return None if self._rate.per_second is None else window_calls(self._rate.per_second)

    def batch_calls(self) -> int | None:
        """Calls to put into one request where there are many; None: any number.

        A few requests a second, whose calls together are a second's worth, or nearly so.
        """
        most = self.most_at_once()
        if most is None:
            return None
        largest = max(1, most // _REQUESTS_PER_SECOND)
        return next(size for size in range(largest, 0, -1) if most % size <= _LOST * most)
