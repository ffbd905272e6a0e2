"""Registering a configuration: once or twice, more contracts or fewer, on the right chain or another."""

from __future__ import annotations

import pytest

from indexer.core.abi import events_of_abi
from indexer.core.errors import Unavailable, UserMistake, WrongChain
from indexer.core.model import Encoded, Span
from indexer.store.abi_text import abi_text, event_of
from indexer.store.catalog import read_chain, register
from indexer.store.database import Database, Timeouts, open_database
from indexer.store.leadership import wait_for_leadership
from indexer.store.reading import read_state
from indexer.store.writer import Writer
from tests.fixtures.stored import (
    CHAIN_ID,
    GENESIS,
    JOINED,
    MOVED,
    REGISTRIES,
    REGISTRY,
    STOPPED,
    TOKEN,
    TOKENS,
    Stored,
    block_id,
    contract,
    encoded,
    header,
    register_samples,
)

pytestmark = pytest.mark.integration

#: Every object in the database with the transaction that last touched it.
OBJECTS = """
    select relnamespace::regnamespace::text, relname, xmin::text from pg_class
    where relnamespace::regnamespace::text in ('indexer', 'token', 'registry') order by 1, 2
"""

OVERLOADED: dict[str, object] = {
    "type": "event",
    "name": "Moved",
    "inputs": [
        {
            "name": "batch",
            "type": "tuple[2][]",
            "indexed": False,
            "components": [{"name": "who", "type": "address"}, {"name": "note", "type": "string"}],
        }
    ],
}


async def test_registering_twice_changes_nothing(tail: Stored) -> None:
    objects, before = await tail.rows(OBJECTS), await tail.dump()
    again = await register_samples(tail.writer, TOKENS, REGISTRIES)
    assert again == tail.registered
    assert await tail.rows(OBJECTS) == objects
    assert await tail.dump() == before
    assert await read_chain(tail.database) == (CHAIN_ID, GENESIS)


async def test_a_new_contract_is_followed_from_the_next_block_on(tail: Stored) -> None:
    await tail.writer.append(block_id(10), [tail.followed(header(11))])
    club = contract("Club", [TOKEN], [JOINED], start_block=5)
    tail.registered = await register_samples(tail.writer, TOKENS, REGISTRIES, club)
    (joined,) = [each for each in tail.registered.sources if each.contract == "Club"]
    assert joined.start_block == 5
    await tail.writer.append(block_id(11), [tail.followed(header(12), [("Joined", TOKEN)])])
    coverage = (await read_state(tail.database)).coverage
    assert coverage[joined.id] == (Span(12, 12),)
    assert coverage[tail.source("Moved", TOKEN).id] == (Span(11, 12),)
    await tail.writer.fill(Span(5, 10), [joined.id], encoded([(joined, block_id(7), 3)]))
    found = await tail.rows("select block_number from indexer.event where contract = 'Club' order by 1")
    assert [row[0] for row in found] == [7, 12]


async def test_a_contract_that_leaves_keeps_its_rows_and_comes_back_with_a_gap(tail: Stored) -> None:
    moved = tail.source("Moved", TOKEN)
    await tail.writer.append(block_id(10), [tail.followed(header(11), [("Moved", TOKEN)])])
    await register_samples(tail.writer, REGISTRIES)
    await tail.writer.append(block_id(11), [tail.followed(header(12))])
    assert moved.id not in (await read_state(tail.database)).coverage
    left = await tail.rows("select blocks, active from indexer.coverage where source_id = $1", moved.id)
    assert (left[0]["active"], [(each.lower, each.upper) for each in left[0]["blocks"]]) == (
        False,
        [(11, 12)],
    )
    assert await tail.value("select event from indexer.event") == "Moved"
    assert await register_samples(tail.writer, TOKENS, REGISTRIES) == tail.registered
    await tail.writer.append(block_id(12), [tail.followed(header(13))])
    assert (await read_state(tail.database)).coverage[moved.id] == (Span(11, 11), Span(13, 13))


async def test_a_reorg_reaches_the_rows_of_a_contract_that_left(tail: Stored) -> None:
    moved = tail.source("Moved", TOKEN)
    await tail.writer.append(block_id(10), [tail.followed(header(11), [("Moved", TOKEN)])])
    await register_samples(tail.writer, REGISTRIES)
    removed = await tail.writer.replace(block_id(11), block_id(10), [])
    assert removed.events == {moved.id: 1}
    await register_samples(tail.writer, TOKENS, REGISTRIES)
    assert (await read_state(tail.database)).coverage[moved.id] == ()


async def test_a_reorg_right_after_a_contract_came_makes_its_tail_begin_at_the_fork(tail: Stored) -> None:
    await tail.writer.append(block_id(10), [tail.followed(header(number)) for number in (11, 12)])
    club = contract("Club", [TOKEN], [JOINED])
    tail.registered = await register_samples(tail.writer, TOKENS, REGISTRIES, club)
    branch = [tail.followed(header(11, "b", block_id(10)), [("Joined", TOKEN)])]
    await tail.writer.replace(block_id(12), block_id(10), branch)
    coverage = (await read_state(tail.database)).coverage
    assert set(coverage.values()) == {(Span(11, 11),)}


async def test_an_overload_gets_a_table_of_its_own_and_none_is_renamed(tail: Stored) -> None:
    grown = contract("Token", [TOKEN], [OVERLOADED, MOVED, STOPPED])
    registered = await register_samples(tail.writer, grown)
    names = {each.event.signature: each.table.name for each in registered.sources}
    assert names["Moved(address,int64)"] == "moved"
    assert names["Moved((address,string)[2][])"].startswith("moved_")
    only_new = await register_samples(tail.writer, contract("Token", [TOKEN], [OVERLOADED]))
    assert only_new.sources[0] == registered.sources[0]
    shown = await tail.value("select pg_get_viewdef('indexer.event'::regclass)")
    assert "token.moved_" in str(shown)
    assert "registry.joined" in str(shown)


def test_an_event_is_read_back_from_its_json_as_it_was() -> None:
    for event in events_of_abi([OVERLOADED, MOVED, STOPPED, {**JOINED, "anonymous": True}]):
        assert event_of(abi_text(event)) == event


@pytest.mark.parametrize(("chain_id", "genesis"), [(1, GENESIS), (CHAIN_ID, b"\x22" * 32)])
async def test_another_chain_is_refused(stored: Stored, chain_id: int, genesis: bytes) -> None:
    before = await stored.dump()
    with pytest.raises(WrongChain, match="use a database of its own"):
        await register(stored.writer, [TOKENS], chain_id=chain_id, genesis_hash=genesis)
    assert await stored.dump() == before


async def test_two_contracts_never_share_a_schema(stored: Stored) -> None:
    with pytest.raises(UserMistake, match="Token and token would share the schema token"):
        await register_samples(stored.writer, TOKENS, contract("token", [REGISTRY], [MOVED]))


async def test_a_foreign_table_of_the_same_name_is_left_alone(stored: Stored) -> None:
    async with stored.database.connection() as connection:
        await connection.execute("create schema club; create table club.joined (id int)")
    with pytest.raises(UserMistake, match=r"club\.joined does not fit Joined\(address\): its columns are id"):
        await register_samples(stored.writer, contract("Club", [TOKEN], [JOINED]))


async def test_a_dropped_table_is_noticed_and_can_be_indexed_again(tail: Stored) -> None:
    await tail.writer.append(block_id(10), [tail.followed(header(11), [("Joined", REGISTRY)])])
    async with tail.database.connection() as connection:
        await connection.execute("drop table registry.joined cascade")
    with pytest.raises(UserMistake, match=r"update indexer\.source") as raised:
        await register_samples(tail.writer, TOKENS, REGISTRIES)
    remedy = str(raised.value).partition("indexed again: ")[2]
    async with tail.database.connection() as connection:
        await connection.execute(remedy)
    await register_samples(tail.writer, TOKENS, REGISTRIES)
    joined = tail.source("Joined", REGISTRY)
    await tail.writer.fill(Span(0, 10), [joined.id], Encoded((), (), {}, {}))
    assert (await read_state(tail.database)).coverage[joined.id] == (Span(0, 10),)


async def test_a_long_reader_does_not_hold_up_a_registration_for_ever(
    database: Database, stored: Stored, database_url: str
) -> None:
    hasty = await open_database(database_url, timeouts=Timeouts(lock=0.05))
    leadership = await wait_for_leadership(hasty, retry_seconds=0.02)
    async with database.transaction() as reader:
        await reader.fetch("select * from indexer.event")
        with pytest.raises(Unavailable, match="probably a long query"):
            await register_samples(
                Writer(hasty, leadership.epoch), TOKENS, REGISTRIES, contract("Club", [TOKEN], [JOINED])
            )
    leadership.release()
    await hasty.close()
