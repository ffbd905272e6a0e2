"""Answers that contradict themselves, the question, or another endpoint; chains that are exchanged on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from indexer.core.errors import Inconsistent, Unavailable, WrongChain
from indexer.core.model import BlockId, Span
from indexer.rpc import endpoint as rpc_endpoint
from indexer.rpc.node import Node
from indexer.rpc.opening import open_node
from indexer.rpc.transport import Timing
from tests.fixtures.fakechain import FakeBlock, FakeChain
from tests.fixtures.fakenode import FakeNode
from tests.fixtures.node import Change, Error, Reset, fault_node
from tests.fixtures.rpc import TOPIC, WATCHED, Counted, address_of, block_of, story, wanted

pytestmark = pytest.mark.integration

Json = Any
Lie = Callable[[Json], Json]
WATCH = frozenset({WATCHED})
OTHER_HASH = "0x" + "77" * 32


def each(**changed: Json) -> Lie:
    return lambda items: [item | changed for item in items]


def first(**changed: Json) -> Lie:
    return lambda items: [items[0] | changed, *items[1:]] if items else items


def whole(**changed: Json) -> Lie:
    return lambda item: item | changed


def without(field: str) -> Lie:
    return lambda item: {name: value for name, value in item.items() if name != field}


LOGS, RECEIPTS, BLOCK = "eth_getLogs", "eth_getBlockReceipts", "eth_getBlockByHash"
LIES: dict[str, tuple[str, Lie]] = {
    "no logs": (LOGS, lambda _: []),
    "one log missing": (LOGS, lambda logs: logs[:-1]),
    "a log twice": (LOGS, lambda logs: [*logs, logs[-1]]),
    "a log twice under two indexes": (LOGS, lambda logs: [*logs, logs[-1] | {"logIndex": "0x9"}]),
    "a log more, of nobody": (LOGS, lambda logs: [*logs, logs[-1] | {"address": "0x" + "99" * 20}]),
    "another address": (LOGS, first(address="0x" + "ab" * 20)),
    "a foreign topic": (LOGS, first(topics=[OTHER_HASH])),
    "no topic": (LOGS, first(topics=[])),
    "five topics": (LOGS, first(topics=["0x" + TOPIC.hex()] * 5)),
    "other data": (LOGS, first(data="0x00")),
    "odd digits": (LOGS, first(data="0x0")),
    "another transaction": (LOGS, first(transactionHash=OTHER_HASH)),
    "another height": (LOGS, each(blockNumber="0x1")),
    "another fork": (LOGS, each(blockHash=OTHER_HASH)),
    "a removed log": (LOGS, first(removed=True)),
    "a pending log": (LOGS, each(blockHash=None, blockNumber=None)),
    "logs as an object": (LOGS, lambda logs: {"logs": logs}),
    "logs that are null": (LOGS, lambda _: None),
    "an index that is a number": (LOGS, first(logIndex=0)),
    "an index below zero": (LOGS, first(logIndex="-0x1")),
    "an index beyond all": (LOGS, first(logIndex="0xffffffffffff")),
    "another time": (LOGS, each(blockTimestamp="0x1")),
    "no receipts": (RECEIPTS, lambda _: []),
    "a receipt that is null": (RECEIPTS, lambda receipts: [None, *receipts[1:]]),
    "a receipt missing": (RECEIPTS, lambda receipts: receipts[:-1]),
    "receipts in another order": (RECEIPTS, lambda receipts: receipts[::-1]),
    "a receipt twice": (RECEIPTS, lambda receipts: [*receipts, receipts[-1]]),
    "receipts of another block": (RECEIPTS, each(blockHash=OTHER_HASH)),
    "receipts of another height": (RECEIPTS, each(blockNumber="0x1")),
    "receipts without logs": (RECEIPTS, each(logs=[])),
    "a status that is none": (RECEIPTS, each(status="0x2")),
    "another status": (RECEIPTS, each(status="0x0")),
    "gas that sinks": (
        RECEIPTS,
        lambda receipts: [*receipts[:-1], receipts[-1] | {"cumulativeGasUsed": "0x0"}],
    ),
    "another hash": (BLOCK, whole(hash=OTHER_HASH)),
    "another number": (BLOCK, whole(number="0x1")),
    "another parent": (BLOCK, whole(parentHash=OTHER_HASH)),
    "another time of the block": (BLOCK, whole(timestamp="0x1")),
    "a time beyond all calendars": (BLOCK, whole(timestamp="0xffffffffffff")),
    "no bloom filter": (BLOCK, without("logsBloom")),
    "an empty bloom filter": (BLOCK, whole(logsBloom="0x" + "00" * 256)),
    "a short bloom filter": (BLOCK, whole(logsBloom="0x00")),
    "a transaction missing": (BLOCK, lambda block: block | {"transactions": block["transactions"][1:]}),
    "transactions by hash": (
        BLOCK,
        lambda block: block | {"transactions": [each["hash"] for each in block["transactions"]]},
    ),
}


async def newest(node: Node, chain: FakeChain) -> list[str]:
    """The data of the logs of the chain's newest block, as our node gives them."""
    block = await node.block(BlockId(chain.head.number, chain.head.hash), wanted(), WATCH, transactions=True)
    return [log.data for log in block.logs.logs]


@pytest.mark.parametrize(("method", "lie"), LIES.values(), ids=LIES.keys())
async def test_no_lie_about_a_block_is_believed_and_another_endpoint_is_taken(method: str, lie: Lie) -> None:
    observer = Counted()
    async with (
        fault_node(story(9)) as liar,
        fault_node(liar.fake) as honest,
        open_node([address_of(liar)], timing=Timing(retry_total_seconds=0.2), prove=True) as alone,
        open_node([address_of(liar), address_of(honest, "rpc-2")], observer=observer, prove=True) as both,
    ):
        truth = await newest(both, liar.chain)
        assert len(truth) == 2
        await alone.chain_id()
        liar.fault(Change(lie), method)
        with pytest.raises((Inconsistent, Unavailable)) as raised:
            await newest(alone, liar.chain)
        assert await newest(both, liar.chain) == truth
        contradicted = isinstance(raised.value, Inconsistent)
        told = [("rpc-1", "contradiction")]
        # Alone it may run out of time before it is contradicted, on a slow machine.
        assert observer.disagreements == told if contradicted else observer.disagreements in ([], told)
        assert observer.disagreements or "invalid" in observer.outcomes()


async def test_a_contradiction_is_journalled_with_both_endpoints_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        fault_node(story(9)) as liar,
        fault_node(liar.fake) as second,
        fault_node(liar.fake) as third,
        open_node([address_of(liar), address_of(second, "rpc-2"), address_of(third, "rpc-3")]) as ours,
    ):
        for node in (liar, second):
            node.fault(Change(first(removed=True)), LOGS)
        with caplog.at_level(logging.WARNING):
            assert len((await ours.range_logs(Span(1, 9), wanted())).logs) == 18
    told = [record.__dict__ for record in caplog.records if "another endpoint's" in record.getMessage()]
    named = [(each["fields"]["endpoint"], each["fields"]["taken_from"]) for each in told]
    assert named == [("rpc-1", "rpc-3"), ("rpc-2", "rpc-3")]
    assert "marked as removed" in told[0]["fields"]["reason"]


async def test_a_question_that_nobody_answers_without_a_contradiction_ends() -> None:
    async with (
        fault_node(story(9)) as one,
        fault_node(one.fake) as other,
        open_node([address_of(one), address_of(other, "rpc-2")]) as ours,
    ):
        for node in (one, other):
            node.fault(Change(first(removed=True)), LOGS)
        with pytest.raises(Inconsistent):
            await ours.range_logs(Span(1, 9), wanted())
        assert (one.asked(LOGS), other.asked(LOGS)) == (1, 1)


async def test_a_block_just_announced_that_is_null_is_asked_of_the_others() -> None:
    late = Change(lambda _: None)
    async with (
        fault_node(story(9)) as one,
        fault_node(one.fake) as other,
        open_node([address_of(one), address_of(other, "rpc-2")]) as ours,
    ):
        for method in (BLOCK, RECEIPTS):
            one.heal()
            rule = one.fault(late, method)
            assert len(await newest(ours, one.chain)) == 2
            assert rule.hits == 1
        other.fault(late, RECEIPTS, times=1)
        with pytest.raises(Unavailable, match="not there"):
            await newest(ours, one.chain)
        one.heal()
        assert len(await newest(ours, one.chain)) == 2


TIMES: dict[str, tuple[Lie, bool]] = {
    "zero, which stands for not known": (each(blockTimestamp="0x0"), True),
    "missing": (lambda logs: [without("blockTimestamp")(log) for log in logs], True),
    "of the next minute": (lambda logs: [shifted(log, 60) for log in logs], False),
    "all of one late second": (each(blockTimestamp="0x70000000"), False),
    "the last block's only": (
        lambda logs: [shifted(log, -1) if log["blockNumber"] == "0x9" else log for log in logs],
        False,
    ),
    "one block's, of an hour later": (
        lambda logs: [shifted(log, 3600) if log["blockNumber"] == "0x3" else log for log in logs],
        False,
    ),
    "running backwards": (
        lambda logs: [
            log | {"blockTimestamp": hex(1_700_001_000 - int(log["blockNumber"], 16))} for log in logs
        ],
        False,
    ),
    "in milliseconds": (
        lambda logs: [log | {"blockTimestamp": hex(1_700_000_000_000)} for log in logs],
        False,
    ),
}


def shifted(log: Json, seconds: int) -> Json:
    if "blockTimestamp" not in log:
        return log
    return log | {"blockTimestamp": hex(int(log["blockTimestamp"], 16) + seconds)}


@pytest.mark.parametrize(("lie", "harmless"), TIMES.values(), ids=TIMES.keys())
async def test_times_that_logs_bring_along_are_held_against_headers(lie: Lie, harmless: bool) -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        node.fault(Change(lie), LOGS)
        if harmless:
            logs = await ours.range_logs(Span(1, 9), wanted())
            assert logs.times == {block.number: block.timestamp for block in node.chain.blocks[1:]}
        else:
            with pytest.raises(Inconsistent):
                await ours.range_logs(Span(1, 9), wanted())


def foreign_chain(blocks: int, *, chain_id: int) -> FakeNode:
    """A chain with the same genesis block and another id."""
    return story(blocks, seed=99, chain_id=chain_id)


RANGES: dict[str, Callable[[Node], Any]] = {
    "logs": lambda ours: ours.range_logs(Span(1, 9), wanted()),
    "transactions": lambda ours: ours.range_transactions(Span(1, 9), WATCH),
    "receipts": lambda ours: ours.range_receipts(Span(1, 9)),
}


@pytest.mark.parametrize("ask", RANGES.values(), ids=RANGES.keys())
async def test_a_chain_that_is_exchanged_without_an_outage_is_noticed_before_a_range_is_believed(
    ask: Callable[[Node], Any],
) -> None:
    async with (
        fault_node(story(9)) as swapped,
        fault_node(story(9)) as right,
        open_node([address_of(swapped)]) as alone,
        open_node([address_of(swapped), address_of(right, "rpc-2")]) as both,
    ):
        await ask(alone)
        await ask(both)
        before = right.asked("eth_chainId")
        swapped.fake = foreign_chain(20, chain_id=5)
        with pytest.raises(WrongChain, match="chain id 5 instead of 31337"):
            await ask(alone)
        await ask(both)
        assert right.asked("eth_chainId") > before
        # The next question finds out that it was no single slip.
        await ask(both)
        asked = len(swapped.calls)
        await ask(both)
        assert len(swapped.calls) == asked, "it is not asked again"


async def test_whoever_answers_after_a_lost_connection_has_to_show_which_chain_it_serves() -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        await ours.header(3)
        node.fault(Reset(), times=1)
        other = FakeChain()
        # As a development chain that was started anew: the same id, another block 0.
        other.blocks = [FakeBlock(0, bytes(32), 5, (), 1)]
        for _ in range(9):
            other.mine(block_of(Random(1)))
        node.fake = FakeNode(other)
        with pytest.raises(WrongChain, match="genesis block"):
            await ours.header(3)


async def test_an_identity_that_is_old_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        await ours.header(3)
        await ours.header(3)
        assert node.asked("eth_chainId") == 1
        node.fake = foreign_chain(9, chain_id=5)
        monkeypatch.setattr(rpc_endpoint, "IDENTITY_SECONDS", -1.0)
        with pytest.raises(WrongChain):
            await ours.header(3)


async def test_a_final_block_above_the_newest_is_not_believed() -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        node.chain.finalize(5)
        finalized = await ours.finalized()
        assert finalized is not None
        assert finalized.number == 5
        node.fault(Change(whole(number="0x32")), when=lambda params: params[:1] == ["finalized"])
        with pytest.raises(Inconsistent, match="block 50 is said to be final, above the newest, 9"):
            await ours.finalized()
        node.heal()
        # Between two polls the chain grew, and what grew is final already.
        node.chain.mine()
        node.chain.finalize(10)
        finalized = await ours.finalized()
        assert finalized is not None
        assert finalized.number == 10


@pytest.mark.parametrize("word", ["null", "an error"])
async def test_a_final_block_that_is_gone_with_one_endpoint_comes_from_another(word: str) -> None:
    fake = story(9)
    fake.chain.finalize(5)
    async with (
        fault_node(fake) as one,
        fault_node(fake) as other,
        open_node([address_of(one), address_of(other, "rpc-2")]) as ours,
    ):
        assert await ours.finalized() is not None
        fault = Change(lambda _: None) if word == "null" else Error(-32602, "invalid argument")
        one.fault(fault, when=lambda params: params[:1] == ["finalized"])
        finalized = await ours.finalized()
        assert finalized is not None
        assert finalized.number == 5
        assert other.asked("eth_getBlockByNumber") > 1
