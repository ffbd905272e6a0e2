"""The schema `indexer`: numbered SQL files, applied once each, in order, never changed afterwards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import indexer
from indexer.core.ddl import READER
from indexer.core.errors import UserMistake
from indexer.store.database import Connection, Database

#: Whoever migrates holds this advisory lock until the end of the transaction.
MIGRATION_LOCK = 0x696E6465_786D6967

FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")

MAKE_JOURNAL = """
    create schema if not exists indexer;
    create table if not exists indexer.migration (
        version integer primary key,
        name text not null,
        sha256 text not null,
        applied_at timestamptz not null default now()
    );
    comment on table indexer.migration is 'The files of SQL that made this schema, with their checksums';
"""
HAS_JOURNAL = "select to_regclass('indexer.migration') is not null"
APPLIED = "select version, name, sha256 from indexer.migration order by version"
RECORD = "insert into indexer.migration (version, name, sha256) values ($1, $2, $3)"

#: Granted anew after each migration: the role may have been made since the last one.
LET_READER_IN = f"""
do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = '{READER}') then
        grant usage on schema indexer to {READER};
        grant select (chain_id, genesis_hash, name) on indexer.chain to {READER};
        grant select on
            indexer.cursor, indexer.source, indexer.block, indexer.transaction, indexer.undecoded_log,
            indexer.reorg, indexer.orphaned_event, indexer.coverage, indexer.repair,
            indexer.audit, indexer.halt, indexer.alert
        to {READER};
    end if;
end
$$;
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of SQL."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """How far a database is, and how far this program would bring it; 0: not prepared at all."""

    applied: int
    known: int

    @property
    def is_current(self) -> bool:
        return self.applied == self.known


def migrations_directory() -> Path:
    """Where the SQL files are: inside the installed package, or beside it in a checkout.

    Raises:
        UserMistake: they are in neither place.
    """
    package = Path(indexer.__file__).parent
    for place in (package / "migrations", package.parent / "migrations"):
        if place.is_dir():
            return place
    raise UserMistake("the SQL files of the schema are missing: install the package with its migrations/")


def read_migrations(directory: Path | None = None) -> tuple[Migration, ...]:
    """All migrations, in order.

    Raises:
        UserMistake: a file is misnamed, or the numbers are not 1, 2, 3 ….
    """
    found = []
    for path in sorted((directory or migrations_directory()).glob("*.sql")):
        parts = FILE_NAME.fullmatch(path.name)
        if parts is None:
            raise UserMistake(f"migrations/{path.name}: the name must be like 0001_words.sql")
        found.append(Migration(int(parts[1]), parts[2], path.read_text(encoding="utf-8")))
    versions = [migration.version for migration in found]
    if not versions or versions != list(range(1, len(versions) + 1)):
        raise UserMistake(f"migrations must be numbered 1, 2, 3 … without gaps, not {versions}")
    return tuple(found)


async def migrate(database: Database, directory: Path | None = None) -> tuple[Migration, ...]:
    """Bring the schema up to date, all or nothing; return what was applied (nothing if it was current).

    Of several processes that start at once, one migrates and the others wait for it.

    Raises:
        UserMistake: a released file was changed, the database is newer than this program, a right is missing.
        Unavailable: the lock was not free in time.
    """
    known = read_migrations(directory)
    async with database.transaction(statement_seconds=0) as connection:
        await connection.execute("select pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        pending = _pending(known, await _applied(connection))
        if not await connection.fetchval(HAS_JOURNAL):
            await connection.execute(MAKE_JOURNAL)
        for migration in pending:
            await connection.execute(migration.sql)
            await connection.execute(RECORD, migration.version, migration.name, migration.sha256)
        await connection.execute(LET_READER_IN)
    return pending


async def schema_version(database: Database, directory: Path | None = None) -> SchemaVersion:
    """How far the database's schema is; changes nothing.

    Raises:
        UserMistake: a released file was changed, or the database is newer than this program.
    """
    known = read_migrations(directory)
    async with database.connection() as connection:
        applied = await _applied(connection)
    _pending(known, applied)
    return SchemaVersion(applied=max(applied, default=0), known=len(known))


async def _applied(connection: Connection) -> Mapping[int, tuple[str, str]]:
    if not await connection.fetchval(HAS_JOURNAL):
        return {}
    return {row["version"]: (row["name"], row["sha256"]) for row in await connection.fetch(APPLIED)}


def _pending(known: tuple[Migration, ...], applied: Mapping[int, tuple[str, str]]) -> tuple[Migration, ...]:
    newest = max(applied, default=0)
    if newest > len(known):
        raise UserMistake(
            f"the database's schema is version {newest}, this program knows {len(known)}: "
            "run the newer program, or restore a backup from before its migration"
        )
    for migration in known[:newest]:
        name, sha256 = applied.get(migration.version, ("missing", ""))
        if sha256 != migration.sha256:
            file = f"{migration.version:04}_{migration.name}.sql"
            raise UserMistake(
                f"migration {file} is not what this database was made with ({name}, sha256 {sha256[:12]}…, "
                f"now {migration.sha256[:12]}…): a released migration is never edited; restore the file and "
                "put the change into a new one"
            )
    return known[newest:]
