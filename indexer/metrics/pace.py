"""How long a backfill will still take, judged by its pace since it began."""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """Progress through a known number of blocks.

    A change of the total, or fewer blocks done than before, is another backfill: its pace is measured anew.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._total = 0
        self._done = 0
        self._began_at = 0.0
        self._began_with = 0

    @property
    def total(self) -> int:
        """Blocks of the running backfill; 0 when none is running."""
        return 0 if self._done >= self._total else self._total

    @property
    def done(self) -> int:
        """Blocks of the running backfill that are done; 0 when none is running."""
        return 0 if self._done >= self._total else self._done

    @property
    def remaining_seconds(self) -> float | None:
        """Seconds left at the pace so far, 0 when nothing is left; None before anything was done."""
        left = self._total - self._done
        if left <= 0:
            return 0.0
        gained = self._done - self._began_with
        if gained <= 0:
            return None
        return left * (self._clock() - self._began_at) / gained

    def at(self, total: int, done: int) -> None:
        if total != self._total or done < self._done:
            self._began_at, self._began_with = self._clock(), done
        self._total, self._done = total, done
