"""How many calls an endpoint takes in one request: fewer after a refusal, more again after a while."""

from __future__ import annotations

from collections.abc import Callable

#: Calls in one request, until the endpoint wants fewer, and how long that is believed before more are tried.
BATCH_CALLS = 100
BATCH_MEMORY_SECONDS = 600.0
#: A batch that was rate limited in part becomes no smaller than this: questions of a few calls stay together.
LIMITED_BATCH_CALLS = 10


class BatchSize:
    """The number of calls to send at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls = BATCH_CALLS
        self._shrunk_at = 0.0

    def calls(self) -> int:
        """How many calls it takes in one request, as far as known."""
        now = self._clock()
        if self._calls < BATCH_CALLS and now - self._shrunk_at > BATCH_MEMORY_SECONDS:
            self._calls = min(BATCH_CALLS, 2 * self._calls)
            self._shrunk_at = now
        return self._calls

    def shrink(self, calls: int) -> bool:
        """Send no more than so many from now on, at least one; whether that is less than before."""
        if calls >= self._calls:
            return False
        self._calls = max(1, calls)
        self._shrunk_at = self._clock()
        return True
