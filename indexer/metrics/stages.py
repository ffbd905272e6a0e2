"""How much time goes into fetching, decoding and committing: which of them holds the others up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Stage = Literal["fetch", "decode", "commit"]


@dataclass(slots=True)
class _Decoded:
    seconds: float = 0.0


#: What was decoded while something is being fetched; tasks and threads that this starts see the same.
_DECODED: ContextVar[_Decoded | None] = ContextVar("decoded while fetching", default=None)


class StageTimes:
    """Tells how long each stage took, a failed attempt included.

    What runs side by side adds up, so a second of the clock may hold several of work.
    """

    def __init__(self, clock: Callable[[], float], spent: Callable[[Stage, float], None]) -> None:
        self._clock = clock
        self._spent = spent

    @contextmanager
    def fetch(self) -> Iterator[None]:
        """Time waiting for answers and reading them; what is decoded meanwhile counts as that."""
        decoded = _Decoded()
        began, before = self._clock(), _DECODED.set(decoded)
        try:
            yield
        finally:
            _DECODED.reset(before)
            self._spent("fetch", max(0.0, self._clock() - began - decoded.seconds))

    @contextmanager
    def decode(self) -> Iterator[None]:
        """Time checking, decoding and encoding."""
        began = self._clock()
        try:
            yield
        finally:
            seconds = self._clock() - began
            self._spent("decode", seconds)
            decoded = _DECODED.get()
            if decoded is not None:
                decoded.seconds += seconds

    @contextmanager
    def commit(self) -> Iterator[None]:
        """Time a writing transaction."""
        began = self._clock()
        try:
            yield
        finally:
            self._spent("commit", self._clock() - began)
