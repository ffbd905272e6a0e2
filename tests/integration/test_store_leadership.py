"""One writer at a time: whoever comes later waits, and whoever was frozen is shut out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from indexer.core.errors import LostLeadership, Unavailable
from indexer.store.database import Database, open_database
from indexer.store.leadership import LEADER_LOCK, take_leadership, wait_for_leadership
from indexer.store.writer import Writer
from tests.fixtures.cutting import SilentProxy

pytestmark = pytest.mark.integration

OpenPool = Callable[[], Awaitable[Database]]
END_LOCK_SESSION = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'indexer leader'
        and pid in (select pid from pg_locks where locktype = 'advisory' and granted)
"""


async def test_only_one_leads_and_the_next_one_is_told_whom_it_waits_for(
    database: Database, open_pool: OpenPool
) -> None:
    first = await take_leadership(database)
    assert first is not None
    other = await open_pool()
    assert await take_leadership(other) is None
    told = asyncio.Event()
    messages: list[str] = []

    def waiting(leader: str) -> None:
        messages.append(leader)
        told.set()

    task = asyncio.ensure_future(wait_for_leadership(other, waiting=waiting, retry_seconds=0.02))
    await told.wait()
    assert "pid " in messages[0]
    first.release()
    second = await task
    assert (first.epoch, second.epoch) == (1, 2)
    second.release()


async def test_waiting_can_be_cancelled(database: Database) -> None:
    async with await wait_for_leadership(database):
        told = asyncio.Event()
        task = asyncio.ensure_future(wait_for_leadership(database, waiting=lambda _: told.set()))
        await told.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_leader_whose_session_ended_hears_of_it(database: Database) -> None:
    leadership = await wait_for_leadership(database, alive_seconds=0.05)
    keeping = asyncio.ensure_future(leadership.keep())
    async with database.connection() as connection:
        assert await connection.fetchval(END_LOCK_SESSION)
    with pytest.raises(LostLeadership, match="epoch 1 ended"):
        await keeping


async def test_the_server_takes_the_lock_from_a_leader_that_is_silent(
    database: Database, open_pool: OpenPool
) -> None:
    frozen = await take_leadership(database, alive_seconds=0.1)
    assert frozen is not None
    successor = await wait_for_leadership(await open_pool(), retry_seconds=0.05)
    assert successor.epoch == frozen.epoch + 1
    with pytest.raises(LostLeadership):
        await frozen.keep()
    successor.release()


@pytest.mark.parametrize("messages", range(1, 9))
async def test_wherever_a_process_is_frozen_on_its_way_to_the_lead_another_one_gets_it(
    database: Database, database_url: str, messages: int
) -> None:
    # Between the halves of a statement a session is not idle to the server: there it would keep the lock.
    async with SilentProxy(database_url).running() as proxy:
        pool = await open_database(proxy.url)
        # A session of its own begins with one message for its parameters.
        proxy.fall_silent_after(messages)
        frozen = asyncio.ensure_future(take_leadership(pool, alive_seconds=0.3))
        while not (proxy.struck or frozen.done()):  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            successor = await wait_for_leadership(database, alive_seconds=0.3, retry_seconds=0.02)
        successor.release()
        frozen.cancel()
        await asyncio.gather(frozen, return_exceptions=True)
        proxy.cut()
        await pool.close()


async def test_an_open_transaction_of_a_frozen_writer_does_not_keep_its_successor_out(
    database: Database, open_pool: OpenPool
) -> None:
    frozen = await take_leadership(database)
    assert frozen is not None
    writer = Writer(database, frozen.epoch)
    begun, thaw = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with writer.transaction() as connection:
            await connection.execute(
                "update indexer.cursor set finalized_number = 1, finalized_hash = $1", bytes(32)
            )
            begun.set()
            await thaw.wait()

    writing = asyncio.ensure_future(write())
    await begun.wait()
    frozen.release()
    pool = await open_pool()
    successor = await wait_for_leadership(pool, retry_seconds=0.02)
    async with Writer(pool, successor.epoch).transaction() as connection:
        assert await connection.fetchval("select finalized_number from indexer.cursor") is None
    thaw.set()
    with pytest.raises(Unavailable):
        await writing
    with pytest.raises(LostLeadership, match="its epoch is 2, ours 1"):
        await write()
    successor.release()


async def test_the_epoch_does_not_change_under_an_open_transaction(
    database: Database, open_pool: OpenPool
) -> None:
    """The fence alone holds, without anybody being terminated."""
    first = await take_leadership(database)
    assert first is not None
    pool = await open_pool()
    raise_epoch = "update indexer.chain set epoch = epoch + 1"
    async with Writer(database, first.epoch).transaction():

        async def overtake() -> None:
            async with pool.connection() as connection:
                await connection.execute(raise_epoch)

        overtaking = asyncio.ensure_future(overtake())
        async with database.connection() as connection:
            while not await connection.fetchval("select count(*) from pg_locks where not granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not overtaking.done()
    await overtaking
    first.release()


def test_the_lock_is_not_the_one_of_migrations() -> None:
    from indexer.store.migrations import MIGRATION_LOCK

    assert LEADER_LOCK != MIGRATION_LOCK
    assert max(LEADER_LOCK, MIGRATION_LOCK) < 2**63


async def test_an_epoch_that_a_promoted_standby_gave_away_again_is_another_one(database: Database) -> None:
    before = await take_leadership(database)
    assert before is not None
    async with Writer(database, before.epoch, before.since).transaction():
        pass
    before.release()
    async with database.transaction() as connection:
        # As on a standby that the last leadership never reached.
        await connection.execute("update indexer.chain set epoch = epoch - 1")
    async with await wait_for_leadership(database) as after:
        assert after.epoch == before.epoch
        with pytest.raises(LostLeadership, match=f"with our epoch {before.epoch}"):
            async with Writer(database, before.epoch, before.since).transaction():
                pass
        async with Writer(database, after.epoch, after.since).transaction():
            pass
