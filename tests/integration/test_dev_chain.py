"""The development chain does what it is told: mine, reorg, rewind, deploy, emit."""

from __future__ import annotations

import asyncio
import json
import time
import tomllib
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_hash.auto import keccak

from indexer.core.abi import events_of_abi
from indexer.core.errors import Fatal, Unavailable
from indexer.dev.anvil import Anvil
from indexer.dev.chain import Chain, Refused
from indexer.dev.devchain import HISTORY_BLOCK_SECONDS, REORG_TRANSACTIONS, DevChain
from indexer.dev.history import past_events
from indexer.dev.samples import SAMPLES
from tests.fixtures.anvil import AnvilFactory, DevChainFactory

pytestmark = pytest.mark.integration


def topic(signature: str) -> str:
    return "0x" + keccak(signature.encode()).hex()


async def logs_of(dev: DevChain, *names: str) -> list[dict[str, Any]]:
    """All logs of the named samples, after the block that created them."""
    asked = {
        "fromBlock": "0x2",
        "toBlock": "latest",
        "address": [dev.contracts[name].address for name in names],
    }
    return list(await dev.chain.call("eth_getLogs", asked))


async def transactions_from(dev: DevChain, first: int) -> list[str]:
    blocks = range(first, await dev.chain.block_number() + 1)
    return [one for number in blocks for one in (await dev.chain.block(number))["transactions"]]


async def test_a_reorg_of_empty_blocks_makes_other_blocks_each_time(dev_chain: DevChain) -> None:
    # So many empty blocks bring the base fee to its minimum: nothing changes from block to block any more.
    await dev_chain.chain.mine(203)
    parent = await dev_chain.chain.block(202)
    hashes = set()
    for _ in range(4):
        head = await dev_chain.chain.block("latest")
        assert int(head["number"], 16) == 204
        assert (await dev_chain.chain.block(203))["parentHash"] == parent["hash"]
        hashes.add(head["hash"])
        await dev_chain.chain.reorg(2)
    assert len(hashes) == 4


async def test_a_reorg_takes_away_what_is_not_asked_for_again(dev_chain: DevChain) -> None:
    token, chain, (one, two, *_) = dev_chain.contracts["Token"], dev_chain.chain, dev_chain.accounts
    kept, lost = token.call(one, "approve", two, 1), token.call(two, "approve", one, 2)
    kept_hash, lost_hash = await chain.send(kept, lost)
    await chain.mine(2)
    await chain.reorg(2, [(kept, 1)])
    assert await chain.call("eth_getTransactionReceipt", lost_hash) is None
    assert (await chain.receipt(kept_hash))["blockNumber"] == "0x3"
    assert [log["transactionHash"] for log in await logs_of(dev_chain, "Token")] == [kept_hash]


async def test_replayed_reorgs_keep_most_transactions_and_leave_none_pending(dev_chain: DevChain) -> None:
    for _ in range(10):
        await dev_chain.step(6)
    for depth in (1, 2, 5, 10):
        old = await dev_chain.chain.block("latest")
        before = set(await transactions_from(dev_chain, 12 - depth))
        done = await dev_chain.reorg(depth)
        assert (done.fork, done.depth) == (11 - depth, depth)
        new = await dev_chain.chain.block("latest")
        assert new["number"] == old["number"]
        assert new["hash"] != old["hash"]
        mined = await transactions_from(dev_chain, done.fork + 1)
        assert done.replaced == len(before)
        assert done.dropped < done.replaced // 2
        assert len(mined) == done.replaced - done.dropped + REORG_TRANSACTIONS
        assert before & set(mined)
        assert await dev_chain.chain.call("txpool_status") == {"pending": "0x0", "queued": "0x0"}


async def test_the_same_seed_gives_the_same_chain(dev_chain_factory: DevChainFactory) -> None:
    heads = []
    for seed in (5, 5, 6):
        dev = await dev_chain_factory(seed=seed, history_blocks=5)
        await dev.step(10)
        await dev.reorg(3)
        await dev.step(2)
        heads.append((await dev.chain.block("latest"))["hash"])
    assert heads[0] == heads[1] != heads[2]


async def test_a_history_without_a_given_time_ends_about_now(dev_chain_factory: DevChainFactory) -> None:
    before = int(time.time())
    dev = await dev_chain_factory(genesis_time=None, history_blocks=4)
    times = [int((await dev.chain.block(number))["timestamp"], 16) for number in range(6)]
    assert [later - earlier for earlier, later in pairwise(times)] == [HISTORY_BLOCK_SECONDS] * 5
    await dev.step()
    new = int((await dev.chain.block("latest"))["timestamp"], 16)
    assert before <= times[-1] <= new <= time.time() + 1


async def test_traffic_uses_every_contract_and_fails_in_every_way(dev_chain: DevChain) -> None:
    for _ in range(20):
        await dev_chain.step(40)
    outcomes: Counter[str] = Counter()
    for number in range(2, 22):
        limits = {
            one["hash"]: one["gas"]
            for one in (await dev_chain.chain.block(number, transactions=True))["transactions"]
        }
        for receipt in await dev_chain.chain.call("eth_getBlockReceipts", hex(number)):
            burnt = receipt["gasUsed"] == limits[receipt["transactionHash"]]
            outcomes["ok" if receipt["status"] == "0x1" else "burnt" if burnt else "reverted"] += 1
    assert sum(outcomes.values()) == 800
    assert outcomes["ok"] > 650
    assert outcomes["burnt"] >= 5
    assert outcomes["reverted"] >= 10
    assert {log["address"] for log in await logs_of(dev_chain, *SAMPLES)} == {
        one.address for one in dev_chain.contracts.values()
    }
    topics = {log["topics"][0] for log in await logs_of(dev_chain, *SAMPLES) if log["topics"]}
    assert topic("ProfileCreated(address,string,uint256)") in topics
    assert topic("ProfileCreated(address,string,uint256,uint256)") in topics
    assert len(topics) >= 25


async def test_past_events_are_as_many_as_it_says(dev_chain: DevChain) -> None:
    made = await past_events(
        dev_chain.chain, list(dev_chain.contracts.values()), blocks=3, transactions=6, events=50
    )
    assert made == len(await logs_of(dev_chain, *SAMPLES)) == 3 * 6 * 50
    assert await dev_chain.chain.block_number() == 4


async def test_odd_logs_are_emitted_as_they_were_given(dev_chain: DevChain) -> None:
    odd, who = dev_chain.contracts["Oddities"], dev_chain.accounts[0]
    topics = [bytes([number]) * 32 for number in range(5)]
    said = b"a\x00b\xff"
    await dev_chain.chain.send(
        odd.call(who, "say", said),
        odd.call(who, "silent", 7, "hidden"),
        *(odd.call(who, "log", topics[:count], bytes(range(count))) for count in range(5)),
        odd.call(who, "log", topics, b""),
        odd.call(who, "hashed", "label", b"blob", [1, 2], "text"),
        odd.call(who, "listed", 1, 3),
        *(odd.call(who, name) for name in ("nothing", "extremes")),
    )
    await dev_chain.chain.mine()
    logs = await logs_of(dev_chain, "Oddities")
    assert logs[0]["topics"] == [topic("Text(string)")]
    assert bytes.fromhex(logs[0]["data"][2:])[64:68] == said
    assert logs[1]["topics"] == ["0x" + (7).to_bytes(32, "big").hex()]
    for count in range(5):
        assert logs[2 + count]["topics"] == ["0x" + one.hex() for one in topics[:count]]
        assert logs[2 + count]["data"] == "0x" + bytes(range(count)).hex()
    hashed, listed, nothing, extremes = logs[7:]
    assert hashed["topics"][1:3] == [topic("label"), topic("blob")]
    (entries,) = decode(["(address,uint256,string,uint8[2])[]"], bytes.fromhex(listed["data"][2:]))
    assert [entry[1:] for entry in entries] == [(2**256 - 1 - at, "a note", (at, 255)) for at in range(3)]
    assert nothing["data"] == "0x"
    types = ["int8", "int64", "uint64", "int256", "uint256", "bytes1", "bytes32"]
    assert decode(types, bytes.fromhex(extremes["data"][2:]))[:5] == (
        -(2**7), -(2**63), 2**64 - 1, -(2**255), 2**256 - 1
    )  # fmt: skip


async def test_a_snapshot_is_gone_once_it_was_gone_back_to(anvil: Anvil) -> None:
    async with Chain(anvil.url) as chain:
        await chain.mine(2)
        snapshot = await chain.snapshot()
        await chain.mine(3)
        await chain.rollback(1)
        assert await chain.block_number() == 4
        await chain.revert(snapshot)
        assert await chain.block_number() == 2
        with pytest.raises(Fatal, match="no snapshot"):
            await chain.revert(snapshot)


async def test_errors_tell_what_was_refused_and_never_the_address(anvil_factory: AnvilFactory) -> None:
    anvil = await anvil_factory()
    async with Chain(anvil.url) as chain:
        with pytest.raises(Refused, match=r"eth_nonsense was refused \(-32601\)"):
            await chain.call("eth_nonsense")
        with pytest.raises(Unavailable, match="no block 77"):
            await chain.block(77)
        await anvil.stop()
        with pytest.raises(Unavailable) as raised:
            await chain.block_number()
        assert str(anvil.port) not in str(raised.value)


async def test_traffic_and_reorgs_go_on_side_by_side_until_cancelled(
    dev_chain_factory: DevChainFactory,
) -> None:
    dev = await dev_chain_factory(block_seconds=0.05, history_blocks=3)
    tasks = [asyncio.create_task(dev.traffic(100)), asyncio.create_task(dev.reorgs(0.2))]
    fork_seen = False
    known: dict[str, str] = {}
    try:
        while not fork_seen or len(known) < 12:
            block = await dev.chain.block("latest")
            fork_seen |= known.setdefault(block["number"], block["hash"]) != block["hash"]
            assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)


async def test_the_configuration_names_every_contract_and_where_its_abi_is(dev_chain: DevChain) -> None:
    text = dev_chain.config(
        database_url='postgresql://"odd"@localhost/x', listen="127.0.0.1:0", poll_seconds=0.1
    )
    config = tomllib.loads(text)
    assert config["chain"] == {"id": 31337, "rpc": [dev_chain.rpc_url, dev_chain.ws_url], "poll_seconds": 0.1}
    assert config["database"] == {"url": 'postgresql://"odd"@localhost/x'}
    assert config["http"] == {"listen": "127.0.0.1:0"}
    assert [one["name"] for one in config["contracts"]] == list(SAMPLES)
    for one in config["contracts"]:
        abi = dev_chain.contracts[one["name"]].abi
        assert one["abi"] == str(abi)
        assert events_of_abi(json.loads(abi.read_text("utf-8")))
        assert one["start_block"] == 1
        assert len(await dev_chain.chain.call("eth_getCode", one["address"], "latest")) > 2
    assert set(tomllib.loads(dev_chain.config())) == {"chain", "contracts"}
