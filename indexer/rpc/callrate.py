"""How many calls a second an endpoint takes: what was configured, or what its refusals teach."""

from __future__ import annotations

from collections import deque

#: Of what was refused, this is kept to next; and never more than that part until much later.
BACK_OFF, CEILING = 0.85, 0.95
#: More than was taken in a second, in case that the second was not full.
LEEWAY = 1.1
#: Growth in a second: until a rate was refused that was tried on purpose, and thereafter.
FIRST_GROWTH, GROWTH = 1.5, 1.05
#: The least that is concluded from refusals.
LEAST_PER_SECOND = 5.0
#: How long the ceiling is believed, at first and at most; doubled each time that it was right.
PATIENCE_SECONDS, LONGEST_PATIENCE_SECONDS = 600.0, 14_400.0
#: Over how long the calls that were taken are counted.
_SEEN_SECONDS = 1.0


class CallRate:
    """Calls per second; times come from the caller's monotonic clock.

    Without a configured rate there is no limit until the endpoint refuses. Then what it took in the last second
    is where to begin: from there it grows to just below what was refused, and stays there.
    """

    def __init__(self, configured: float | None) -> None:
        self._configured = self._most = configured
        #: None: no limit is known.
        self.per_second = configured
        #: The slowest rate that was refused.
        self._refused: float | None = None
        self._patience = PATIENCE_SECONDS
        self._slowed_at = self._grown_at = float("-inf")
        self._taken: deque[tuple[float, int]] = deque()

    def share(self, part: float) -> bool:
        """Use this part of the configured rate; whether there is one."""
        if self._configured is None:
            return False
        self._most = self._configured * part
        self.per_second = self._most if self._refused is None else min(self._most, self._refused * CEILING)
        return True

    def taken(self, calls: int, now: float) -> None:
        """The endpoint answered so many calls."""
        self._taken.append((now, calls))
        while self._taken[0][0] < now - _SEEN_SECONDS:
            self._taken.popleft()

    def limited(self, sent_at: float, now: float) -> bool:
        """The endpoint refused calls sent at that time as too many; whether they are slower from now on."""
        if sent_at < self._slowed_at:
            return False  # it was the rate before this one that was too much
        taken = sum(calls for at, calls in self._taken if at >= now - _SEEN_SECONDS)
        if self.per_second is None:
            self.per_second = max(float(taken), LEAST_PER_SECOND)
        elif not taken:
            return (
                False  # a quota that is used up, or calls of somebody else: slower ones would change nothing
            )
        else:
            if self._refused is not None:
                self._patience = min(self._patience * 2, LONGEST_PATIENCE_SECONDS)
            self._refused = min(self.per_second, self._refused or self.per_second)
            least = min(LEAST_PER_SECOND, self._most or LEAST_PER_SECOND)
            # What was taken before the refusal is about what is allowed, where calls are counted by the second.
            slower = max(self.per_second / 2, min(self.per_second * BACK_OFF, taken * LEEWAY))
            self.per_second = max(slower, least)
        self._slowed_at = self._grown_at = now
        return True

    def pressed(self, now: float) -> None:
        """More calls wait than may be sent: try a little more, if it is time."""
        if self.per_second is None or self.per_second == self._most:
            return
        if self._refused is not None and now - self._slowed_at > self._patience:
            self._refused, self._slowed_at = self._refused / BACK_OFF, now
        # While nobody waited there was nothing to learn.
        seconds = min(max(now - self._grown_at, 0.0), 1.0)
        self._grown_at = now
        grown = self.per_second * (FIRST_GROWTH if self._refused is None else GROWTH) ** seconds
        if self._refused is not None:
            grown = max(self.per_second, min(grown, self._refused * CEILING))
        self.per_second = grown if self._most is None else min(grown, self._most)
