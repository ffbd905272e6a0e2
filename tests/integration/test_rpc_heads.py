"""New heads: announced over WebSocket, polled always."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest

from indexer.core.errors import TooMuch, Unavailable
from indexer.core.model import BlockId, Header, Span
from indexer.rpc import heads as rpc_heads
from indexer.rpc import health
from indexer.rpc.address import EndpointAddress
from indexer.rpc.heads import Heads
from indexer.rpc.opening import open_node
from indexer.rpc.transport import Timing
from tests.fixtures.fakechain import FakeBlock, FakeChain
from tests.fixtures.fakenode import FakeNode, block_json
from tests.fixtures.node import Error, FaultNode, Hang, Http, Reset, fault_node
from tests.fixtures.rpc import WATCHED, address_of, block_of, story, wanted

pytestmark = pytest.mark.integration

PATIENCE = 60.0  # seconds; how long a slow machine may take
NEVER = 3600.0  # seconds


@pytest.fixture
def quick_to_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that failed is tried again soon."""
    monkeypatch.setattr(health, "COOL_DOWN_SECONDS", 0.05)
    monkeypatch.setattr(health, "LONGEST_COOL_DOWN_SECONDS", 0.05)


def ws_address_of(node: FaultNode, name: str = "rpc-1") -> EndpointAddress:
    return EndpointAddress(name, node.ws_url)


@asynccontextmanager
async def watching(
    addresses: list[EndpointAddress], *, poll_seconds: float, stall_seconds: float = NEVER
) -> AsyncIterator[Heads]:
    async with open_node(addresses) as node:
        heads = node.heads(poll_seconds=poll_seconds, stall_seconds=stall_seconds)
        task = asyncio.create_task(heads.run())
        try:
            async with asyncio.timeout(PATIENCE):
                yield heads
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def head_number(heads: Heads, number: int) -> Header:
    """The newest block once it has that number."""
    seen = None
    while True:
        head = await heads.next_after(seen)
        if head.number == number:
            return head
        seen = head.id


async def test_polling_finds_every_change_of_the_head() -> None:
    async with fault_node(story(3)) as node, watching([address_of(node)], poll_seconds=0.01) as heads:
        first = await heads.next_after(None)
        assert first.number == 3
        node.chain.mine()
        second = await heads.next_after(first.id)
        assert second.follows(first.id)
        node.chain.reorg(1, [block_of(Random(5))])
        third = await heads.next_after(second.id)
        assert third.number == 4
        assert third.id != second.id
        node.chain.roll_back(2)
        assert (await heads.next_after(third.id)).number == 2
        assert heads.latest is not None
        assert heads.latest.hash == node.chain.head.hash


async def test_announcements_come_without_waiting_for_a_poll() -> None:
    async with fault_node(story(3)) as node, watching([ws_address_of(node)], poll_seconds=NEVER) as heads:
        await node.subscribed()
        await head_number(heads, 3)
        for number in range(4, 8):
            await node.announce(node.chain.mine())
            assert (await head_number(heads, number)).hash == node.chain.head.hash


async def test_a_subscription_that_falls_silent_costs_a_poll_and_is_opened_anew() -> None:
    async with (
        fault_node(story(3)) as node,
        watching([ws_address_of(node)], poll_seconds=0.02, stall_seconds=0.2) as heads,
    ):
        await node.subscribed()
        node.chain.mine()  # never announced
        await head_number(heads, 4)
        await node.subscribed(2)
        await node.announce(node.chain.mine())
        await head_number(heads, 5)


async def test_a_quiet_chain_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_heads, "_FIRST_PAUSE_SECONDS", 0.01)
    async with (
        fault_node(story(3)) as node,
        watching([ws_address_of(node)], poll_seconds=0.01, stall_seconds=0.05) as heads,
    ):
        await node.subscribed()
        await head_number(heads, 3)
        await node.announce(node.chain.mine())
        await head_number(heads, 4)
        await node.asked_more(50)
        assert node.subscriptions == 1


async def test_a_broken_subscription_is_opened_anew() -> None:
    async with fault_node(story(3)) as node, watching([ws_address_of(node)], poll_seconds=NEVER) as heads:
        await node.subscribed()
        await node.drop_websockets()
        await node.subscribed(2)
        await node.announce(node.chain.mine())
        await head_number(heads, 4)


@pytest.mark.usefixtures("quick_to_return")
async def test_the_head_is_the_highest_of_all_endpoints_that_are_up() -> None:
    chain = story(10).chain
    late, prompt = FakeNode(chain), FakeNode(chain)
    late.behind = 4
    async with fault_node(late) as first, fault_node(prompt) as second:
        addresses = [address_of(first), address_of(second, "rpc-2")]
        async with watching(addresses, poll_seconds=0.01) as heads:
            await head_number(heads, 10)
            await first.asked_more(3)
            assert heads.latest is not None
            assert heads.latest.number == 10
            second.fault(Reset())
            await head_number(heads, 6)
            second.heal()
            await head_number(heads, 10)


@pytest.mark.usefixtures("quick_to_return")
async def test_the_watch_survives_an_outage() -> None:
    async with fault_node(story(3)) as node, watching([address_of(node)], poll_seconds=0.01) as heads:
        await head_number(heads, 3)
        node.fault(Http(503, b""))
        await node.asked_more(4)
        node.chain.mine()
        node.heal()
        await head_number(heads, 4)


async def test_a_websocket_endpoint_serves_every_call() -> None:
    async with fault_node(story(30, logs=40)) as node, open_node([ws_address_of(node)]) as ours:
        head = await ours.head()
        logs, block, (found, _) = await asyncio.gather(
            ours.range_logs(Span(1, 29), wanted()),
            ours.block(head.id, wanted(), frozenset({WATCHED}), transactions=True),
            ours.range_transactions(Span(1, 30), frozenset({WATCHED})),
        )
        assert len(logs.logs) == 29 * 40
        assert len(block.logs.logs) == 40
        assert len(found) == 30
        await node.drop_websockets()
        assert await ours.head() == head


async def test_faults_over_websocket_get_the_same_verdicts() -> None:
    timing = Timing(request_seconds=1.0, retry_total_seconds=1.2)
    async with fault_node(story(30)) as node, open_node([ws_address_of(node)], timing=timing) as ours:
        head = await ours.head()
        node.fault(Error(-32602, "exceed maximum block range: 5"), "eth_getLogs", times=1)
        with pytest.raises(TooMuch) as raised:
            await ours.range_logs(Span(1, 29), wanted())
        assert raised.value.blocks == 5
        node.fault(Reset(), times=1)
        assert await ours.head() == head
        node.fault(Hang())
        with pytest.raises(Unavailable):
            await ours.head()


async def test_too_large_a_message_over_websocket_is_too_much() -> None:
    timing = replace(Timing(), response_bytes=30_000)
    async with (
        fault_node(story(30, logs=20)) as node,
        open_node([ws_address_of(node)], timing=timing) as ours,
    ):
        with pytest.raises(TooMuch, match="more than 30000 bytes"):
            await ours.range_logs(Span(1, 30), wanted())
        assert len((await ours.range_logs(Span(1, 1), wanted())).logs) == 20


def invented(number: int) -> FakeBlock:
    """A block that no chain has."""
    return FakeBlock(number, b"\x77" * 32, 1_700_000_000, (), 0)


NO_HEADS = {
    "no JSON": "\xff{",
    "nested for ever": '{"x":' + "[" * 1_000_000,
    "no header": '{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x1","result":17}}',
    "a header without fields": '{"method":"eth_subscription","params":{"subscription":"0x1","result":{}}}',
    "a header that is none": json.dumps(
        {
            "method": "eth_subscription",
            "params": {"result": block_json(FakeChain().head, full=False) | {"number": "-0x1"}},
        }
    ),
}


@pytest.mark.parametrize("told", NO_HEADS.values(), ids=NO_HEADS.keys())
async def test_an_announcement_that_is_no_header_ends_the_subscription_and_not_the_watch(told: str) -> None:
    async with fault_node(story(3)) as node, watching([ws_address_of(node)], poll_seconds=NEVER) as heads:
        await node.subscribed()
        await head_number(heads, 3)
        await node.tell(told)
        await node.subscribed(2)
        await node.announce(node.chain.mine())
        await head_number(heads, 4)


async def test_subscriptions_that_are_closed_at_once_are_told_once_and_tried_ever_less_often(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rpc_heads, "_FIRST_PAUSE_SECONDS", 0.01)
    async with fault_node(story(3)) as node:
        node.fault(Reset(), "eth_subscribe")
        with caplog.at_level(logging.DEBUG):
            async with watching([ws_address_of(node)], poll_seconds=0.05) as heads:
                await node.subscribed(5)
                node.chain.mine()
                await head_number(heads, 4)
        told = [each for each in caplog.records if each.getMessage() == "no announcements of new heads"]
        assert [each.levelno for each in told].count(logging.WARNING) == 1
        assert len(told) >= 4


async def test_a_node_without_subscriptions_is_polled() -> None:
    async with fault_node(story(3)) as node:
        node.fault(Error(-32601, "the method eth_subscribe does not exist"), "eth_subscribe")
        async with watching([ws_address_of(node)], poll_seconds=0.05) as heads:
            await node.subscribed()
            node.chain.mine()
            await head_number(heads, 4)


async def test_a_head_that_was_only_announced_lasts_until_the_next_poll() -> None:
    async with fault_node(story(3)) as node, watching([ws_address_of(node)], poll_seconds=0.05) as heads:
        await node.subscribed()
        await head_number(heads, 3)
        await node.announce(invented(9_000))
        await head_number(heads, 9_000)
        await head_number(heads, 3)


async def test_a_head_that_led_nowhere_is_passed_over_while_another_endpoint_has_one() -> None:
    fake = story(3)
    async with fault_node(fake) as honest, fault_node(story(3)) as liar:
        addresses = [address_of(honest), address_of(liar, "rpc-2")]
        async with watching(addresses, poll_seconds=0.02) as heads:
            await head_number(heads, 3)
            liar.chain.blocks.append(invented(4))
            liar.chain.blocks += [invented(number) for number in range(5, 50)]
            bogus = await head_number(heads, 49)
            await heads.doubt(bogus.id)
            # Whatever else it invents from now on.
            liar.chain.blocks.append(invented(50))
            fake.chain.mine()
            assert (await head_number(heads, 4)).hash == fake.chain.head.hash
            await liar.asked_more(3)
            assert heads.latest is not None
            assert heads.latest.number == 4
            # Where nobody else is left, it is better than nothing.
            honest.fault(Reset())
            await head_number(heads, 50)


async def test_a_doubt_ends_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_heads, "DOUBT_SECONDS", 0.05)
    chain = story(10).chain
    late = FakeNode(chain)
    late.behind = 4
    async with fault_node(late) as first, fault_node(FakeNode(chain)) as second:
        addresses = [address_of(first), address_of(second, "rpc-2")]
        async with watching(addresses, poll_seconds=0.01) as heads:
            head = await head_number(heads, 10)
            await heads.doubt(head.id)
            await head_number(heads, 6)
            await head_number(heads, 10)


async def test_a_doubt_about_the_only_endpoint_changes_nothing() -> None:
    async with fault_node(story(3)) as node, watching([address_of(node)], poll_seconds=0.02) as heads:
        head = await head_number(heads, 3)
        await heads.doubt(head.id)
        await heads.doubt(BlockId(7, b"\x01" * 32))
        assert heads.latest == head
        node.chain.mine()
        await head_number(heads, 4)


@pytest.mark.usefixtures("quick_to_return")
async def test_the_head_of_an_endpoint_that_serves_another_chain_by_now_does_not_count() -> None:
    fake = story(3)
    async with fault_node(fake) as right, fault_node(FakeNode(fake.chain)) as wrong:
        addresses = [address_of(right), address_of(wrong, "rpc-2")]
        async with watching(addresses, poll_seconds=0.02) as heads:
            await head_number(heads, 3)
            wrong.fake = story(500, seed=9, chain_id=5)
            await head_number(heads, 500)
            # Whatever makes it show its identity again.
            wrong.fault(Reset(), times=1)
            await head_number(heads, 3)
            fake.chain.mine()
            await head_number(heads, 4)


async def test_a_frozen_endpoint_does_not_hold_up_the_head() -> None:
    chain = story(10).chain
    frozen = FakeNode(chain)
    async with fault_node(frozen) as first, fault_node(FakeNode(chain)) as second:
        addresses = [address_of(first), address_of(second, "rpc-2")]
        async with watching(addresses, poll_seconds=0.02) as heads:
            await head_number(heads, 10)
            for number in range(11, 15):
                frozen.behind += 1
                chain.mine()
                await head_number(heads, number)
