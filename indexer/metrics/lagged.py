"""How far behind the cursor was lately, at best: what tells catching up from falling behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

#: Stretches of time of which the smallest lag is kept, and how long each is.
STRETCHES, STRETCH_SECONDS = 360, 10.0


class Lagged:
    """The smallest lag of each stretch of time, for an hour."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        #: Number of the stretch, the smallest lag in it and the last; oldest first.
        self._lows: deque[tuple[int, int, int]] = deque(maxlen=STRETCHES)
        self._now: int | None = None

    def at(self, lag: int | None) -> None:
        """The lag is this from now on; None: it is not known any more, and what was is forgotten."""
        if lag is None:
            self._lows.clear()
            self._now = None
            return
        self._keep(lag if self._now is None else self._now)
        self._now = lag
        self._keep(lag)

    def lowest(self, from_seconds: float, to_seconds: float) -> int | None:
        """The smallest lag between so long ago and so long ago; None when it is not known for all that time."""
        now = self._clock()
        first = int((now - from_seconds) // STRETCH_SECONDS)
        last = int((now - to_seconds) // STRETCH_SECONDS)
        if not self._lows or self._lows[0][0] > first:
            return None
        # A lag lasts until the next one is told.
        held = [ended for number, _, ended in self._lows if number < first][-1:]
        return min(held + [low for number, low, _ in self._lows if first <= number <= last])

    def _keep(self, lag: int) -> None:
        number, low = int(self._clock() // STRETCH_SECONDS), lag
        if self._lows and self._lows[-1][0] == number:
            low = min(lag, self._lows.pop()[1])
        self._lows.append((number, low, lag))
