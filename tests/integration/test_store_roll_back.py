"""A roll back below finality, and a backfill that is writing the same blocks at that moment."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from indexer.core.errors import Inconsistent
from indexer.core.model import Span
from indexer.store import coverage
from indexer.store.rewind import Rewind
from tests.fixtures.program import until
from tests.fixtures.stored import TOKEN, Stored, block_id, encoded, header

pytestmark = pytest.mark.integration

WAITING_FOR_A_LOCK = """
    select count(*) from pg_catalog.pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'
"""


async def test_no_row_stays_of_a_range_that_is_filled_while_it_is_rolled_back(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = stored.source("Moved", TOKEN)
    await stored.writer.set_finalized(block_id(40))
    await stored.writer.fill(Span(0, 9), stored.all_ids, encoded([(moved, block_id(9), 0)]))
    await stored.writer.start_tail(None, header(40))
    copied, removed = asyncio.Event(), asyncio.Event()
    true_claim, true_remove = coverage.claim, Rewind._remove_events

    async def claim(*arguments: object) -> None:
        copied.set()
        await removed.wait()
        await true_claim(*arguments)  # type: ignore[arg-type]

    async def remove_events(self: Rewind) -> Counter[int]:
        counts = await true_remove(self)
        removed.set()

        async def decided() -> bool:
            return filling.done() or bool(await stored.value(WAITING_FOR_A_LOCK))

        await until(decided, "the backfill committed, or waits for the roll back")
        return counts

    monkeypatch.setattr(coverage, "claim", claim)
    monkeypatch.setattr(Rewind, "_remove_events", remove_events)
    filling = asyncio.create_task(
        stored.writer.fill(Span(10, 30), stored.all_ids, encoded([(moved, block_id(20), 0)]))
    )
    await copied.wait()
    await stored.writer.roll_back(block_id(40), block_id(9))
    with pytest.raises(Inconsistent, match="followed from block 10"):
        await filling
    assert await stored.value("select array_agg(block_number) from indexer.event") == [9]


async def test_what_was_read_before_a_roll_back_is_not_written_after_it(stored: Stored) -> None:
    moved = stored.source("Moved", TOKEN)
    await stored.writer.set_finalized(block_id(40))
    await stored.writer.fill(Span(0, 9), stored.all_ids, encoded([(moved, block_id(9), 0)]))
    await stored.writer.start_tail(None, header(40))
    before = stored.writer.rollbacks
    await stored.writer.roll_back(block_id(40), block_id(9))
    # The tail begins anew far above, so that nothing else tells that these blocks were removed.
    await stored.writer.start_tail(block_id(9), header(400))
    await stored.writer.set_finalized(block_id(400))
    with pytest.raises(Inconsistent, match="roll back"):
        await stored.writer.fill(
            Span(10, 30), stored.all_ids, encoded([(moved, block_id(20), 0)]), rollbacks=before
        )
    assert await stored.value("select array_agg(block_number) from indexer.event") == [9]
    await stored.writer.fill(Span(10, 30), stored.all_ids, encoded([]), rollbacks=stored.writer.rollbacks)
