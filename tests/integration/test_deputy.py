"""Writing for another process that leads: shut out with it, and after blocks were taken back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from indexer.core.errors import Inconsistent, LostLeadership
from indexer.core.model import Span
from indexer.store.database import Database
from indexer.store.deputy import Deputy, newest_reorg
from indexer.store.leadership import take_leadership
from indexer.store.writer import Writer
from tests.fixtures.stored import TOKEN, Stored, block_id, encoded, header

pytestmark = pytest.mark.integration


async def deputy_of(stored: Stored) -> Deputy:
    epoch = await stored.value("select epoch from indexer.chain")
    assert isinstance(epoch, int)
    return Deputy(stored.database, epoch, None, await newest_reorg(stored.database))


async def test_a_deputy_writes_as_the_leader_does(stored: Stored) -> None:
    moved = stored.source("Moved", TOKEN)
    await stored.writer.set_finalized(block_id(40))
    deputy = await deputy_of(stored)
    await deputy.fill(Span(0, 9), stored.all_ids, encoded([(moved, block_id(9), 0)]))
    await stored.writer.fill(Span(10, 19), stored.all_ids, encoded([(moved, block_id(12), 0)]))
    assert await stored.value("select array_agg(block_number order by 1) from indexer.event") == [9, 12]
    with pytest.raises(Inconsistent, match="already"):
        await deputy.fill(Span(19, 20), stored.all_ids, encoded([(moved, block_id(20), 0)]))


async def test_a_deputy_is_shut_out_with_its_leader(
    stored: Stored, new_writer: Callable[[], Awaitable[Writer]]
) -> None:
    moved = stored.source("Moved", TOKEN)
    await stored.writer.set_finalized(block_id(40))
    deputy = await deputy_of(stored)
    await new_writer()
    before = await stored.dump()
    with pytest.raises(LostLeadership):
        await deputy.fill(Span(0, 9), stored.all_ids, encoded([(moved, block_id(9), 0)]))
    assert await stored.dump() == before


async def test_an_epoch_that_was_given_out_twice_does_not_let_a_deputy_in(
    stored: Stored, open_pool: Callable[[], Awaitable[Database]]
) -> None:
    moved = stored.source("Moved", TOKEN)
    leadership = await take_leadership(await open_pool())
    assert leadership is not None
    leadership.release()
    deputy = Deputy(stored.database, leadership.epoch, leadership.since, None)
    async with stored.database.connection() as connection:
        await connection.execute("update indexer.chain set leader_since = now() + interval '1 s'")
    before = await stored.dump()
    with pytest.raises(LostLeadership):
        await deputy.fill(Span(0, 9), stored.all_ids, encoded([(moved, block_id(9), 0)]))
    assert await stored.dump() == before


async def test_what_a_deputy_read_before_a_roll_back_is_not_written_after_it(stored: Stored) -> None:
    moved = stored.source("Moved", TOKEN)
    await stored.writer.set_finalized(block_id(40))
    await stored.writer.fill(Span(0, 9), stored.all_ids, encoded([(moved, block_id(9), 0)]))
    await stored.writer.start_tail(None, header(40))
    deputy = await deputy_of(stored)
    await stored.writer.roll_back(block_id(40), block_id(9))
    # The tail begins anew far above, so that nothing else tells that these blocks were removed.
    await stored.writer.start_tail(block_id(9), header(400))
    await stored.writer.set_finalized(block_id(400))
    before = await stored.dump()
    with pytest.raises(Inconsistent, match="taken back"):
        await deputy.fill(Span(10, 30), stored.all_ids, encoded([(moved, block_id(20), 0)]))
    assert await stored.dump() == before
    later = await deputy_of(stored)
    await later.fill(Span(10, 30), stored.all_ids, encoded([(moved, block_id(20), 0)]))
