"""The Postgres exporter's role, as the script makes it on a real server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from indexer.store.cluster import bundled_binaries
from tests.fixtures.composing import ROOT

pytestmark = pytest.mark.integration

#: What others do is shown to members of pg_monitor alone.
OTHERS_STATEMENTS = """
    select count(*) from pg_stat_activity
    where usename <> current_user and query not in ('', '<insufficient privilege>')
"""
PSQL = bundled_binaries() / "psql"


def run_script(url: str, password: str) -> None:
    """Run it as the service postgres-role does."""
    command = [
        str(PSQL),
        "--no-psqlrc",
        "--quiet",
        f"--dbname={url}",
        f"--file={ROOT}/monitoring/postgres/role.sql",
    ]
    variables = {"PATH": os.environ["PATH"], "POSTGRES_MONITOR_PASSWORD": password}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest_asyncio.fixture(loop_scope="session")
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection that may do everything; the role is gone at the end."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.execute("drop owned by indexer_monitor; drop role indexer_monitor")
    await connection.close()


async def test_the_role_reads_statistics_and_no_row_of_ours(
    admin: asyncpg.Connection[asyncpg.Record], database_url: str
) -> None:
    for password in ("first", 'it\'s "second" $1'):
        run_script(database_url, password)
        stored = await admin.fetchval("select rolpassword from pg_authid where rolname = 'indexer_monitor'")
        assert stored.startswith("SCRAM-SHA-256$")
        parts = urlsplit(database_url)
        netloc = f"indexer_monitor@{parts.netloc.rpartition('@')[2]}"
        monitor = await asyncpg.connect(urlunsplit(parts._replace(netloc=netloc)), password=password)
        try:
            assert await monitor.fetchval(OTHERS_STATEMENTS)
            assert await monitor.fetchval("select pg_database_size(current_database())")
            for statement in ("select * from indexer.cursor", "create table public.mine ()"):
                with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)):
                    await monitor.execute(statement)
        finally:
            await monitor.close()
