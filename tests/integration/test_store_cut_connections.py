"""A connection that breaks, or a task that is cancelled, at any point of any call: all or nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from indexer.core.errors import Unavailable
from indexer.core.model import FollowedBlock, Span
from indexer.store.catalog import register
from indexer.store.database import Database, open_database
from indexer.store.leadership import wait_for_leadership
from indexer.store.writer import Writer
from tests.fixtures.cutting import CuttingProxy
from tests.fixtures.stored import (
    CHAIN_ID,
    GENESIS,
    JOINED,
    REGISTRIES,
    TOKEN,
    TOKENS,
    Stored,
    block_id,
    contract,
    encoded,
    header,
    register_samples,
    transaction,
    undecoded,
)

pytestmark = pytest.mark.integration

Call = Callable[[], Awaitable[object]]


def calls_of(stored: Stored) -> dict[str, Call]:
    """One call of each kind, in an order in which each is possible after the ones before."""
    writer = stored.writer
    moved = stored.source("Moved", TOKEN)
    mined = [transaction(11, 0, TOKEN, TOKEN)]
    block = stored.followed(header(11), [("Moved", TOKEN), ("Stopped", TOKEN)], mined)
    malformed = FollowedBlock(header(12), undecoded(moved, block_id(12), 0), ())
    other = stored.followed(header(12, "b", block_id(11)), [("Moved", TOKEN)])
    ids = stored.registered.transaction_sources
    added = contract("Club", [TOKEN], [JOINED])
    return {
        "start_tail": lambda: writer.start_tail(None, header(10)),
        "append": lambda: writer.append(block_id(10), [block, malformed]),
        "replace": lambda: writer.replace(block_id(12), block_id(11), [other]),
        "fill": lambda: writer.fill(Span(0, 9), stored.all_ids, encoded([(moved, block_id(4), 0)])),
        "fill_transactions": lambda: writer.fill_transactions(
            Span(0, 9), list(ids.values()), [transaction(4, 0, TOKEN)], {4: block_id(4).hash}
        ),
        "set_finalized": lambda: writer.set_finalized(block_id(11)),
        "register": lambda: register(
            writer, [TOKENS, REGISTRIES, added], chain_id=CHAIN_ID, genesis_hash=GENESIS, chain_name="test"
        ),
    }


async def through(proxy: CuttingProxy, database: Database) -> Stored:
    """A store whose writer goes through the proxy, and whose reader does not."""
    pool = await open_database(proxy.url, max_connections=2)
    leadership = await wait_for_leadership(pool, retry_seconds=0.02)
    leadership.release()
    writer = Writer(pool, leadership.epoch)
    return Stored(database, writer, await register_samples(writer, TOKENS, REGISTRIES))


async def dump(stored: Stored) -> dict[str, list[tuple[object, ...]]]:
    """All data, without the times at which we wrote them and the ids that a failed attempt used up.

    A commit that was sent before the connection broke may take a moment to happen.
    """
    await stored.quiet()
    rows = await stored.dump()
    rows["cursor"] = [row[:-1] for row in rows["cursor"]]
    rows["reorg"] = [row[2:] for row in rows["reorg"]]
    rows["orphaned_event"] = [row[1:] for row in rows["orphaned_event"]]
    rows["source"] = [row[1:] for row in rows["source"]]
    return rows


async def test_a_cut_connection_leaves_nothing_half_written(database_url: str, database: Database) -> None:
    async with CuttingProxy(database_url).running() as proxy:
        stored = await through(proxy, database)
        for name, call in calls_of(stored).items():
            before = await dump(stored)
            for messages in range(1, 100, 2):
                proxy.arm(messages)
                try:
                    await call()
                except Unavailable:
                    if await dump(stored) != before:
                        # Only the answer to the commit was lost.
                        break
                else:
                    break
            else:
                pytest.fail(f"{name} never came to its end")
            assert await dump(stored) != before, name
            assert messages > 3, name
        await stored.writer._database.close()


async def test_a_cancelled_call_leaves_nothing_half_written_and_stays_cancelled(
    database_url: str, database: Database
) -> None:
    async with CuttingProxy(database_url).running() as proxy:
        stored = await through(proxy, database)
        for name, call in calls_of(stored).items():
            before = await dump(stored)
            for messages in range(2, 100, 3):
                task = asyncio.ensure_future(call())
                proxy.arm(messages, task.cancel)
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result()
                    break
                if await dump(stored) != before:
                    break
            else:
                pytest.fail(f"{name} never came to its end")
            assert await dump(stored) != before, name
            assert messages > 3, name
        await stored.writer._database.close()
