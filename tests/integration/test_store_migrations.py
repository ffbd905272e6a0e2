"""The schema is made once, the same for everybody, and never by a file that changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from indexer.core.errors import UserMistake
from indexer.store.database import Database, open_database
from indexer.store.migrations import (
    SchemaVersion,
    migrate,
    migrations_directory,
    read_migrations,
    schema_version,
)
from indexer.store.reading import read_state, read_status
from indexer.store.rights import check_database
from tests.fixtures.stored import TOKEN, Stored, block_id, header

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture(loop_scope="session")
async def empty(empty_database_url: str) -> AsyncIterator[Database]:
    database = await open_database(empty_database_url)
    yield database
    await database.close()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the migrations with one more."""
    for path in migrations_directory().glob("*.sql"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    newest = len(list(tmp_path.glob("*.sql"))) + 1
    (tmp_path / f"{newest:04}_more.sql").write_text("create table indexer.more (id int);")
    return tmp_path


def as_plain_user(url: str) -> str:
    """The same database as a role without any right of its own."""
    return f"{url}{'&' if '?' in url else '?'}role=indexer_test_plain"


def sorted_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.sql"))


async def test_of_several_that_start_at_once_one_migrates(empty: Database) -> None:
    known = len(read_migrations())
    assert await schema_version(empty) == SchemaVersion(0, known)
    with pytest.raises(UserMistake, match="indexer migrate"):
        await read_state(empty)
    applied = await asyncio.gather(*(migrate(empty) for _ in range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, known]
    assert (await schema_version(empty)).is_current
    assert await migrate(empty) == ()


async def test_a_newer_program_brings_the_database_up_and_the_older_one_then_refuses(
    empty: Database, files: Path
) -> None:
    known = len(read_migrations())
    await migrate(empty)
    assert await schema_version(empty, files) == SchemaVersion(known, known + 1)
    assert [migration.name for migration in await migrate(empty, files)] == ["more"]
    for refused in (migrate(empty), schema_version(empty)):
        with pytest.raises(UserMistake, match=f"version {known + 1}, this program knows {known}"):
            await refused


async def test_a_released_file_that_was_edited_is_refused(empty: Database, files: Path) -> None:
    await migrate(empty, files)
    (first,) = [path for path in sorted_files(files) if path.name.startswith("0001_")]
    first.write_text(first.read_text() + "-- a small improvement\n")
    for refused in (migrate(empty, files), schema_version(empty, files)):
        with pytest.raises(UserMistake, match=rf"{first.name} is not what this database was made with"):
            await refused
    findings = {each.subject: each for each in await check_database(empty, files)}
    assert findings["schema version"].ok is False


async def test_a_migration_that_fails_leaves_nothing_behind(empty: Database, files: Path) -> None:
    newest = sorted_files(files)[-1]
    newest.write_text("create table indexer.half (id int); select 1 / 0;")
    with pytest.raises(Exception, match="division by zero"):
        await migrate(empty, files)
    assert (await schema_version(empty, files)).applied == 0


@pytest.mark.parametrize("name", ["0003_gap.sql", "2_short.sql", "0002_Capital.sql"])
def test_misnamed_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "0001_first.sql").write_text("")
    (tmp_path / name).write_text("")
    with pytest.raises(UserMistake, match=r"numbered|must be like"):
        read_migrations(tmp_path)


async def test_a_user_who_may_not_create_roles_can_migrate(empty_database_url: str, empty: Database) -> None:
    async with empty.connection() as connection:
        await connection.execute(
            "do $$ begin create role indexer_test_plain; exception when others then end $$"
        )
        name = await connection.fetchval("select current_database()")
        await connection.execute(f'grant create on database "{name}" to indexer_test_plain')
    plain = await open_database(as_plain_user(empty_database_url))
    await migrate(plain)
    findings = {each.subject: each for each in await check_database(plain)}
    assert findings["right to create schemas"].ok
    assert findings["right to the schema indexer"].ok
    await plain.close()


async def test_a_check_names_the_missing_right(database_url: str, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "do $$ begin create role indexer_test_plain; exception when others then end $$"
        )
    plain = await open_database(as_plain_user(database_url))
    findings = {each.subject: each for each in await check_database(plain)}
    assert findings["right to create schemas"].ok is False
    assert "grant create on database" in findings["right to create schemas"].remedy
    assert findings["right to the schema indexer"].ok is False
    assert findings["database version"].ok
    assert findings["schema version"].ok is False or findings["schema version"].ok is None
    await plain.close()


async def test_the_reader_sees_the_data_and_nothing_else(tail: Stored) -> None:
    await tail.writer.append(block_id(10), [tail.followed(header(11), [("Moved", TOKEN)])])
    async with tail.database.transaction() as connection:
        await connection.execute("set local role indexer_reader")
        for readable in (
            "indexer.event", "indexer.coverage", "indexer.reorg", "indexer.orphaned_event", "indexer.block",
            "indexer.transaction", "indexer.undecoded_log", "indexer.cursor", "token.moved", "token.moved_hex",
        ):  # fmt: skip
            await connection.fetch(f"select * from {readable}")
        assert await connection.fetchval("select chain_id from indexer.chain") == 31337
        for refused in (
            "select leader_host from indexer.chain",
            "select * from indexer.migration",
            "delete from token.moved",
            "update indexer.cursor set number = 1",
            "create table indexer.mine (id int)",
        ):
            await connection.execute("savepoint before")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(refused)
            await connection.execute("rollback to savepoint before")


async def test_status_tells_what_is_stored(tail: Stored) -> None:
    await tail.writer.append(block_id(10), [tail.followed(header(11), [("Moved", TOKEN)])])
    await tail.writer.replace(block_id(11), block_id(10), [tail.followed(header(11, "b", block_id(10)))])
    status = await read_status(tail.database)
    assert status.chain_id == 31337
    assert status.state.cursor == block_id(11, "b")
    assert status.leader is not None
    assert status.leader.epoch == 1
    assert status.reorgs == 1
    assert status.last_reorg is not None
    assert (status.last_reorg.depth, status.last_reorg.rows_removed, status.last_reorg.rows_added) == (
        1,
        1,
        0,
    )
    assert status.size_bytes > 0
    assert {each.kind for each in status.sources} == {"event", "transactions"}
    assert all(len(each.covered) == 1 and each.rows == 0 for each in status.sources)
