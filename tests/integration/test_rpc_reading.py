"""Ranges and blocks as the program reads them: complete, checked, from one endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from indexer.core.errors import Inconsistent, TooMuch, Unavailable
from indexer.core.model import Span
from indexer.core.source import LogFilter
from indexer.rpc import endpoint, pool
from indexer.rpc.opening import open_node
from indexer.rpc.transport import Timing
from tests.fixtures.fakechain import FakeChain
from tests.fixtures.fakenode import FakeNode
from tests.fixtures.node import NULL, Change, Error, Hang, Http, fault_node
from tests.fixtures.rpc import (
    ALSO_WATCHED,
    OTHER_TOPIC,
    TOPIC,
    WATCHED,
    Counted,
    address_of,
    block_of,
    story,
    wanted,
)

pytestmark = pytest.mark.integration
Json = Any
PROVIDER_ERRORS = json.loads(
    (Path(__file__).parents[1] / "data" / "provider_errors.json").read_text(encoding="utf-8")
)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause before a second attempt is longer than the total time, so the first failure is what is seen."""
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 1000.0)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_SECONDS", 1000.0)


async def test_a_range_has_every_log_of_the_filter_and_every_time() -> None:
    async with fault_node(story(250)) as node, open_node([address_of(node)]) as ours:
        logs = await ours.range_logs(Span(3, 250), wanted())
    assert len(logs.logs) == 2 * 248
    assert logs.untimed == []
    for block in node.chain.blocks[3:]:
        assert logs.blocks[block.number] == block.hash
        assert logs.times[block.number] == block.timestamp


async def test_the_end_of_a_range_is_asked_in_the_same_request() -> None:
    async with fault_node(story(5)) as node, open_node([address_of(node)]) as ours:
        await ours.chain_id()
        node.requests.clear()
        node.calls.clear()
        await ours.range_logs(Span(5, 5), wanted())  # odd blocks bring their times
        assert node.requests == [3]
        asked = [method for method, _ in node.calls]
        assert asked == ["eth_chainId", "eth_getBlockByNumber", "eth_getLogs"]


async def test_a_node_that_fell_behind_is_not_believed() -> None:
    fake = story(10)
    async with fault_node(fake) as node, open_node([address_of(node)]) as ours:
        fake.behind = 4
        with pytest.raises(Unavailable, match="block 9"):
            await ours.range_logs(Span(2, 9), wanted())
        fake.behind = 1
        assert len((await ours.range_logs(Span(2, 9), wanted())).logs) == 16


LIES: dict[str, Callable[[list[Json]], list[Json]]] = {
    "twice": lambda logs: [*logs, logs[0]],
    "removed": lambda logs: [logs[0] | {"removed": True}, *logs[1:]],
    "outside the range": lambda logs: [logs[0] | {"blockNumber": "0x64"}, *logs[1:]],
    "of another address": lambda logs: [logs[0] | {"address": "0x" + "cc" * 20}, *logs[1:]],
    "of another topic": lambda logs: [logs[0] | {"topics": ["0x" + "22" * 32]}, *logs[1:]],
    "of two forks": lambda logs: [logs[0] | {"blockHash": "0x" + "77" * 32}, *logs[1:]],
    "of another fork at the end": lambda logs: [
        log | {"blockHash": "0x" + "77" * 32} if log["blockNumber"] == "0x9" else log for log in logs
    ],
    "of another fork inside": lambda logs: [
        log | {"blockHash": "0x" + "77" * 32} if log["blockNumber"] == "0x4" else log for log in logs
    ],
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_logs_that_cannot_be_are_refused(lie: Callable[[list[Json]], list[Json]]) -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        node.fault(Change(lie), "eth_getLogs")
        with pytest.raises(Inconsistent):
            await ours.range_logs(Span(2, 9), wanted())
        assert node.asked("eth_getLogs") == 1  # there is no other endpoint to ask


@pytest.mark.parametrize(
    "known",
    [each for each in PROVIDER_ERRORS if each["verdict"] == "narrow"],
    ids=lambda each: each["provider"],
)
async def test_a_range_that_is_too_long_says_how_many_blocks_would_do(known: Json) -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        node.fault(Error(known["code"] or -32000, known["message"]), "eth_getLogs")
        with pytest.raises(TooMuch) as raised:
            await ours.range_logs(Span(2, 9), wanted())
        limit = known.get("limit")
        assert raised.value.blocks == (limit if limit and limit < 8 else None)
        assert not raised.value.addresses


async def test_an_unknown_error_narrows_and_is_counted() -> None:
    observer = Counted()
    async with fault_node(story(9)) as node, open_node([address_of(node)], observer=observer) as ours:
        node.fault(Error(-32000, "the sky is too blue today"), "eth_getLogs")
        with pytest.raises(TooMuch, match="the sky"):
            await ours.range_logs(Span(2, 9), wanted())
    assert observer.unknown == ["rpc-1"]


async def test_a_time_out_narrows_until_the_endpoint_looks_dead() -> None:
    timing = Timing(request_seconds=0.5, retry_total_seconds=1.0)
    async with fault_node(story(9)) as node, open_node([address_of(node)], timing=timing) as ours:
        await ours.chain_id()
        node.fault(Hang())
        for _ in range(2):
            with pytest.raises(TooMuch):
                await ours.range_logs(Span(2, 9), wanted())
        with pytest.raises(Unavailable):
            await ours.range_logs(Span(2, 9), wanted())


@pytest.mark.usefixtures("impatient")
async def test_one_block_is_never_too_much() -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        node.fault(Error(-32005, "query returned more than 10000 results"), "eth_getLogs")
        with pytest.raises(Unavailable, match="block 7 alone is too much"):
            await ours.range_logs(Span(7, 7), wanted())
        # It was tried with one address at a time before.
        last = node.calls[-1][1][0]
        assert len(last["address"]) == 1


@pytest.mark.parametrize("count", [1_000, 2_000])
async def test_a_round_number_of_logs_is_suspicious(count: int) -> None:
    chain = FakeChain()
    chain.mine(block_of(Random(1), 500))
    chain.mine(block_of(Random(2), count - 500))
    chain.mine(block_of(Random(3), count))
    observer = Counted()
    async with fault_node(FakeNode(chain)) as node, open_node([address_of(node)], observer=observer) as ours:
        with pytest.raises(TooMuch, match=f"exactly {count} logs"):
            await ours.range_logs(Span(1, 2), wanted())
        assert len((await ours.range_logs(Span(1, 1), wanted())).logs) == 500
        assert observer.unknown == []
        assert len((await ours.range_logs(Span(3, 3), wanted())).logs) == count
        assert observer.unknown == ["rpc-1"]


async def test_too_many_addresses_are_asked_in_parts_from_then_on() -> None:
    def few(params: list[Json]) -> bool:
        return len(params[0]["address"]) > 3

    crowd = tuple(bytes([at]) * 20 for at in range(1, 11))
    filter_ = LogFilter((*crowd, WATCHED, ALSO_WATCHED), (TOPIC, OTHER_TOPIC))
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        node.fault(
            Error(-32602, "exceed max addresses or topics per search position"), "eth_getLogs", when=few
        )
        logs = await ours.range_logs(Span(1, 9), filter_)
        head = await ours.head()
        block = await ours.block(head.id, filter_, frozenset(), transactions=True)
        assert len(logs.logs) == 2 * 9
        assert len(block.logs.logs) == 2
        node.calls.clear()
        await ours.range_logs(Span(1, 9), filter_)
        assert all(not few(params) for method, params in node.calls if method == "eth_getLogs")
        # Every pair of address and topic is asked for exactly once.
        asked = [params[0] for method, params in node.calls if method == "eth_getLogs"]
        pairs = [(a, t) for each in asked for a in each["address"] for t in each["topics"][0]]
        assert len(pairs) == len(set(pairs)) == 12 * 2


async def test_a_filter_of_nobody_asks_for_no_logs() -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        logs = await ours.range_logs(Span(1, 9), LogFilter((), None))
        block = await ours.block((await ours.head()).id, None, frozenset({WATCHED}), transactions=True)
        assert logs.logs == block.logs.logs == []
        assert len(block.transactions) == 1
        assert node.asked("eth_getLogs") == 0


@pytest.mark.parametrize("has_block_receipts", [True, False])
@pytest.mark.parametrize("transactions", [True, False])
async def test_a_block_is_read_by_its_hash(has_block_receipts: bool, transactions: bool) -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        if not has_block_receipts:
            node.fault(Error(-32601, "Method not found"), "eth_getBlockReceipts")
        for number in (8, 9):
            header = await ours.header(number)
            assert header is not None
            block = await ours.block(header.id, wanted(), frozenset({WATCHED}), transactions=transactions)
            assert block.header == header
            assert [log.block_hash for log in block.logs.logs] == ["0x" + header.hash.hex()] * 2
            sent = [each.hash for each in node.chain.blocks[number].transactions if each.recipient == WATCHED]
            assert [each.hash for each in block.transactions] == (sent if transactions else [])
        if not has_block_receipts:
            assert node.asked("eth_getBlockReceipts") == (1 if transactions else 0)  # remembered


BLOCK_LIES = {
    "a dropped log": ("eth_getLogs", lambda logs: logs[1:]),
    "an altered log": ("eth_getLogs", lambda logs: [logs[0] | {"data": "0x01"}, *logs[1:]]),
    "logs of another fork": (
        "eth_getLogs",
        lambda logs: [log | {"blockHash": "0x" + "77" * 32} for log in logs],
    ),
    "receipts of another fork": (
        "eth_getBlockReceipts",
        lambda some: [receipt | {"blockHash": "0x" + "77" * 32} for receipt in some],
    ),
    "a missing receipt": ("eth_getBlockReceipts", lambda some: some[1:]),
    "another block": ("eth_getBlockByHash", lambda block: block | {"hash": "0x" + "77" * 32}),
}


@pytest.mark.parametrize(("method", "lie"), BLOCK_LIES.values(), ids=BLOCK_LIES.keys())
async def test_a_block_whose_parts_disagree_is_refused(method: str, lie: Callable[[Json], Json]) -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        head = await ours.head()
        node.fault(Change(lie), method)
        with pytest.raises(Inconsistent):
            await ours.block(head.id, wanted(), frozenset({WATCHED}), transactions=True)
        assert node.asked("eth_getBlockByHash") == 1


@pytest.mark.parametrize("missing", ["eth_getBlockByHash", "eth_getBlockReceipts"])
async def test_a_block_that_is_not_there_is_told_at_once(missing: str) -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        head = await ours.head()
        node.fault(NULL, missing)
        with pytest.raises(Unavailable, match="not there"):
            await ours.block(head.id, wanted(), frozenset({WATCHED}), transactions=True)
        assert node.asked("eth_getBlockByHash") == 1
        node.heal()
        gone = head.id
        node.chain.reorg(2, [block_of(Random(9))] * 2)
        del node.chain.by_hash[gone.hash]
        with pytest.raises(Unavailable, match="unknown block"):
            await ours.block(gone, wanted(), frozenset({WATCHED}), transactions=True)
        # The height is there all the same, with another hash.
        head = await ours.head()
        assert (await ours.block(head.id, wanted(), frozenset(), transactions=False)).header == head


@pytest.mark.parametrize("has_block_receipts", [True, False])
async def test_transactions_of_a_range_come_with_the_hash_of_every_block(has_block_receipts: bool) -> None:
    async with fault_node(story(35)) as node, open_node([address_of(node)]) as ours:
        if not has_block_receipts:
            node.fault(Error(-32004, "not supported"), "eth_getBlockReceipts")
        found, hashes = await ours.range_transactions(Span(2, 33), frozenset({WATCHED, ALSO_WATCHED}))
    assert hashes == {block.number: block.hash for block in node.chain.blocks[2:34]}
    assert [each.hash for each in found] == [block.transactions[1].hash for block in node.chain.blocks[2:34]]


async def test_blocks_of_a_range_that_do_not_link_are_refused() -> None:
    async with fault_node(story(35)) as node, open_node([address_of(node)]) as ours:
        node.fault(
            Change(lambda block: block | {"parentHash": "0x" + "77" * 32}),
            "eth_getBlockByNumber",
            when=lambda params: params == ["0x15", True],
        )
        with pytest.raises(Inconsistent, match=r"block 21 .* is not a child of 20"):
            await ours.range_transactions(Span(2, 33), frozenset({WATCHED}))


async def test_transactions_that_are_too_much_want_fewer_blocks() -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        node.fault(Http(413, b""), "eth_getBlockReceipts")
        with pytest.raises(TooMuch):
            await ours.range_transactions(Span(2, 9), frozenset({WATCHED}))


async def test_the_finalized_tag_is_optional_but_never_forgotten() -> None:
    fake = story(9)
    fake.chain.finalize(5)
    fake.knows_finality = False
    async with fault_node(fake) as node:
        async with open_node([address_of(node)]) as ours:
            assert await ours.finalized() is None
            assert await ours.finalized() is None
            assert sum(params[0] == "finalized" for _, params in node.calls if params) == 1
        fake.knows_finality = True
        async with open_node([address_of(node)], timing=Timing(retry_total_seconds=1.0)) as ours:
            finalized = await ours.finalized()
            assert finalized is not None
            assert finalized.number == 5
            node.fault(NULL, when=lambda params: params[:1] == ["finalized"])
            with pytest.raises(Unavailable, match="there was one before"):
                await ours.finalized()


@pytest.mark.parametrize("a_while", [60.0, 0.0])
async def test_a_tag_that_was_not_understood_once_is_asked_for_again_after_a_while(
    a_while: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "TAG_SECONDS", a_while)
    fake = story(9)
    fake.chain.finalize(5)
    async with fault_node(fake) as node, open_node([address_of(node)]) as ours:
        # Words that nobody knows: the node may not know the tag, or be in any other trouble.
        node.fault(Error(-32000, "the moon is full"), when=lambda params: params[:1] == ["finalized"])
        assert await ours.finalized() is None
        node.heal()
        found = await ours.finalized()
        assert (found.number if found else None) == (None if a_while else 5)


async def test_headers_are_found_by_number_and_by_hash_or_not_at_all() -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        block = node.chain.blocks[4]
        header = await ours.header(4)
        assert header is not None
        assert header.hash == block.hash
        assert await ours.header_by_hash(block.hash) == header
        assert await ours.header(10) is None
        assert await ours.header_by_hash(b"\x77" * 32) is None
        assert await ours.genesis_hash() == node.chain.blocks[0].hash
        assert await ours.chain_id() == 31337
