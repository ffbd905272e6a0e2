"""What an error of PostgreSQL, or of the way to it, means for us: try later, ask again, or stop.

Nothing that asyncpg raises leaves the store; what leaves it never holds the database's URL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from indexer.core.errors import Fatal, Inconsistent, IndexerError, Unavailable, UserMistake

#: SQLSTATE classes (two characters) and codes of trouble that passes by itself or by a person's hand
#: while we wait. Source: PostgreSQL manual, appendix A.
PASSING_CLASSES = frozenset({
    "08",  # connection exceptions
    "53",  # insufficient resources: disk full, out of memory, too many connections
    "58",  # errors of the system below PostgreSQL
})  # fmt: skip
PASSING_CODES = frozenset({
    "25006",  # read-only transaction: we reached a standby, a fail-over may be under way
    "25P03",  # we were idle in a transaction for too long
    "25P04",  # transaction time-out
    "40001",  # serialization failure
    "40P01",  # deadlock
    "55006",  # object in use
    "55P03",  # lock not available within lock_timeout
    "57014",  # cancelled, mostly by statement_timeout
    "57P01",  # the server shuts down, or an administrator ended our session
    "57P02",  # crash of another session
    "57P03",  # starting up, shutting down, in recovery
    "57P05",  # our session was idle for too long
})  # fmt: skip

#: What a person has to put right, with the remedy.
MISTAKES = {
    "28000": "the database does not let us in: check user, password and pg_hba.conf",
    "28P01": "the database refuses the password: check DATABASE_URL",
    "3D000": "there is no such database: create it, or correct DATABASE_URL",
    "3F000": "the database is not prepared: run `indexer migrate`",
    "42501": "the database user lacks a right: `indexer check` names it",
    "42P01": "the database is not prepared, or a table was dropped: run `indexer migrate`",
}

READ_ONLY = (
    "the database is read-only: a standby (replica), or set so, as some providers do when its disk is full; "
    "the primary is needed here: correct DATABASE_URL (it may name several hosts), promote this server, or "
    "lift the limit. It goes on by itself then"
)

#: What to do about trouble that passes only when somebody helps; we go on by ourselves afterwards.
REMEDIES = {
    "25006": READ_ONLY,
    "53100": "the disk of the database is full: make room",
    "53200": "the database is out of memory: give it more, or lower database.connections",
    "53300": "the database has no connection left: raise its max_connections, or lower database.connections",
    "55P03": (
        "another session holds a lock that is needed, probably a long query: pg_stat_activity shows it, end it "
        "or wait"
    ),
    "57014": "a statement took too long, or somebody cancelled it: if it stays, raise timeouts.statement_seconds",
}


def failure_of(error: Exception) -> IndexerError:
    """The error of ours that says what to do about an error of asyncpg or of the network."""
    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error)
    if isinstance(error, asyncpg.InterfaceError):
        return _of_client(error)
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return Unavailable(READ_ONLY)
    if isinstance(error, asyncpg.InternalClientError):
        # The driver lost its way in the protocol, as when the server is killed under a COPY: in words that
        # depend on the moment. A new connection begins anew.
        return Unavailable(f"the database connection broke: {_first_line(error)}")
    if isinstance(error, TimeoutError):
        return Unavailable("the database did not answer in time")
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        return Unavailable(f"the database cannot be reached: {reason}")
    return Fatal(f"unforeseen {type(error).__name__} from the database driver")


def _of_server(error: asyncpg.PostgresError) -> IndexerError:
    code = error.sqlstate or "?????"
    text = f"{_first_line(error)} (SQLSTATE {code})"
    if code in REMEDIES:
        return Unavailable(f"{REMEDIES[code]} — PostgreSQL: {text}")
    if code in PASSING_CODES or code[:2] in PASSING_CLASSES:
        return Unavailable(f"the database: {text}")
    if code in MISTAKES:
        return UserMistake(f"{MISTAKES[code]} — PostgreSQL: {text}")
    if code[:2] == "23":
        return Inconsistent(f"the database refused rows: {text}")
    return Fatal(f"the database: {text}")


def needs_help(error: Unavailable) -> bool:
    """Whether the database answers, and yet somebody may have to help before it takes what we write."""
    return isinstance(error.__cause__, asyncpg.PostgresError) and error.__cause__.sqlstate in REMEDIES


def _of_client(error: asyncpg.InterfaceError) -> IndexerError:
    text = _first_line(error)
    # "connection is closed", "pool is closing"; "released back to the pool" when it broke while we held it.
    if "clos" in text or "released" in text:
        return Unavailable(f"the database connection is gone: {text}")
    if isinstance(error, ValueError):
        # Its text may repeat the value, and values are not ours to show.
        return Fatal(f"a value does not fit its column ({type(error).__name__})")
    return Fatal(f"the database driver was used wrongly: {text}")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def wrong_url(what: str) -> UserMistake:
    """The error for a database URL that cannot be read; it does not repeat the URL."""
    return UserMistake(
        f"DATABASE_URL cannot be read ({what}); it looks like postgresql://user:password@host:5432/database"
    )


@contextmanager
def translated() -> Iterator[None]:
    """Let errors of the driver and the network leave the block as errors of ours.

    Raises:
        Unavailable, UserMistake, Inconsistent, Fatal: see `failure_of`.
    """
    try:
        yield
    except asyncpg.ClientConfigurationError as error:
        # No cause is attached: its text may repeat parts of the URL.
        raise wrong_url(type(error).__name__) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise failure_of(error) from error
