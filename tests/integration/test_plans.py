"""What is done for each block and range reads no table from end to end, however large the tables have become.

The server counts the sequential scans of each table. So this is about the statements that are really run, with the
plans that they really got, and not about copies of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import pytest

from indexer.core.model import Span
from indexer.store.database import Database, open_database
from indexer.store.deputy import Deputy, newest_reorg
from indexer.store.reading import read_state, read_status, size_bytes, stored_at_or_below
from indexer.store.writer import Writer
from tests.fixtures.program import until
from tests.fixtures.stored import (
    OTHER_TOKEN,
    TOKEN,
    Stored,
    block_id,
    encoded,
    header,
    transaction,
    undecoded,
)

pytestmark = pytest.mark.integration

#: Blocks with rows of every kind: enough for a scan to cost much more than a look into an index.
BLOCKS = 30_000
#: More than a prepared statement needs to be given a plan for any values.
TIMES = 8
FILLED_EVENTS = f"""
    insert into token.moved
    select number, 0, to_timestamp(number), decode(repeat('11', 32), 'hex'), 0, decode(repeat('aa', 20), 'hex'),
        decode(repeat('dd', 20), 'hex'), number
    from generate_series(1, {BLOCKS}) as number;
    insert into token.stopped
    select block_number, 1, block_time, transaction_hash, 0, address from token.moved;
    insert into registry.joined
    select block_number, 2, block_time, transaction_hash, 0, decode(repeat('cc', 20), 'hex'), who from token.moved
"""
FILLED_OTHERS = f"""
    insert into indexer.block (number, hash, timestamp, has_rows)
    select number, sha256(('a' || number)::bytea), to_timestamp(number), true
    from generate_series(1, {BLOCKS}) as number on conflict do nothing;
    insert into indexer.transaction
    select number, 0, sha256(number::text::bytea), to_timestamp(number), 'Token', decode(repeat('22', 20), 'hex'),
        null, null, null, true, null, 21000, 21000, 1, 0, array[1]
    from generate_series(1, {BLOCKS}) as number;
    insert into indexer.undecoded_log
    select number, 1, (select min(id) from indexer.source), sha256(('a' || number)::bytea), to_timestamp(number),
        decode(repeat('33', 32), 'hex'), 0, decode(repeat('44', 20), 'hex'), array[]::bytea[], '', 'topic_count'
    from generate_series(1, {BLOCKS}) as number;
    insert into indexer.reorg (
        fork_number, fork_hash, depth, old_head_number, old_head_hash, new_head_number, new_head_hash, rows_removed,
        rows_added, transactions_removed, transactions_added, undecoded_removed
    )
    select number, '', 1, number, '', number, '', 3, 0, 0, 0, 0 from generate_series(1, {BLOCKS // 3}) as number;
    insert into indexer.orphaned_event
    select id, 'Token', 'Moved', 'Moved(address,int64)', id, '', 0, '', '', '{{}}'
    from indexer.reorg, generate_series(1, 3);
    update indexer.source set rows = {2 * BLOCKS};
    analyze
"""
SCANS = """
    select schemaname || '.' || relname as name, seq_scan from pg_catalog.pg_stat_user_tables
    where relname in ('block', 'transaction', 'undecoded_log', 'reorg', 'orphaned_event')
        or schemaname in (select table_schema from indexer.source)
"""
SESSIONS = """
    select count(*) from pg_catalog.pg_stat_activity
    where datname = current_database() and application_name in ('measured', 'indexer writer 1')
"""


async def scans(stored: Stored) -> dict[str, int]:
    """How often each large table was read from end to end, by all sessions that have ended."""
    # A session gives its counts at the latest when it ends.
    async with stored.database.connection() as connection:

        async def alone() -> bool:
            return not await connection.fetchval(SESSIONS)

        await until(alone, "the sessions that are measured have ended")
        return {row["name"]: row["seq_scan"] for row in await connection.fetch(SCANS)}


Work = Callable[[Database, Writer], Awaitable[object]]


class Large:
    """A database that has grown, with its tail at block 30,010."""

    def __init__(self, stored: Stored, url: str) -> None:
        self.stored = stored
        self._url = url
        self.cursor = block_id(BLOCKS + 10)

    async def scanned(self, work: Work) -> Mapping[str, int]:
        """The tables that the work read from end to end, and how often."""
        before = await scans(self.stored)
        pool = await open_database(self._url, application_name="measured")
        epoch = await self.stored.value("select epoch from indexer.chain")
        assert isinstance(epoch, int)
        await work(pool, Writer(pool, epoch))
        await pool.close()
        after = await scans(self.stored)
        return {name: count - before[name] for name, count in after.items() if count > before[name]}


@pytest.fixture
async def large(stored: Stored, database_url: str) -> Large:
    await stored.writer.set_finalized(block_id(BLOCKS + 10))
    await stored.writer.start_tail(None, header(BLOCKS + 10))
    async with stored.database.connection() as connection:
        await connection.execute(FILLED_EVENTS)
        await connection.execute(FILLED_OTHERS)
    return Large(stored, database_url)


async def test_a_block_and_a_reorg_read_no_table_from_end_to_end(large: Large) -> None:
    stored = large.stored

    async def follow(_: Database, writer: Writer) -> None:
        cursor, branch = large.cursor, "a"
        for turn in range(TIMES):
            first = cursor.number + 1
            heads = [header(first, branch, cursor), header(first + 1, branch)]
            blocks = [
                stored.followed(
                    head,
                    [("Moved", TOKEN), ("Moved", OTHER_TOKEN)],
                    [transaction(head.number, 0, TOKEN, OTHER_TOKEN)],
                )
                for head in heads
            ]
            await writer.append(cursor, blocks)
            # The second block is replaced by one of another branch.
            branch = f"b{turn}"
            other = header(first + 1, branch, heads[0].id)
            removed = await writer.replace(
                heads[1].id, heads[0].id, [stored.followed(other, [("Moved", TOKEN)], [])]
            )
            assert sum(removed.events.values()) == 2
            cursor = other.id
            await writer.set_finalized(heads[0].id)
        large.cursor = cursor

    assert await large.scanned(follow) == {}


async def test_a_range_reads_no_table_from_end_to_end(large: Large) -> None:
    stored = large.stored
    moved = stored.source("Moved", OTHER_TOKEN)
    ids = list(stored.registered.transaction_sources.values())

    async def fill(pool: Database, writer: Writer) -> None:
        epoch = await stored.value("select epoch from indexer.chain")
        assert isinstance(epoch, int)
        deputy = Deputy(pool, epoch, None, await newest_reorg(pool))
        for turn in range(TIMES):
            span = Span(turn * 20 + 1, turn * 20 + 10)
            blocks = [block_id(number) for number in range(span.first, span.last + 1)]
            # The deputy adds the journal of reorgs to what is looked at.
            each = deputy if turn % 2 else writer
            await each.fill(span, stored.all_ids, encoded([(moved, block, 7) for block in blocks]))
            bad = Span(span.last + 1, span.last + 3)
            await each.fill(bad, stored.all_ids, undecoded(moved, block_id(bad.first), 9))
            mined = [transaction(number, 3, OTHER_TOKEN) for number in range(span.first, span.last + 1)]
            await each.fill_transactions(span, ids, mined, {block.number: block.hash for block in blocks})

    assert await large.scanned(fill) == {}


async def test_looking_where_the_database_is_reads_no_table_from_end_to_end(large: Large) -> None:
    async def look(pool: Database, _: Writer) -> None:
        for number in range(TIMES):
            state = await read_state(pool)
            assert state.cursor == large.cursor
            assert await stored_at_or_below(pool, BLOCKS - number) is not None
            assert await size_bytes(pool) > 0

    assert await large.scanned(look) == {}


async def test_the_status_counts_only_the_journals(large: Large) -> None:
    """A person asks for it once; of these three it counts the rows, which no index makes cheap."""

    async def look(pool: Database, _: Writer) -> None:
        await read_status(pool)

    allowed = {"indexer.undecoded_log", "indexer.reorg", "indexer.orphaned_event"}
    assert set(await large.scanned(look)) <= allowed


async def test_a_scan_is_noticed(large: Large) -> None:
    async def scan(pool: Database, _: Writer) -> None:
        async with pool.connection() as connection:
            await connection.fetch("select from token.moved where amount = 3")

    assert await large.scanned(scan) == {"token.moved": 1}


async def test_a_roll_back_reads_no_table_from_end_to_end(large: Large) -> None:

    async def roll_back(_: Database, writer: Writer) -> None:
        await writer.roll_back(large.cursor, block_id(BLOCKS - 20))

    assert await large.scanned(roll_back) == {}
