"""Whether a database will do: what `indexer check` says about it, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg

from indexer.core.ddl import READER
from indexer.core.errors import UserMistake
from indexer.core.finding import Finding
from indexer.store.database import NEWEST_VERSION, OLDEST_VERSION, Database
from indexer.store.migrations import schema_version

FACTS = f"""
    select
        current_setting('server_version_num')::int / 10000 as major,
        current_setting('server_encoding') as encoding,
        pg_is_in_recovery() as standby,
        current_user as "user",
        current_database() as database,
        has_database_privilege(current_database(), 'create') as may_create,
        to_regnamespace('indexer') is not null as prepared,
        coalesce(has_schema_privilege(to_regnamespace('indexer'), 'create'), false) as may_extend,
        exists (select from pg_catalog.pg_roles where rolname = '{READER}') as has_reader,
        coalesce(has_schema_privilege(
            (select oid from pg_catalog.pg_roles where rolname = '{READER}'),
            to_regnamespace('indexer'), 'usage'
        ), false) as reader_is_in
"""


async def check_database(database: Database, migrations: Path | None = None) -> tuple[Finding, ...]:
    """Everything about the database that could stop the indexer, found out without changing anything.

    Raises:
        Unavailable, UserMistake: it cannot be reached, which is a finding of its own to the caller.
    """
    async with database.connection() as connection:
        row = await connection.fetchrow(FACTS)
    assert row is not None
    return (*_server(row), *_rights(row), await _schema(database, migrations))


def _server(row: asyncpg.Record) -> Iterator[Finding]:
    major = row["major"]
    if major > NEWEST_VERSION:
        yield Finding(
            "database version", None, f"PostgreSQL {major} is newer than any tested ({NEWEST_VERSION})"
        )
    else:
        yield Finding(
            "database version",
            major >= OLDEST_VERSION,
            f"PostgreSQL {major}",
            "" if major >= OLDEST_VERSION else f"upgrade to {OLDEST_VERSION} or newer",
        )
    encoding = row["encoding"]
    yield Finding(
        "database encoding",
        encoding == "UTF8",
        encoding,
        "" if encoding == "UTF8" else "create the database with encoding UTF8: events hold any text",
    )
    if row["standby"]:
        yield Finding(
            "database role", False, "it is a standby and cannot be written to", "use the primary server's URL"
        )


def _rights(row: asyncpg.Record) -> Iterator[Finding]:
    user, name = row["user"], row["database"]
    yield Finding(
        "right to create schemas",
        row["may_create"],
        f"user {user} {'may' if row['may_create'] else 'may not'} create schemas in {name}",
        "" if row["may_create"] else f'grant create on database "{name}" to "{user}"',
    )
    if row["prepared"]:
        yield Finding(
            "right to the schema indexer",
            row["may_extend"],
            f"user {user} {'may' if row['may_extend'] else 'may not'} create tables in it",
            "" if row["may_extend"] else f'alter schema indexer owner to "{user}", and its tables with it',
        )
    if not row["has_reader"]:
        yield Finding(
            "read-only role",
            None,
            f"the role {READER} does not exist; the indexer makes it where its user may",
            f"if `indexer migrate` does not make it: create role {READER}, then run it again",
        )
    elif row["prepared"]:
        yield Finding(
            "read-only role",
            True if row["reader_is_in"] else None,
            f"the role {READER} {'may' if row['reader_is_in'] else 'may not'} read the schema indexer",
            "" if row["reader_is_in"] else "run `indexer migrate`",
        )


async def _schema(database: Database, migrations: Path | None) -> Finding:
    try:
        version = await schema_version(database, migrations)
    except UserMistake as mistake:
        return Finding("schema version", False, str(mistake))
    if version.is_current:
        return Finding("schema version", True, f"version {version.applied}")
    return Finding(
        "schema version",
        None,
        f"version {version.applied}, this program brings version {version.known}",
        "`indexer migrate` does it, and `indexer run` at its start",
    )
