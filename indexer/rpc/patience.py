"""How long a question may take, without the time of the questions that it asks on its way, or waits for its turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from tenacity import RetryCallState

#: The limit of the question that is being asked.
_CURRENT: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def waiting_for_turn() -> Iterator[None]:
    """The time inside does not count for the question that is being asked: an endpoint's rate is kept to.

    Else a question with more calls than an endpoint takes in the time of one question would never be answered.
    """
    patience = _CURRENT.get()
    if patience is None:
        yield
    else:
        with patience.elsewhere():
            yield


class Patience:
    """The time limit of one question while it runs; questions within it have limits of their own."""

    def __init__(self) -> None:
        self._total = self._began = 0.0
        #: The question's limit, and the same as long as it runs.
        self._asked: asyncio.Timeout | None = None
        self._limit: asyncio.Timeout | None = None
        self._elsewhere_seconds = 0.0
        #: How many of the question's tasks are elsewhere, and since when any is.
        self._away = 0
        self._away_since = 0.0

    @asynccontextmanager
    async def asking(self, total_seconds: float) -> AsyncIterator[None]:
        """Ask the question inside, which takes so long at most. Raises: TimeoutError."""
        self._total, self._began = total_seconds, asyncio.get_running_loop().time()
        limit = self._asked = asyncio.timeout(total_seconds)
        token = _CURRENT.set(self)
        try:
            async with limit:
                self._limit = limit
                try:
                    yield
                finally:
                    # What it left behind may still be elsewhere.
                    self._limit = None
        finally:
            _CURRENT.reset(token)

    @property
    def ran_out(self) -> bool:
        """Whether the last question was ended by its limit."""
        return self._asked is not None and self._asked.expired()

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """The time spent inside does not count; several tasks of a question may be elsewhere at the same time."""
        clock = asyncio.get_running_loop().time
        if not self._away:
            self._away_since = clock()
            self._end_at(None)
        self._away += 1
        try:
            yield
        finally:
            self._away -= 1
            if not self._away:
                self._elsewhere_seconds += clock() - self._away_since
                self._end_at(self._began + self._total + self._elsewhere_seconds)

    def _end_at(self, when: float | None) -> None:
        if self._limit is not None:
            self._limit.reschedule(when)

    def is_over(self, state: RetryCallState) -> bool:
        """Whether the next attempt would begin too late."""
        spent = (state.seconds_since_start or 0.0) - self._elsewhere_seconds
        return spent + state.upcoming_sleep >= self._total
