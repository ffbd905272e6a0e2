"""How long something has not moved although it could have."""

from __future__ import annotations

from collections.abc import Callable


class Standstill:
    """Adds up time without progress, without the time in which nothing could be done.

    What goes away and comes back again and again (a node, the leadership) is no excuse for ever: the time in
    between counts, and only progress sets it back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._before = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """The time without progress so far."""
        running = 0.0 if self._since is None else self._clock() - self._since
        return self._before + running

    def possible(self, possible: bool) -> None:
        """Whether from now on it could move; told as often as one likes."""
        self._before = self.seconds
        self._since = self._clock() if possible else None

    def moved(self) -> None:
        """It moved, or there is nothing to do any more."""
        self._before = 0.0
        if self._since is not None:
            self._since = self._clock()
