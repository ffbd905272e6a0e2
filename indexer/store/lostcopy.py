"""Keep silent about a future that asyncpg forgets when a connection broke just before a COPY.

Where the server ended the session between two statements of a transaction, the next statement finds the
connection in the wrong state. For a COPY, asyncpg has made the future of its answer by then and raises
without it; as soon as the connection is closed, the future gets an exception that nobody awaits. The failure
itself was raised and is dealt with, so the report of it says nothing new.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg


def keep_silent_about_lost_copies() -> None:
    """Do so on the running loop, unless it has an exception handler of its own."""
    loop = asyncio.get_running_loop()
    if loop.get_exception_handler() is None:
        loop.set_exception_handler(_report)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    future = context.get("future")
    of_a_copy = isinstance(future, asyncio.Future) and not isinstance(future, asyncio.Task)
    if of_a_copy and isinstance(context.get("exception"), asyncpg.ConnectionDoesNotExistError):
        return
    loop.default_exception_handler(context)
