"""What a report to Sentry is made of: the trail of what happened before it, its tags, and no secrets."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

#: What happened last is kept, this much of it.
TRAIL_LENGTH = 100
#: Texts are cut here, after the secrets were taken out of them.
LONGEST_TEXT = 8_192
#: The same report is not sent again before so many seconds.
QUIET_SECONDS = 600.0
_DEEPEST = 12
#: Fields of the journal that name a block, the most telling first.
_BLOCK_FIELDS = ("block", "from_block", "first", "cursor", "head")
#: Larger integers lose digits in readers that know only binary64 numbers.
_SAFE_INTEGER = 2**53


def scrubbed(value: Any, redact: Callable[[str], str], depth: int = 0) -> Any:
    """The value as JSON can hold it, without secrets: bytes as 0x text, large integers and all others as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return value if abs(value) <= _SAFE_INTEGER else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return "0x" + bytes(value).hex()[:LONGEST_TEXT]
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {redact(str(key)): scrubbed(each, redact, depth + 1) for key, each in value.items()}
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [scrubbed(each, redact, depth + 1) for each in value]
    # What is cut before it is redacted may end in half a secret, which no pattern knows.
    return redact(str(value))[:LONGEST_TEXT]


def block_of(fields: Mapping[str, object]) -> int | None:
    """The block that a journal record is about, if it names one."""
    return next((value for name in _BLOCK_FIELDS if isinstance(value := fields.get(name), int)), None)


class Trail:
    """What happened last: calls, queries, journal records; equal ones in a row are one with a count."""

    def __init__(self, length: int = TRAIL_LENGTH, wall: Callable[[], float] = time.time) -> None:
        self._crumbs: deque[dict[str, Any]] = deque(maxlen=length)
        self._wall = wall

    def add(self, category: str, message: str, data: Mapping[str, object], level: str = "info") -> None:
        """Remember it. Of equal ones in a row the last one's data are kept."""
        last = self._crumbs[-1] if self._crumbs else None
        if last is not None and (last["category"], last["message"], last["level"]) == (
            category,
            message,
            level,
        ):
            last["data"] = {**data, "times": last["data"].get("times", 1) + 1}
            last["timestamp"] = self._wall()
            return
        self._crumbs.append(
            {
                "timestamp": self._wall(),
                "category": category,
                "message": message,
                "level": level,
                "data": dict(data),
            }
        )

    def all(self) -> list[dict[str, Any]]:
        """The oldest first."""
        return list(self._crumbs)


class Quiet:
    """Keeps what is reported over and over from being sent each time."""

    def __init__(self, seconds: float = QUIET_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._sent: dict[tuple[str, ...], tuple[float, int]] = {}

    def pass_on(self, *what: str) -> int | None:
        """How many equal ones were held back since the last that was passed on; None: hold this one back too."""
        now = self._clock()
        sent = self._sent.get(what)
        if sent is not None and now - sent[0] < self._seconds:
            self._sent[what] = (sent[0], sent[1] + 1)
            return None
        self._sent = {key: each for key, each in self._sent.items() if now - each[0] < self._seconds}
        self._sent[what] = (now, 0)
        return sent[1] if sent else 0
