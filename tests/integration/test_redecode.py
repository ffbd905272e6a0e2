"""Undecoded logs become rows once their ABI is right: each exactly once, and without asking the node."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from indexer.store.database import Database
from indexer.store.leadership import take_leadership
from tests.fixtures.commanded import Ran, Scene
from tests.fixtures.fakechain import FakeLog, FakeTransaction
from tests.fixtures.fakelogs import NAMED, TRANSFER_OF_ONE, TRANSFER_OF_TOKENS, emit
from tests.fixtures.node import Http
from tests.fixtures.truth import assert_equal_to_chain
from tests.fixtures.truth_expected import TrueContract

pytestmark = pytest.mark.integration

Json = Any
BOOK = bytes.fromhex("5a5a" * 10)
SOMEBODY = bytes.fromhex("0101" * 10)


def without_indexed(event: Json) -> Json:
    """The event as an ABI has it whose author forgot what is indexed."""
    wrong = copy.deepcopy(event)
    for each in wrong["inputs"]:
        each["indexed"] = False
    return wrong


def book(*abi: Json) -> list[TrueContract]:
    return [TrueContract("Book", (BOOK,), list(abi))]


def block(*logs: FakeLog, nonce: int = 0) -> list[FakeTransaction]:
    return [FakeTransaction(nonce, SOMEBODY, BOOK, logs)]


def named(text: str, nonce: int) -> FakeLog:
    return emit(BOOK, NAMED, SOMEBODY, text, nonce)


def moved(value: int) -> FakeLog:
    return emit(BOOK, TRANSFER_OF_TOKENS, SOMEBODY, BOOK, value)


def moved_one(value: int) -> FakeLog:
    return emit(BOOK, TRANSFER_OF_ONE, SOMEBODY, BOOK, value)


async def redecoded(scene: Scene, *arguments: str) -> Ran:
    """Run the command with a node that refuses everything; nothing is changed by doing it once more."""
    scene.node.fault(Http(500))
    asked = len(scene.node.calls)
    ran = await scene.command("redecode", "--json", *arguments)
    assert ran.code == 0, ran
    before = await everything(scene)
    again = (await scene.command("redecode", "--json", *arguments)).json()
    assert (again["rows"], again["taken_over"], again["outdated"]) == (0, 0, 0)
    assert await everything(scene) == before
    assert len(scene.node.calls) == asked
    scene.node.heal()
    return ran


async def everything(scene: Scene) -> list[object]:
    tables = ("source", "event", "undecoded_log", "block", "coverage")
    return [sorted(map(repr, await scene.sql(f"select * from indexer.{table}"))) for table in tables]


async def assert_true(scene: Scene) -> int:
    """What is claimed to be stored is what the chain says, by two judges."""
    audit = await scene.command("audit", "--from-block", "0", "--json")
    assert audit.code == 0, audit
    return await assert_equal_to_chain(scene.database_url, scene.node.url, scene.contracts, complete=False)


async def test_a_corrected_event_takes_over_the_blocks_of_the_wrong_one(scene: Scene) -> None:
    scene.contracts = book(without_indexed(NAMED), TRANSFER_OF_TOKENS)
    broken = FakeLog(BOOK, named("", 7).topics, b"\x01")
    scene.mine_all([block(named(f"name {at}", at), moved(at), nonce=at) for at in range(5)])
    scene.mine_all([block(broken, nonce=99), [], block(named("A\x00Z", 8), nonce=100), []])
    await scene.filled()
    assert await scene.value("select count(*) from indexer.event") == 5
    assert await scene.value("select count(*) from indexer.undecoded_log") == 7
    scene.contracts = book(NAMED, TRANSFER_OF_TOKENS)
    report = (await redecoded(scene)).json()
    assert (report["rows"], report["taken_over"], report["waiting"]) == (6, 7, 0)
    assert report["blocks_taken_over"] == 10
    assert report["undecoded"] == {"data_too_short": 1, "lossy_text": 1}
    assert await scene.value("select count(*) from indexer.event where event = 'Named'") == 6
    assert await assert_true(scene) == 11
    # Nothing is left for the node: the blocks count as stored.
    scene.node.calls.clear()
    await scene.filled()
    assert scene.node.asked("eth_getLogs") == 0


async def test_what_a_backfill_brought_meanwhile_is_not_counted_twice(scene: Scene) -> None:
    scene.contracts = book(without_indexed(NAMED))
    scene.mine_all([block(named(f"name {at}", at), nonce=at) for at in range(6)])
    await scene.filled()
    scene.contracts = book(NAMED)
    ran = await scene.command("backfill", "--from-block", "2", "--to-block", "4", "--json")
    assert ran.json()["rows"] == 3
    report = (await redecoded(scene)).json()
    assert (report["rows"], report["taken_over"]) == (3, 6)
    assert await assert_true(scene) == 6
    assert await scene.value("select sum(rows) from indexer.source where kind = 'event'") == 6


async def test_an_event_added_later_waits_for_its_blocks_and_then_outdates_the_entries(scene: Scene) -> None:
    scene.contracts = book(TRANSFER_OF_TOKENS)
    scene.mine_all([block(moved(at), moved_one(at), nonce=at) for at in range(6)])
    await scene.filled()
    assert await scene.value("select count(*) from indexer.undecoded_log where reason = 'topic_count'") == 6
    scene.contracts = book(TRANSFER_OF_TOKENS, TRANSFER_OF_ONE)
    report = (await redecoded(scene)).json()
    assert (report["rows"], report["outdated"], report["waiting"]) == (0, 0, 6)
    ran = await scene.command("backfill", "--from-block", "0", "--to-block", "3", "--json")
    assert ran.code == 0
    report = (await redecoded(scene)).json()
    assert (report["rows"], report["outdated"], report["waiting"]) == (0, 3, 3)
    await scene.filled()
    assert (await redecoded(scene)).json()["outdated"] == 3
    assert await scene.value("select count(*) from indexer.undecoded_log") == 0
    assert await assert_true(scene) == 12


async def test_a_log_that_its_own_event_can_read_now_becomes_a_row(scene: Scene) -> None:
    scene.contracts = book(NAMED, TRANSFER_OF_TOKENS)
    scene.mine_all([block(named("Ada", at), moved(at), nonce=at) for at in range(4)])
    await scene.filled()
    # As an older program left it that could not read these logs.
    for log in (each for some in scene.chain.blocks[1:] for each in some.transactions[0].logs[:1]):
        await scene.sql(
            """
            with gone as (
                delete from book.named
                where block_number = (select min(block_number) from book.named) returning *
            )
            insert into indexer.undecoded_log
            select gone.block_number, log_index, source.id, hash, block_time, transaction_hash,
                transaction_index, gone.address, $1, $2, 'offset_out_of_range'
            from gone join indexer.block on number = gone.block_number
            join indexer.source on table_name = 'named'
            """,
            list(log.topics),
            log.data,
        )
    await scene.sql("update indexer.source set rows = 0 where table_name = 'named'")
    assert await scene.value("select count(*) from indexer.undecoded_log") == 4
    report = (await redecoded(scene, "--contract", "Book")).json()
    assert (report["rows"], report["undecoded"]) == (4, {})
    assert await assert_true(scene) == 8


async def test_it_goes_on_in_small_portions_without_cutting_a_block(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.store import undecoded

    query = undecoded.NEXT_KEYS.replace(f"limit {undecoded.PORTION_ROWS}", "limit 2")
    assert query != undecoded.NEXT_KEYS
    monkeypatch.setattr(undecoded, "NEXT_KEYS", query)
    monkeypatch.setattr(undecoded, "PORTION_BYTES", 10)
    scene.contracts = book(without_indexed(NAMED))
    for at in range(3):
        scene.mine_all([block(*(named(f"{at}.{more}", more) for more in range(at + 1)), nonce=at), []])
    await scene.filled()
    scene.contracts = book(NAMED)
    assert (await redecoded(scene)).json()["rows"] == 6
    assert await assert_true(scene) == 6


async def test_it_is_refused_while_another_process_writes(scene: Scene, database: Database) -> None:
    scene.mine(3, seed=1)
    await scene.filled()
    leadership = await take_leadership(database)
    assert leadership is not None
    async with leadership:
        ran = await scene.command("redecode")
    assert ran.code == 75
    assert "another process writes" in ran.errors
