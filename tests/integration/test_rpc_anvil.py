"""The node's side on a real chain: Anvil, over HTTP and WebSocket, reorgs included."""

from __future__ import annotations

import asyncio

import pytest

from indexer.core.errors import Unavailable
from indexer.core.model import Span
from indexer.core.source import LogFilter
from indexer.rpc.address import EndpointAddress
from indexer.rpc.opening import open_node
from indexer.rpc.probe import probe
from tests.fixtures.anvil import DevChainFactory
from tests.fixtures.node import Error, fault_node
from tests.fixtures.rpc import Counted, address_of, story, wanted

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_real_chain_is_read_the_same_in_every_way(
    scheme: str, dev_chain_factory: DevChainFactory
) -> None:
    dev = await dev_chain_factory()
    for _ in range(12):
        await dev.step(3)
    addresses = [bytes.fromhex(each.address[2:]) for each in dev.contracts.values()]
    everything = LogFilter(tuple(addresses), None)
    watched = frozenset(addresses)
    observer = Counted()
    url = dev.rpc_url if scheme == "http" else dev.ws_url
    async with open_node([EndpointAddress("anvil", url)], observer=observer) as node:
        head = await node.head()
        assert head.number == await dev.chain.block_number()
        span = Span(1, head.number)
        in_ranges = await node.range_logs(span, everything)
        transactions, hashes = await node.range_transactions(span, watched)
        headers = await node.headers(range(1, head.number + 1))
        blocks = [await node.block(header.id, everything, watched, transactions=True) for header in headers]
        assert in_ranges.logs == [log for block in blocks for log in block.logs.logs]
        assert len(in_ranges.logs) > 12
        assert in_ranges.untimed == []
        assert transactions == [each for block in blocks for each in block.transactions]
        assert hashes == {header.number: header.hash for header in headers}
        assert await node.header(head.number + 1) is None
        assert await node.finalized() is not None
        assert await node.chain_id() == 31337
    assert observer.outcomes() == {"ok"}


async def test_a_reorg_on_a_real_chain_is_seen_and_the_old_block_is_gone(
    dev_chain_factory: DevChainFactory,
) -> None:
    dev = await dev_chain_factory()
    for _ in range(5):
        await dev.step(1)
    addresses = [EndpointAddress("http", dev.rpc_url), EndpointAddress("ws", dev.ws_url)]
    async with open_node(addresses) as node, asyncio.timeout(60):
        heads = node.heads(poll_seconds=0.05)
        watch = asyncio.create_task(heads.run())
        try:
            old = await heads.next_after(None)
            await dev.reorg(2)
            new = await heads.next_after(old.id)
            assert new.number == old.number
            assert new.hash != old.hash
            with pytest.raises(Unavailable):
                await node.block(old.id, None, frozenset(), transactions=True)
            assert (await node.block(new.id, None, frozenset(), transactions=True)).header == new
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


async def test_a_fault_in_front_of_a_real_chain_is_overcome(dev_chain_factory: DevChainFactory) -> None:
    dev = await dev_chain_factory()
    await dev.step(2)
    async with fault_node(upstream=dev.rpc_url) as proxy, open_node([address_of(proxy)]) as node:
        proxy.fault(Error(-32005, "rate limit exceeded, retry in 50ms"), times=2)
        head = await node.head()
        block = await node.block(head.id, None, frozenset(), transactions=True)
    assert block.header == head


async def test_the_probe_tells_what_a_node_can_do(dev_chain_factory: DevChainFactory) -> None:
    dev = await dev_chain_factory()
    for _ in range(15):
        await dev.step(1)
    everything = LogFilter(tuple(bytes.fromhex(each.address[2:]) for each in dev.contracts.values()), None)
    found = await probe(EndpointAddress("anvil", dev.ws_url), chain_id=31337, wanted=everything)
    assert {each.subject.removeprefix("anvil: "): each.ok for each in found} == {
        "chain id": True,
        "software": None,
        "finalized tag": True,
        "block receipts": True,
        "proof": True,
        "bloom filter": True,
        "eth_getLogs": True,
        "block times in logs": True,
        "new heads": True,
    }


async def test_the_probe_names_every_shortcoming_with_a_remedy() -> None:
    fake = story(2_000, logs=0)
    fake.knows_finality = False
    fake.most_blocks = 500
    async with fault_node(fake) as node:
        node.fault(Error(-32601, "Method not found"), "eth_getBlockReceipts")
        found = await probe(address_of(node), chain_id=1, wanted=wanted())
        by_subject = {each.subject.removeprefix("rpc-1: "): each for each in found}
        assert by_subject["chain id"].ok is False
        assert by_subject["chain id"].remedy
        assert by_subject["finalized tag"].ok is None
        assert by_subject["block receipts"].ok is None
        assert by_subject["eth_getLogs"].ok is True
        assert "up to 100 blocks at least; it says: 500 blocks" in by_subject["eth_getLogs"].message
        assert node.asked("eth_getLogs") <= 4
    gone = await probe(address_of(node), chain_id=1, wanted=wanted())
    assert [each.ok for each in gone] == [False]
    assert gone[0].remedy
