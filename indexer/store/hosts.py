"""Which of the database's hosts to talk to: one that answers, and where we write, one that takes writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg

from indexer import sentry
from indexer.core.errors import IndexerError, Unavailable
from indexer.store.failures import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

# In quotes, because asyncpg's classes are generic for type checkers only.
LoneConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Hosts:
    """The hosts of one database URL, `postgresql://user@first,second:5433/database`.

    Each gets its share of the time, so that one which fell silent does not keep us from the others; whoever
    answered last is asked first.

    Args:
        seconds: how long a connection may take to be made, all hosts together.
        writes: a host that is read-only, as a standby is, does not do.
    """

    def __init__(self, url: str, *, seconds: float, writes: bool) -> None:
        self._urls = urls_of_hosts(url)
        self._seconds = seconds
        self._writes = writes
        self._first = 0

    async def connect(self, *_: object, **options: Any) -> LoneConnection:
        """A connection with these options of `asyncpg.connect`.

        Raises:
            Unavailable: no host does for now; the message says of each why.
            UserMistake, Fatal: none does, and one of them for a reason that waiting does not mend.
        """
        options["timeout"] = self._seconds / len(self._urls)
        if self._writes:
            options["target_session_attrs"] = "read-write"
        first, failures = self._first, list[IndexerError]()
        for index in [*range(first, len(self._urls)), *range(first)]:
            try:
                with translated():
                    connection: LoneConnection = await asyncpg.connect(self._urls[index], **options)
            except BaseException as error:
                # Also when our caller lost patience: the next attempt begins with another host.
                if self._first == index:
                    self._first = (index + 1) % len(self._urls)
                if not isinstance(error, IndexerError):
                    raise
                failures.append(error)
            else:
                self._first = index
                if sentry.is_on():
                    connection.add_query_logger(sentry.query)
                return connection
        raise _gravest(failures)


def urls_of_hosts(url: str) -> tuple[str, ...]:
    """The URL with each of its hosts alone."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    return tuple(parts._replace(netloc=f"{user}{at}{host}").geturl() for host in hosts.split(","))


def _gravest(failures: Sequence[IndexerError]) -> IndexerError:
    for failure in failures:
        if not isinstance(failure, Unavailable) or len(failures) == 1:
            return failure
    return Unavailable("none of the database's hosts will do: " + "; ".join(map(str, failures)))
