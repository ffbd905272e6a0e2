"""The declared indexes in the database: tells which are there, builds what is missing, drops what is too many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from indexer import journal
from indexer.core.declaredindex import NAME_PATTERN, DeclaredIndex
from indexer.core.errors import Fatal, Unavailable
from indexer.core.naming import quoted
from indexer.store.database import Connection, Database
from indexer.store.failures import translated
from indexer.store.hosts import LoneConnection

log = journal.get(__name__)

#: Held by the session that builds, so that nobody takes what is being built for a leftover.
BUILD_LOCK = 0x696E6465_786C6569
TRY_LOCK = "select pg_try_advisory_lock($1)"
#: An hour for some hundred million rows; a build that takes longer than a day is given up.
LONGEST_BUILD_SECONDS = 86_400.0

READ_INDEXES = """
    select namespace.nspname as schema, indexed.relname as table, class.relname as name,
        pg_index.indisvalid as valid,
        exists (
            select from pg_catalog.pg_stat_progress_create_index as progress
            where progress.index_relid = class.oid
        ) as building
    from pg_catalog.pg_index
    join pg_catalog.pg_class as class on class.oid = pg_index.indexrelid
    join pg_catalog.pg_class as indexed on indexed.oid = pg_index.indrelid
    join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    where class.relname ~ $1
        and (namespace.nspname, indexed.relname) in (select table_schema, table_name from indexer.source)
    order by 1, 2, 3
"""

IndexState = Literal["ready", "building", "invalid"]


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """A declared index as the database has it."""

    schema: str
    table: str
    name: str
    #: An invalid one is what a build leaves that was broken off: it costs and serves nobody.
    state: IndexState


async def read_indexes(connection: Connection | LoneConnection) -> tuple[StoredIndex, ...]:
    """All indexes on event tables that have the name of a declared one."""
    found = await connection.fetch(READ_INDEXES, NAME_PATTERN)
    return tuple(
        StoredIndex(
            row["schema"],
            row["table"],
            row["name"],
            "building" if row["building"] else "ready" if row["valid"] else "invalid",
        )
        for row in found
    )


async def make_indexes(
    database: Database,
    ready: Sequence[DeclaredIndex],
    declared: Iterable[DeclaredIndex],
    tables: Collection[tuple[str, str]],
) -> None:
    """Build what is missing of the indexes whose tables are ready for it, and drop what is declared no longer.

    One that cannot be built is journalled, and the others are built all the same.

    Args:
        declared: all of them, also those that have to wait.
        tables: schema and name of those whose declarations these are; indexes on other tables are left alone.

    Raises:
        Unavailable: another session builds, or the database does not answer; what is built stays.
    """
    names = {(each.table.schema, each.name) for each in declared}

    def gone(found: Iterable[StoredIndex]) -> list[StoredIndex]:
        ours = [each for each in found if (each.schema, each.table) in tables]
        return [each for each in ours if (each.schema, each.name) not in names]

    def lacking(found: Iterable[StoredIndex]) -> list[DeclaredIndex]:
        there = {(each.schema, each.name) for each in found if each.state == "ready"}
        return [each for each in ready if (each.table.schema, each.name) not in there]

    async with database.connection() as looking:
        found = await read_indexes(looking)
    if not gone(found) and not lacking(found):
        return
    async with _session(database) as connection:
        with translated():
            found = await read_indexes(connection)
        for stored in gone(found):
            await _drop(connection, stored, "index dropped: it is not declared any more")
        for index in lacking(found):
            held = [each for each in found if (each.schema, each.name) == (index.table.schema, index.name)]
            await _make(connection, index, held[0] if held else None)


@asynccontextmanager
async def _session(database: Database) -> AsyncIterator[LoneConnection]:
    """A session that may take its time, and the only one that builds.

    Raises:
        Unavailable: another session builds.
    """
    connection = await database.lone_connection({
        "application_name": "indexer indexes",
        "statement_timeout": "0",
        # A build waits for transactions that are older than it; they are allowed to take their time.
        "lock_timeout": "0",
        "idle_session_timeout": "0",
    }, answer_seconds=LONGEST_BUILD_SECONDS)  # fmt: skip
    try:
        with translated():
            if not await connection.fetchval(TRY_LOCK, BUILD_LOCK):
                raise Unavailable("another session builds indexes")
        yield connection
    finally:
        connection.terminate()


async def _make(connection: LoneConnection, index: DeclaredIndex, held: StoredIndex | None) -> None:
    if held is not None:
        await _drop(connection, held, "index dropped: its build was broken off")
    log.info(
        "index begun", table=f"{index.table.schema}.{index.table.name}", columns=", ".join(index.columns)
    )
    try:
        with translated():
            await connection.execute(index.ddl)
    except Fatal as error:
        # It is tried again at the next start; what is indexed meanwhile does not depend on it.
        log.warning("index not built", name=f"{index.table.schema}.{index.name}", reason=str(error))
        return
    log.info("index built", name=f"{index.table.schema}.{index.name}")


async def _drop(connection: LoneConnection, index: StoredIndex, why: str) -> None:
    with translated():
        await connection.execute(
            f"drop index concurrently if exists {quoted(index.schema)}.{quoted(index.name)}"
        )
    log.warning(why, name=f"{index.schema}.{index.name}", table=f"{index.schema}.{index.table}")
