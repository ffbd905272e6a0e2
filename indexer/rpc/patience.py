"""How long a question may take, without the time of the questions that it asks on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from tenacity import RetryCallState


class Patience:
    """The time limit of one question while it runs; questions within it have limits of their own."""

    def __init__(self) -> None:
        self._total = 0.0
        self._limit: asyncio.Timeout | None = None
        self._elsewhere_seconds = 0.0

    def begin(self, total_seconds: float) -> asyncio.Timeout:
        """The limit within which the question is to be asked."""
        self._total = total_seconds
        self._limit = asyncio.timeout(total_seconds)
        return self._limit

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """The time spent inside does not count."""
        limit = self._limit
        assert limit is not None, "a question that runs has a limit"
        ends, clock = limit.when(), asyncio.get_running_loop().time
        assert ends is not None, "nobody is elsewhere twice"
        begun = clock()
        limit.reschedule(None)
        try:
            yield
        finally:
            spent = clock() - begun
            self._elsewhere_seconds += spent
            limit.reschedule(ends + spent)

    def is_over(self, state: RetryCallState) -> bool:
        """Whether the next attempt would begin too late."""
        spent = (state.seconds_since_start or 0.0) - self._elsewhere_seconds
        return spent + state.upcoming_sleep >= self._total
