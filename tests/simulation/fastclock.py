"""Makes the seconds of this process shorter, so that its pauses and time-outs pass several times as fast.

What a program does after a failure is mostly to wait. A simulation that waited as long as it does could run a few
hundred seeds an hour. So `time.monotonic` runs faster, the event loop waits accordingly shorter, and the time-outs
that the program sets in its database sessions shrink likewise. Dates stay what they are.
"""

from __future__ import annotations

import functools
import re
import selectors
import time
from collections.abc import Callable, Mapping
from typing import Any

_TIMEOUT = re.compile(r"_timeout$")


def hasten(speed: float) -> None:
    """Let one real second be `speed` seconds. To be called once, before anything reads the clock."""
    true_time = time.monotonic
    # Read at each call by the event loop, and where a module takes it as a default value, at its import.
    time.monotonic = lambda: true_time() * speed
    _shorten_waits(speed)


def hasten_sessions(speed: float) -> None:
    """The same for what the database measures: the time-outs that asyncpg is asked to set."""
    import asyncpg

    def shorter(connect: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(connect)
        def connected(*arguments: Any, **options: Any) -> Any:
            if settings := options.get("server_settings"):
                options["server_settings"] = _shortened(settings, speed)
            return connect(*arguments, **options)

        return connected

    asyncpg.connect = shorter(asyncpg.connect)
    asyncpg.create_pool = shorter(asyncpg.create_pool)


def _shorten_waits(speed: float) -> None:
    selector: Any = selectors.DefaultSelector
    true_select = selector.select

    def select(self: Any, timeout: float | None = None) -> Any:
        return true_select(self, timeout if timeout is None else timeout / speed)

    selector.select = select


def _shortened(settings: Mapping[str, str], speed: float) -> dict[str, str]:
    """The settings with every time-out, in milliseconds, divided; 0 stays: it means none."""
    return {
        name: str(max(1, int(int(value) / speed))) if _TIMEOUT.search(name) and value != "0" else value
        for name, value in settings.items()
    }
