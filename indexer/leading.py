"""What several commands need before they touch the database: its schema, the lead, and known contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from indexer import parts
from indexer.core.errors import Unavailable, UserMistake
from indexer.core.watched import WatchedContract
from indexer.settings import Settings
from indexer.store.database import Database
from indexer.store.embedded import running_url
from indexer.store.leadership import Leadership, current_leader, take_leadership
from indexer.store.migrations import migrate, schema_version


async def take_lead(store: Database, doing: str) -> Leadership:
    """The right to write, on a database of the current schema.

    Raises:
        Unavailable: another process has it; the message says who, and what was to be done.
    """
    await migrate(store)
    leadership = await take_leadership(store)
    if leadership is None:
        raise Unavailable(
            f"another process writes to this database ({await current_leader(store)}): stop it first to {doing}"
        )
    return leadership


@asynccontextmanager
async def existing_database(settings: Settings, *, read_only: bool) -> AsyncIterator[Database]:
    """Connections to a database that holds something already.

    Raises:
        Unavailable: there is none yet, or its schema is not the current one.
    """
    url = settings.database.url or running_url(parts.embedded_directory())
    if url is None and not parts.embedded_directory().is_dir():
        raise Unavailable("there is no database yet: `indexer run` makes the embedded one under .indexer/")
    async with parts.any_database(settings, read_only=read_only) as store:
        await require_current(store)
        yield store


async def require_current(store: Database) -> None:
    """Return when the schema is this version's. Raises: Unavailable."""
    if not (await schema_version(store)).is_current:
        raise Unavailable(
            f"the database {store.name} has not this version's schema: `indexer migrate` brings it up to date"
        )


def chosen_names(watched: Sequence[WatchedContract], names: frozenset[str] | None) -> frozenset[str]:
    """The contracts that are meant: those named, or all.

    Raises:
        UserMistake: one is not configured.
    """
    known = frozenset(each.name for each in watched)
    if unknown := sorted((names or frozenset()) - known):
        raise UserMistake(f"no contract {', '.join(unknown)}; configured are {', '.join(sorted(known))}")
    return names or known
