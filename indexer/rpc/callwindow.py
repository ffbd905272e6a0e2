"""At most so many calls in any second as the provider counts them, wherever in their round trips it does so."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

#: An answer this much later than others was on its way for longer; what is later still was being worked on.
LONGEST_LATENESS_SECONDS = 0.25
#: Two clocks are never quite alike, nor is the shortest way seen each time.
GUARD_SECONDS = 0.004
#: Calls may be this far ahead of an even pace, so that a lost moment is made up for.
AHEAD_SECONDS = 0.25
#: The shortest of the last so many round trips is taken for the way alone, once there were so many.
_ROUND_TRIPS, _FEW_ROUND_TRIPS = 512, 4


@dataclass(slots=True, eq=False)
class Sent:
    """Calls that were sent in one request."""

    #: When, by the caller's monotonic clock.
    at: float
    calls: int
    #: When the answer came; None: not yet, or never.
    answered_at: float | None = None


class CallWindow:
    """Says how long to wait before calls may be sent; times come from the caller's monotonic clock.

    Some providers fill a bucket at a steady rate, others count the calls of each second, or of the last one at
    any moment. What suits them all is an even pace that never has more than a second's calls in one second. The
    provider counts a request somewhere between sending and answer: one whose answer came late may have been
    counted late, so its place is free only as much later.
    """

    def __init__(self) -> None:
        self._sent: deque[Sent] = deque()
        self._in_window = 0
        self._round_trips: deque[float] = deque(maxlen=_ROUND_TRIPS)
        self._shortest = 0.0
        #: When everything that was sent is paid for at an even pace.
        self._paid_at = float("-inf")
        self._full_until = float("-inf")

    def wait(self, calls: int, per_second: float, now: float) -> float:
        """Seconds until so many calls may be sent, as far as can be known now; 0 for at once.

        More calls than a second's worth wait until nothing else is counted.
        """
        seconds = window_calls(per_second) / per_second
        self._forget(seconds, now)
        wait = max(0.0, self._full_until - now, self._paid_at - now - min(AHEAD_SECONDS, seconds))
        excess = min(self._in_window + calls - window_calls(per_second), self._in_window)
        for sent in self._sent:
            if excess <= 0:
                break
            excess -= sent.calls
            wait = max(wait, self._free_at(sent, seconds, now) - now)
        return wait

    def send(self, calls: int, per_second: float, now: float) -> Sent:
        """Count calls that are sent now."""
        sent = Sent(now, calls)
        self._sent.append(sent)
        self._in_window += calls
        self._paid_at = max(self._paid_at, now) + calls / per_second
        return sent

    def answered(self, sent: Sent, now: float) -> None:
        """Learn from the time at which an answer came."""
        sent.answered_at = now
        self._round_trips.append(now - sent.at)
        if len(self._round_trips) >= _FEW_ROUND_TRIPS:
            self._shortest = min(self._round_trips)

    def close(self, now: float) -> None:
        """Let nothing through for a second: whatever the provider counts, nothing is counted any more then."""
        self._full_until = max(self._full_until, now + 1.0)

    def _forget(self, seconds: float, now: float) -> None:
        while self._sent and self._free_at(self._sent[0], seconds, now) <= now:
            self._in_window -= self._sent.popleft().calls

    def _free_at(self, sent: Sent, seconds: float, now: float) -> float:
        took = (now if sent.answered_at is None else sent.answered_at) - sent.at
        late = took - self._shortest
        return sent.at + seconds + GUARD_SECONDS + min(max(late, 0.0), LONGEST_LATENESS_SECONDS)


def window_calls(per_second: float) -> int:
    """How many calls a window has: a second's, rounded up; it is as much longer than a second as that takes."""
    return math.ceil(per_second)
