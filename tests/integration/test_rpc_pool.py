"""Several endpoints as one node: whom it asks, whom it leaves alone, and whom it refuses."""

from __future__ import annotations

import asyncio

import pytest

from indexer.core.errors import Inconsistent, Unavailable, WrongChain
from indexer.core.model import Span
from indexer.rpc import health
from indexer.rpc.opening import open_node
from indexer.rpc.transport import Timing
from tests.fixtures.fakechain import FakeBlock, FakeChain
from tests.fixtures.fakenode import FakeNode
from tests.fixtures.node import HTML, Change, Error, Hang, Http, Reset, fault_node
from tests.fixtures.rpc import Counted, address_of, story, wanted

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "fault",
    [
        Reset(),
        HTML,
        Http(500),
        Http(429),
        Http(401, b"{}"),
        Error(-32000, "header not found"),
        Error(-32601, ""),
    ],
    ids=str,
)
async def test_what_one_endpoint_does_not_answer_another_one_does_at_once(fault: object) -> None:
    fake = story(5)
    async with (
        fault_node(fake) as first,
        fault_node(fake) as second,
        open_node([address_of(first), address_of(second, "rpc-2")]) as ours,
    ):
        await ours.chain_id()
        first.fault(fault)  # type: ignore[arg-type]
        logs = await ours.range_logs(Span(1, 5), wanted())
        assert len(logs.logs) == 10
        assert first.asked("eth_getLogs") == 1


async def test_an_endpoint_that_hangs_is_left_alone_after_some_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "COOL_DOWN_SECONDS", 3600.0)
    monkeypatch.setattr(health, "LONGEST_COOL_DOWN_SECONDS", 3600.0)
    fake = story(5)
    timing = Timing(request_seconds=0.5, retry_total_seconds=60)
    observer = Counted()
    async with fault_node(fake) as first, fault_node(fake) as second:
        addresses = [address_of(first), address_of(second, "rpc-2")]
        async with open_node(addresses, timing=timing, observer=observer) as ours:
            await ours.chain_id()
            first.fault(Hang())
            for number in range(1, 6):
                assert await ours.header(number) is not None
            assert first.asked("eth_getBlockByNumber") == 1 + 3  # the genesis block, then three failures
            assert ("rpc-1", False, None) in observer.states[1:]


async def test_a_contradiction_is_asked_of_every_other_endpoint_once() -> None:
    fake = story(5)
    drop = Change(lambda logs: [logs[0] | {"blockHash": "0x" + "77" * 32}, *logs[1:]])
    async with fault_node(fake) as first, fault_node(fake) as second, fault_node(fake) as third:
        addresses = [address_of(first), address_of(second, "rpc-2"), address_of(third, "rpc-3")]
        async with open_node(addresses) as ours:
            first.fault(drop, "eth_getLogs")
            assert len((await ours.range_logs(Span(1, 5), wanted())).logs) == 10
            second.fault(drop, "eth_getLogs")
            assert len((await ours.range_logs(Span(1, 5), wanted())).logs) == 10
            assert third.asked("eth_getLogs") == 1
            third.fault(drop, "eth_getLogs")
            before = [node.asked("eth_getLogs") for node in (first, second, third)]
            with pytest.raises(Inconsistent):
                await ours.range_logs(Span(1, 5), wanted())
            after = [node.asked("eth_getLogs") for node in (first, second, third)]
            assert after == [count + 1 for count in before]


async def test_an_endpoint_is_not_asked_above_its_head() -> None:
    chain = story(10).chain
    late = FakeNode(chain)
    late.behind = 5
    async with (
        fault_node(late) as first,
        fault_node(FakeNode(chain)) as second,
        open_node([address_of(first), address_of(second, "rpc-2")]) as ours,
    ):
        assert (await ours.head()).number == 5
        header = await ours.header(8)
        assert header is not None
        assert header.hash == chain.blocks[8].hash
        assert ["0x8", False] not in [params for _, params in first.calls]


async def test_a_block_that_one_endpoint_lacks_comes_from_another() -> None:
    chain = story(10).chain
    late = FakeNode(chain)
    late.behind = 5
    async with (
        fault_node(late) as first,
        fault_node(FakeNode(chain)) as second,
        open_node([address_of(first), address_of(second, "rpc-2")]) as ours,
    ):
        assert len((await ours.range_logs(Span(1, 10), wanted())).logs) == 20
        assert await ours.header_by_hash(chain.blocks[9].hash) is not None


async def test_what_nobody_has_is_not_concluded_while_somebody_fails() -> None:
    chain = story(10).chain
    late = FakeNode(chain)
    late.behind = 5
    timing = Timing(retry_total_seconds=3.0)
    async with fault_node(FakeNode(chain)) as first, fault_node(late) as second:
        addresses = [address_of(first), address_of(second, "rpc-2")]
        async with open_node(addresses, timing=timing) as ours:
            await ours.chain_id()
            first.fault(Reset(), times=1)
            assert await ours.header(8) is not None
            first.fault(Reset())
            with pytest.raises(Unavailable):
                await ours.header(9)
            first.heal()
        async with open_node(addresses) as ours:
            assert await ours.header(11) is None


async def test_questions_that_wait_for_the_same_check_share_its_failure() -> None:
    fake = story(5)
    timing = Timing(request_seconds=1.0, retry_total_seconds=60.0)
    async with fault_node(fake) as first, fault_node(fake) as second:
        first.fault(Hang())
        async with open_node([address_of(first), address_of(second, "rpc-2")], timing=timing) as ours:
            headers = await asyncio.gather(*(ours.header(number) for number in range(1, 6)))
        assert [header.number for header in headers if header] == [1, 2, 3, 4, 5]
        assert len(first.requests) == 1


async def test_an_endpoint_of_another_chain_is_never_used() -> None:
    observer = Counted()
    async with fault_node(story(3, chain_id=5)) as wrong, fault_node(story(3)) as right:
        addresses = [address_of(wrong), address_of(right, "rpc-2")]
        async with open_node(addresses, chain_id=31337, observer=observer) as ours:
            assert (await ours.head()).number == 3
            assert (await ours.head()).number == 3
            assert {params[:1] == ["latest"] for _, params in wrong.calls} == {False}
            assert len(wrong.calls) == 2  # its identity, once
    assert "wrong_chain" in observer.outcomes()
    assert ("rpc-1", True, None) not in observer.states


async def test_where_all_endpoints_serve_another_chain_a_person_is_asked() -> None:
    async with (
        fault_node(story(3, chain_id=5)) as first,
        fault_node(story(3, chain_id=6)) as second,
        open_node([address_of(first), address_of(second, "rpc-2")], chain_id=1) as ours,
    ):
        with pytest.raises(WrongChain, match=r"rpc-1: chain id 5 instead of 1; rpc-2: chain id 6"):
            await ours.head()
        heads = ours.heads(poll_seconds=0.01)
        with pytest.raises(WrongChain):
            await heads.run()


async def test_the_same_id_with_another_genesis_block_is_another_chain() -> None:
    chain = FakeChain()
    other = FakeBlock(0, bytes(32), 1, (), 7)
    chain.blocks[0] = other
    async with fault_node(FakeNode(chain)) as node, fault_node(story(1)) as second:
        async with open_node([address_of(second)]) as ours:
            genesis = await ours.genesis_hash()
        async with open_node([address_of(node)], genesis_hash=genesis) as ours:
            with pytest.raises(
                WrongChain, match=f"genesis block 0x{other.hash.hex()} instead of 0x{genesis.hex()}"
            ):
                await ours.head()


async def test_an_endpoint_is_checked_again_after_an_outage() -> None:
    timing = Timing(request_seconds=1.0, retry_total_seconds=2.0)
    async with fault_node(story(3)) as node, open_node([address_of(node)], timing=timing) as ours:
        assert (await ours.head()).number == 3
        node.fault(Reset())
        with pytest.raises(Unavailable):
            await ours.head()
        node.heal()
        node.chain.chain_id = 5
        with pytest.raises(WrongChain):
            await ours.head()


async def test_calls_keep_to_the_configured_rate() -> None:
    async with fault_node(story(60)) as node:
        address = address_of(node, requests_per_second=40.0)
        async with open_node([address]) as ours:
            loop = asyncio.get_running_loop()
            begun = loop.time()
            for number in range(1, 61):
                await ours.header(number)
            # 62 calls with the identity's: 40 at once, the rest at 40 a second.
            assert loop.time() - begun > 0.4
            assert len(node.calls) == 62
