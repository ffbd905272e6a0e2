"""Of several hosts in a database URL the one that does is used, whatever is wrong with the others."""

from __future__ import annotations

from urllib.parse import urlsplit

import asyncpg
import pytest

from indexer.core.errors import IndexerError, Unavailable, UserMistake
from indexer.store.database import open_database
from indexer.store.hosts import urls_of_hosts
from tests.fixtures.cutting import CuttingProxy
from tests.integration.test_store_failures import refusing_server

pytestmark = pytest.mark.integration


def test_each_host_gets_the_rest_of_the_url() -> None:
    assert urls_of_hosts("postgresql://me:p%40ss@one:1,two:2/events?sslmode=require") == (
        "postgresql://me:p%40ss@one:1/events?sslmode=require",
        "postgresql://me:p%40ss@two:2/events?sslmode=require",
    )
    alone = "postgresql://postgres@/indexer?host=%2Ftmp&port=5432"
    assert urls_of_hosts(alone) == (alone,)


@pytest.mark.parametrize("code", ["57P03", "28P01", "53300"])
@pytest.mark.parametrize("bad_one_first", [True, False])
async def test_a_host_that_refuses_us_is_passed_over(
    database_url: str, code: str, bad_one_first: bool
) -> None:
    async with refusing_server(code) as port, CuttingProxy(database_url).running() as proxy:
        good = urlsplit(proxy.url).port
        hosts = (
            f"127.0.0.1:{port},127.0.0.1:{good}" if bad_one_first else f"127.0.0.1:{good},127.0.0.1:{port}"
        )
        database = await open_database(proxy.url.replace(f"127.0.0.1:{good}", hosts, 1))
        await database.ping()
        await database.close()


@pytest.mark.parametrize(
    ("codes", "verdict"), [(("57P03", "53300"), Unavailable), (("57P03", "28P01"), UserMistake)]
)
async def test_where_no_host_does_the_gravest_reason_is_told(
    codes: tuple[str, str], verdict: type[IndexerError]
) -> None:
    async with refusing_server(codes[0]) as one, refusing_server(codes[1]) as other:
        with pytest.raises(verdict, match=codes[1]):
            await open_database(f"postgresql://me:secret@127.0.0.1:{one},127.0.0.1:{other}/e?sslmode=disable")


async def test_a_database_that_is_read_only_is_refused_for_writing_alone(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    name = await connection.fetchval("select current_database()")
    await connection.execute(f'alter database "{name}" set default_transaction_read_only = on')
    await connection.close()
    with pytest.raises(Unavailable, match=r"read-only.* standby"):
        await open_database(database_url)
    reading = await open_database(database_url, read_only=True)
    await reading.ping()
    await reading.close()
