"""What the writer promises: all of a call or nothing, no row twice, and a reorg takes out exactly its rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from indexer.core.errors import BelowFinality, Inconsistent, LostLeadership
from indexer.core.model import BlockId, Encoded, FollowedBlock, Span
from indexer.store.reading import read_state
from indexer.store.writer import Writer
from tests.fixtures.stored import (
    FIRST_TIME,
    OTHER_TOKEN,
    REGISTRY,
    SOMEBODY,
    TOKEN,
    Stored,
    block_id,
    encoded,
    header,
    transaction,
    undecoded,
)

pytestmark = pytest.mark.integration

NOTHING = Encoded((), (), {}, {})


async def follow(
    stored: Stored, numbers: Iterable[int], branch: str = "a", parent: BlockId | None = None
) -> list[FollowedBlock]:
    """Blocks with one log and one transaction each."""
    blocks: list[FollowedBlock] = []
    for number in numbers:
        head = header(number, branch, parent if not blocks else None)
        blocks.append(stored.followed(head, [("Moved", TOKEN)], [transaction(number, 0, TOKEN, TOKEN)]))
    return blocks


async def test_a_tail_starts_at_a_final_block_and_covers_what_follows(tail: Stored) -> None:
    state = await read_state(tail.database)
    assert (state.cursor, state.finalized, state.window) == (block_id(10), block_id(10), (block_id(10),))
    assert state.cursor_time == FIRST_TIME + 10
    assert set(state.coverage.values()) == {()}
    await tail.writer.append(block_id(10), await follow(tail, [11, 12]))
    state = await read_state(tail.database)
    assert state.cursor == block_id(12)
    assert state.window == (block_id(10), block_id(11), block_id(12))
    assert set(state.coverage.values()) == {(Span(11, 12),)}
    assert len(state.coverage) == len(tail.all_ids) + len(tail.registered.transaction_sources)


async def test_a_block_is_stored_with_its_events_and_transactions(tail: Stored) -> None:
    logs = [("Moved", TOKEN), ("Moved", OTHER_TOKEN), ("Stopped", TOKEN), ("Joined", REGISTRY)]
    mined = [transaction(11, 0, TOKEN, REGISTRY), transaction(11, 1, REGISTRY), transaction(11, 2, SOMEBODY)]
    await tail.writer.append(block_id(10), [tail.followed(header(11), logs, mined)])
    events = await tail.rows(
        "select contract, event, address, log_index, block_hash, block_time, chain_id from indexer.event "
        "order by log_index"
    )
    time = datetime.fromtimestamp(FIRST_TIME + 11, UTC)
    assert [tuple(row) for row in events] == [
        (name, event, "0x" + address.hex(), place, "0x" + block_id(11).hash.hex(), time, 31337)
        for place, (name, (event, address)) in enumerate(
            zip(["Token", "Token", "Token", "Registry"], logs, strict=True)
        )
    ]
    found = await tail.rows("select * from indexer.transaction order by transaction_index")
    sources = tail.registered.transaction_sources
    assert [row["contract"] for row in found] == ["Token", "Registry", None]
    assert [row["status"] for row in found] == [True, False, True]
    assert [row["failure"] for row in found] == [None, "out_of_gas", None]
    assert [sorted(row["source_ids"]) for row in found] == [
        sorted([sources[TOKEN], sources[REGISTRY]]), [sources[REGISTRY]], []
    ]  # fmt: skip
    assert (found[0]["value"], found[0]["block_time"]) == (2**255, time)
    assert await tail.value("select array_agg(rows order by id) from indexer.source where rows > 0") == [
        1, 1, 1, 1, 1, 2
    ]  # fmt: skip


async def test_an_append_onto_another_cursor_writes_nothing(tail: Stored) -> None:
    blocks = await follow(tail, [11])
    await tail.writer.append(block_id(10), blocks)
    before = await tail.dump()
    with pytest.raises(Inconsistent, match=r"the cursor moved: it is 11 .*, not 10"):
        await tail.writer.append(block_id(10), blocks)
    other = block_id(11, "b")
    with pytest.raises(Inconsistent, match="the cursor moved"):
        await tail.writer.append(other, [tail.followed(header(12, parent=other))])
    with pytest.raises(Inconsistent, match="the cursor moved"):
        await tail.writer.replace(block_id(12), block_id(10), [])
    with pytest.raises(Inconsistent, match="the cursor moved"):
        await tail.writer.start_tail(None, header(20))
    with pytest.raises(Inconsistent, match="is not a child of"):
        await tail.writer.append(block_id(11), await follow(tail, [13]))
    with pytest.raises(Inconsistent, match="rows of another block"):
        await tail.writer.append(block_id(11), [replace(blocks[0], header=header(12))])
    assert await tail.dump() == before


async def test_of_two_writers_only_the_newer_one_gets_through(
    tail: Stored, new_writer: Callable[[], Awaitable[Writer]]
) -> None:
    successor = await new_writer()
    blocks = await follow(tail, [11])
    before = await tail.dump()
    old = tail.writer
    calls = [
        old.append(block_id(10), blocks),
        old.replace(block_id(10), block_id(9), []),
        old.start_tail(block_id(10), header(20)),
        old.fill(Span(0, 9), tail.all_ids, NOTHING),
        old.fill_transactions(Span(0, 9), [], [], {}),
        old.set_finalized(block_id(11)),
    ]
    for call in calls:
        with pytest.raises(LostLeadership, match="its epoch is 2, ours 1"):
            await call
    assert await tail.dump() == before
    await successor.append(block_id(10), blocks)
    assert (await read_state(tail.database)).cursor == block_id(11)


async def test_filled_blocks_are_covered_once_and_their_rows_are_there_once(tail: Stored) -> None:
    moved = tail.source("Moved", TOKEN)
    rows = encoded([(moved, block_id(3), 0), (moved, block_id(3), 1), (moved, block_id(5), 7)])
    await tail.writer.fill(Span(2, 5), tail.all_ids, rows)
    assert (await read_state(tail.database)).coverage[moved.id] == (Span(2, 5),)
    before = await tail.dump()
    for span in (Span(2, 5), Span(0, 2), Span(5, 6)):
        with pytest.raises(Inconsistent, match="already"):
            await tail.writer.fill(span, [moved.id], NOTHING)
    with pytest.raises(Inconsistent, match="refused rows"):
        await tail.writer.fill(Span(2, 5), tail.all_ids, rows)
    assert await tail.dump() == before
    await tail.writer.fill(Span(0, 1), [moved.id], NOTHING)
    assert (await read_state(tail.database)).coverage[moved.id] == (Span(0, 5),)
    assert await tail.value("select count(*) from indexer.event") == 3
    assert await tail.value("select rows from indexer.source where id = $1", moved.id) == 3
    assert await tail.value("select array_agg(number order by number) from indexer.block") == [3, 5, 10]


@pytest.mark.parametrize(
    ("span", "what", "message"),
    [
        (Span(5, 11), "nothing", "not final: the newest final block we know is 10"),
        (Span(5, 9), "outside", "is not one of the blocks 5..9"),
        (Span(5, 9), "strange", "were not asked for"),
        (Span(5, 9), "other hash", "is stored as"),
        (Span(5, 9), "unknown", "unknown or not active"),
    ],
)
async def test_a_fill_that_does_not_fit_writes_nothing(
    tail: Stored, span: Span, what: str, message: str
) -> None:
    moved, stopped = tail.source("Moved", TOKEN), tail.source("Stopped", TOKEN)
    await tail.writer.fill(Span(5, 9), [stopped.id], encoded([(stopped, block_id(6), 0)]))
    rows = {
        "outside": encoded([(moved, block_id(4), 0)]),
        "strange": encoded([(tail.source("Joined", REGISTRY), block_id(6), 0)]),
        "other hash": encoded([(moved, block_id(6, "b"), 1)]),
    }.get(what, NOTHING)
    ids = [moved.id, 12345] if what == "unknown" else [moved.id]
    before = await tail.dump()
    with pytest.raises(Inconsistent, match=message):
        await tail.writer.fill(span, ids, rows)
    assert await tail.dump() == before


async def test_blocks_that_the_tail_will_follow_are_not_filled(tail: Stored) -> None:
    await tail.writer.set_finalized(block_id(15))
    with pytest.raises(Inconsistent, match=r"Token\.Moved is followed from block 11"):
        await tail.writer.fill(Span(9, 15), [tail.source("Moved", TOKEN).id], NOTHING)


async def test_a_backfilled_transaction_belongs_to_every_source_that_asked_for_it(tail: Stored) -> None:
    ids = tail.registered.transaction_sources
    both = transaction(4, 0, TOKEN, REGISTRY)
    hashes = {4: block_id(4).hash}
    await tail.writer.fill_transactions(Span(0, 9), [ids[REGISTRY]], [both], hashes)
    assert await tail.value("select contract from indexer.transaction") is None
    await tail.writer.fill_transactions(Span(0, 9), [ids[TOKEN], ids[OTHER_TOKEN]], [both], hashes)
    row = (await tail.rows("select contract, source_ids from indexer.transaction"))[0]
    assert (row["contract"], sorted(row["source_ids"])) == ("Token", sorted([ids[TOKEN], ids[REGISTRY]]))
    counted = await tail.rows("select id from indexer.source where rows = 1 order by id")
    assert [row["id"] for row in counted] == sorted([ids[TOKEN], ids[REGISTRY]])
    with pytest.raises(Inconsistent, match="1 transactions 1 are stored already"):
        await tail.writer.fill_transactions(Span(0, 9), [ids[TOKEN]], [both], hashes)
    with pytest.raises(Inconsistent, match="does not belong to the blocks"):
        await tail.writer.fill_transactions(Span(5, 9), [ids[TOKEN]], [both], hashes)


async def test_a_reorg_takes_out_exactly_the_rows_above_the_fork(tail: Stored) -> None:
    moved = tail.source("Moved", TOKEN)
    await tail.writer.fill(Span(0, 10), tail.all_ids, encoded([(moved, block_id(10), 0)]))
    await tail.writer.append(block_id(10), await follow(tail, [11]))
    kept = await tail.dump()
    lossy = tail.followed(header(13), [("Stopped", OTHER_TOKEN), ("Joined", REGISTRY)])
    malformed = FollowedBlock(header(14), undecoded(moved, block_id(14), 0), ())
    await tail.writer.append(block_id(11), [*await follow(tail, [12]), lossy, malformed])
    removed = await tail.writer.replace(block_id(14), block_id(11), [])
    assert (removed.depth, removed.transaction_rows, removed.undecoded) == (3, 1, 1)
    assert removed.events == {
        moved.id: 1, tail.source("Stopped", OTHER_TOKEN).id: 1, tail.source("Joined", REGISTRY).id: 1
    }  # fmt: skip
    assert removed.transactions == {tail.registered.transaction_sources[TOKEN]: 1}
    after = await tail.dump()
    orphans = await tail.rows("select contract, event, block_number, args from indexer.orphaned_event")
    who = f'{{"who": "0x{SOMEBODY.hex()}"'
    assert sorted(tuple(row) for row in orphans) == [
        ("Registry", "Joined", 13, who + "}"),
        ("Token", "Moved", 12, who + ', "amount": "-5"}'),
        ("Token", "Stopped", 13, "{}"),
    ]
    for table in ("source", "block", "transaction", "undecoded_log", "event"):
        assert after[table] == kept[table], table
    assert (await read_state(tail.database)).window == (block_id(10), block_id(11))


async def test_a_new_branch_is_written_in_the_same_transaction_and_journalled(tail: Stored) -> None:
    await tail.writer.append(block_id(10), await follow(tail, range(11, 14)))
    branch = await follow(tail, [12, 13, 14], "b", parent=block_id(11))
    removed = await tail.writer.replace(block_id(13), block_id(11), branch)
    journal = (await tail.rows("select * from indexer.reorg"))[0]
    assert journal["id"] == removed.reorg_id
    assert (journal["fork_number"], journal["fork_hash"]) == (11, block_id(11).hash)
    assert (journal["depth"], journal["old_head_number"], journal["new_head_number"]) == (2, 13, 14)
    assert (journal["old_head_hash"], journal["new_head_hash"]) == (
        block_id(13).hash, block_id(14, "b").hash
    )  # fmt: skip
    assert (journal["rows_removed"], journal["rows_added"]) == (2, 3)
    assert (journal["transactions_removed"], journal["transactions_added"]) == (2, 3)
    state = await read_state(tail.database)
    assert state.window == (
        block_id(10), block_id(11), block_id(12, "b"), block_id(13, "b"), block_id(14, "b")
    )  # fmt: skip
    assert set(state.coverage.values()) == {(Span(11, 14),)}
    hashes = await tail.rows("select block_number, block_hash from indexer.event order by 1")
    assert [tuple(row) for row in hashes] == [
        (block.number, "0x" + block.hash.hex()) for block in state.window[1:]
    ]
    counted = await tail.value("select sum(rows) from indexer.source")
    assert counted == 8


async def test_a_reorg_can_go_back_to_the_block_the_tail_started_at(tail: Stored) -> None:
    await tail.writer.append(block_id(10), await follow(tail, [11, 12]))
    await tail.writer.replace(block_id(12), block_id(10), [])
    state = await read_state(tail.database)
    assert (state.cursor, state.window) == (block_id(10), (block_id(10),))
    assert set(state.coverage.values()) == {()}
    for fork, message in ((block_id(9), "we hold nothing there"), (block_id(9, "b"), "is not one of ours")):
        with pytest.raises(Inconsistent, match=message):
            await tail.writer.replace(block_id(10), fork, [])
    with pytest.raises(Inconsistent, match="is not below the cursor"):
        await tail.writer.replace(block_id(10), block_id(10), [])


async def test_final_blocks_without_rows_are_let_go(tail: Stored) -> None:
    empty = [tail.followed(header(number)) for number in (11, 12, 13, 14)]
    full = await follow(tail, [15])
    await tail.writer.append(block_id(10), [*empty[:2], *(await follow(tail, [13])), empty[3], *full])
    await tail.writer.set_finalized(block_id(14))
    assert await tail.value("select array_agg(number order by number) from indexer.block") == [13, 14, 15]
    state = await read_state(tail.database)
    assert (state.finalized, state.window) == (block_id(14), (block_id(14), block_id(15)))
    before = await tail.dump()
    await tail.writer.set_finalized(block_id(12))
    with pytest.raises(BelowFinality, match="before it was"):
        await tail.writer.set_finalized(block_id(14, "b"))
    with pytest.raises(Inconsistent, match="we hold 15"):
        await tail.writer.set_finalized(block_id(15, "b"))
    assert await tail.dump() == before
    await tail.writer.set_finalized(block_id(20))
    state = await read_state(tail.database)
    assert (state.finalized, state.window) == (block_id(20), (block_id(14), block_id(15)))


async def test_a_jump_of_the_tail_leaves_a_gap_that_can_be_filled(tail: Stored) -> None:
    await tail.writer.append(block_id(10), await follow(tail, [11]))
    await tail.writer.start_tail(block_id(11), header(20))
    await tail.writer.append(block_id(20), await follow(tail, [21]))
    state = await read_state(tail.database)
    assert set(state.coverage.values()) == {(Span(11, 11), Span(21, 21))}
    await tail.writer.fill(Span(12, 20), tail.all_ids, NOTHING)
    coverage = (await read_state(tail.database)).coverage
    assert {coverage[each] for each in tail.all_ids} == {(Span(11, 21),)}
    with pytest.raises(Inconsistent, match="cannot go back"):
        await tail.writer.start_tail(block_id(21), header(15))


async def test_a_tail_never_starts_below_what_is_covered_or_on_another_block(stored: Stored) -> None:
    await stored.writer.set_finalized(block_id(50))
    moved = stored.source("Moved", TOKEN)
    await stored.writer.fill(Span(0, 50), stored.all_ids, encoded([(moved, block_id(50), 0)]))
    with pytest.raises(Inconsistent, match=r"Token\.Moved is covered up to 50"):
        await stored.writer.start_tail(None, header(49))
    with pytest.raises(Inconsistent, match="is stored as"):
        await stored.writer.start_tail(None, header(50, "b"))
    assert (await read_state(stored.database)).cursor is None
    await stored.writer.start_tail(None, header(50))


async def test_following_and_filling_go_on_at_the_same_time(tail: Stored) -> None:
    """Many concurrent fills of all sources beside appends: no deadlock, no lost count."""
    await tail.writer.start_tail(block_id(10), header(1000))
    moved = tail.source("Moved", TOKEN)

    async def fill(first: int) -> None:
        rows = encoded([(moved, block_id(number), 0) for number in range(first, first + 20)])
        await tail.writer.fill(Span(first, first + 19), tail.all_ids, rows)

    async def follow_on() -> None:
        for number in range(1001, 1031):
            await tail.writer.append(block_id(number - 1), await follow(tail, [number]))

    await asyncio.gather(follow_on(), *(fill(first) for first in range(100, 500, 20)))
    assert await tail.value("select count(*) from indexer.event") == 430
    assert await tail.value("select rows from indexer.source where id = $1", moved.id) == 430
    assert (await read_state(tail.database)).coverage[moved.id] == (Span(100, 499), Span(1001, 1030))
