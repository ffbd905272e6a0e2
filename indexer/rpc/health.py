"""Whether an endpoint may be asked now: a circuit breaker, and rests that the endpoint asked for."""

from __future__ import annotations

from dataclasses import dataclass

#: After so many failures in a row an endpoint is left alone for a while.
FAILURES_TO_OPEN = 3
#: The first cool-down; each further one in a row is twice as long, up to the longest.
COOL_DOWN_SECONDS, LONGEST_COOL_DOWN_SECONDS = 2.0, 15.0
#: How long an endpoint rests after "too many requests" that names no time; doubles likewise.
REST_SECONDS, LONGEST_REST_SECONDS = 1.0, 30.0
#: After so long it is tried again, whatever it asked for: a quota may have been raised in the meantime.
LONGEST_ORDERED_REST_SECONDS = 3600.0
#: Whoever asks for more than a day means something else; such a rest is as long as one that names no time.
BELIEVED_REST_SECONDS = 86_400.0
#: What an endpoint showed as its head says for so long that it has nothing newer.
HEAD_FRESH_SECONDS = 2.0


@dataclass(slots=True)
class Health:
    """What the last answers say about an endpoint; times come from the caller's monotonic clock."""

    #: Failures since the last answer.
    failures: int = 0
    #: Until when the circuit is open. It is closed by an answer to the one attempt made thereafter.
    cooling_until: float = 0.0
    #: Until when it asked us, by a rate limit, to rest.
    resting_until: float = 0.0
    _rests: int = 0
    #: The newest block that it has shown, and when.
    head: int | None = None
    _head_at: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open: too many failures, no answer since."""
        return self.failures >= FAILURES_TO_OPEN

    def answered(self) -> None:
        """It answered, if only with an error that makes sense."""
        self.failures = 0
        self._rests = 0
        self.cooling_until = 0.0

    def failed(self, now: float) -> None:
        """It did not answer, or not sensibly."""
        self.failures += 1
        if self.is_open:
            # The exponent is bounded before it is used: an endpoint may stay down for weeks.
            exponent = min(self.failures - FAILURES_TO_OPEN, 10)
            self.cooling_until = now + min(COOL_DOWN_SECONDS * 2**exponent, LONGEST_COOL_DOWN_SECONDS)

    def limited(self, now: float, retry_after: float | None) -> None:
        """It asked us to slow down, for that many seconds if it said so."""
        seconds = retry_after
        if seconds is None or seconds > BELIEVED_REST_SECONDS:
            seconds = min(REST_SECONDS * 2 ** min(self._rests, 10), LONGEST_REST_SECONDS)
        self._rests += 1
        self.resting_until = max(self.resting_until, now + min(seconds, LONGEST_ORDERED_REST_SECONDS))

    def saw_head(self, number: int, now: float) -> None:
        """It gave this block as its newest."""
        self.head, self._head_at = number, now

    def lacks(self, number: int, now: float) -> None:
        """It did not have this block, though it may have been asked for it rightly."""
        if self.head is None or self.head >= number:
            self.head = number - 1
        self._head_at = now

    def is_behind(self, number: int, now: float) -> bool:
        """Whether it is known not to have that block yet."""
        return self.head is not None and self.head < number and now - self._head_at < HEAD_FRESH_SECONDS

    def resting_seconds(self, now: float) -> float:
        """How much longer it wants to rest, 0 for not at all."""
        return max(0.0, self.resting_until - now)

    def wait_seconds(self, now: float) -> float:
        """How long it should be left alone, 0 for not at all."""
        return max(self.resting_seconds(now), self.cooling_until - now)
