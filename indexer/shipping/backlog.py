"""The lines that wait for Logstash: a queue with an end, filled by any thread and emptied by one."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from dataclasses import dataclass

#: Why a line was not shipped.
DROPS: tuple[str, ...] = ("queue_full", "too_large", "not_writable", "shutdown")
#: What a line costs in memory beside its own bytes.
_OVERHEAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class Room:
    """How much may wait; whichever limit is reached first counts."""

    lines: int = 20_000
    bytes: int = 16 * 1024 * 1024
    #: A longer line is not shipped.
    line_bytes: int = 1024 * 1024


class Backlog:
    """Keeps the oldest lines and counts the newest away: what began an outage explains it.

    Its lock is one that a thread may take twice: the collector of garbage may journal at any moment, also here.
    """

    def __init__(self, room: Room | None = None) -> None:
        self._room = room or Room()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._news = threading.Condition(threading.RLock())
        self._closed = False
        #: Lines that Logstash's side of the connection was given.
        self.sent = 0
        #: Lines that were not shipped, by reason.
        self.dropped = dict.fromkeys(DROPS, 0)

    @property
    def queued(self) -> int:
        """Lines that wait."""
        return len(self._lines)

    @property
    def is_full(self) -> bool:
        """Whether the next line would be dropped, so that it need not be put together."""
        return len(self._lines) >= self._room.lines or self._bytes >= self._room.bytes

    def put(self, line: bytes) -> None:
        """Let the line, with its end, wait; or drop it where there is no room."""
        with self._news:
            if self._closed:
                self.dropped["shutdown"] += 1
            elif len(line) > self._room.line_bytes:
                self.dropped["too_large"] += 1
            elif self.is_full:
                self.dropped["queue_full"] += 1
            else:
                self._lines.append(line)
                self._bytes += len(line) + _OVERHEAD_BYTES
                self._news.notify()

    def drop(self, reason: str) -> None:
        """Count a line that is not put."""
        with self._news:
            self.dropped[reason] += 1

    def wait(self, seconds: float) -> bool:
        """Return when a line is there, or the time is over, or it was woken; whether a line is there."""
        with self._news:
            if not self._lines and not self._closed:
                self._news.wait(seconds)
            return bool(self._lines)

    def first(self, most_bytes: int) -> list[bytes]:
        """The oldest lines, at least one if there is any; they stay."""
        with self._news:
            size, count = 0, 0
            for line in self._lines:
                size += len(line)
                if count and size > most_bytes:
                    break
                count += 1
            return list(itertools.islice(self._lines, count))

    def shipped(self, lines: int) -> None:
        """So many of the oldest are on their way."""
        with self._news:
            for _ in range(lines):
                self._bytes -= len(self._lines.popleft()) + _OVERHEAD_BYTES
            self.sent += lines

    def close(self) -> None:
        """Take no more lines, and wake who waits for some."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def give_up(self) -> None:
        """Drop what still waits, at the end."""
        with self._news:
            self.dropped["shutdown"] += len(self._lines)
            self._lines.clear()
            self._bytes = 0
