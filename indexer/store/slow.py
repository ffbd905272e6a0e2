"""Tells the journal how long statements and transactions took: the slow ones, or all of them at the level debug."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from indexer import journal

if TYPE_CHECKING:
    from asyncpg.connection import LoggedQuery

log = journal.get(__name__)

#: Characters of a statement that are shown: enough to know it again.
_SHOWN = 300
#: What a statement or transaction may take without a line; `logs.slow_query_seconds` changes it.
SLOW_SECONDS = 1.0


class SlowQueries:
    """Writes `query_duration`, in milliseconds, of what took at least so many seconds.

    Statements are shown without their values. COPY has no line of its own: the transaction that it is part of does.
    """

    def __init__(self, slow_seconds: float = SLOW_SECONDS) -> None:
        self._slow_seconds = slow_seconds

    def statement(self, done: LoggedQuery) -> None:
        """One statement ended, well or not; to be given to `add_query_logger`."""
        slow = done.elapsed >= self._slow_seconds
        if not slow and not log.hears_debug:
            return
        fields: dict[str, object] = {
            "query_duration": _milliseconds(done.elapsed),
            "query": " ".join(done.query.split())[:_SHOWN],
        }
        if done.exception is not None:
            fields["failure"] = type(done.exception).__name__
        if slow:
            log.warning("slow statement", **fields)
        else:
            log.debug("statement", **fields)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Time a whole transaction, its commit included; one that failed has no line."""
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        if seconds >= self._slow_seconds:
            log.warning("slow transaction", query_duration=_milliseconds(seconds))
        elif log.hears_debug:
            log.debug("transaction", query_duration=_milliseconds(seconds))


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
