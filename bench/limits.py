"""The limits of a provider: calls a second, blocks in a range, logs in an answer, calls in a request."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

#: How calls a second are counted: those of the last second at any moment, those of each second of the clock, or
#: a bucket of a second's calls that fills at a steady rate.
Counting = Literal["sliding", "fixed", "bucket"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a node takes; None: anything."""

    latency_seconds: float = 0.05
    #: Blocks in one `eth_getLogs`.
    range_blocks: int | None = 2_000
    #: Logs in one answer.
    answer_logs: int | None = 10_000
    #: The calls of a batch are counted one by one.
    calls_per_second: int | None = 25
    counting: Counting = "sliding"
    #: Calls in one request.
    batch_calls: int | None = None
    #: Whether too many calls are refused by HTTP 429, or by an error for each call above the limit.
    by_status: bool = True


class CallCounter:
    """Whether calls are within the limit; calls that are refused are not counted."""

    def __init__(
        self, per_second: int | None, counting: Counting, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._counting = counting
        self._clock = clock
        self._recent: deque[float] = deque()
        self._tokens, self._filled_at = float(per_second or 0), clock()

    def allowed(self, calls: int) -> int:
        """How many of these calls may be answered now, if they are let in."""
        if self._per_second is None:
            return calls
        now = self._clock()
        if self._counting == "bucket":
            self._tokens = min(
                float(self._per_second), self._tokens + (now - self._filled_at) * self._per_second
            )
            self._filled_at = now
            return min(calls, int(self._tokens))
        begin = now - 1.0 if self._counting == "sliding" else float(int(now))
        while self._recent and self._recent[0] < begin:
            self._recent.popleft()
        return min(calls, self._per_second - len(self._recent))

    def let_in(self, calls: int) -> None:
        """Count calls that are answered."""
        self._tokens -= calls
        self._recent.extend([self._clock()] * calls)
