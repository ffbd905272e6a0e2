"""`indexer check` names the level of proof that works at an endpoint, and what of the configuration cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from indexer.core.finding import Finding
from indexer.rpc.probe import probe
from indexer.rpc.proofprobe import Configured
from tests.fixtures.fakechain import FakeChain
from tests.fixtures.fakelogs import LEDGER_ABI, LEDGER_ADDRESSES, some_transactions
from tests.fixtures.fakenode import FakeNode
from tests.fixtures.node import Change, Error, FaultNode, fault_node
from tests.fixtures.program import command, write_config
from tests.fixtures.rpc import address_of, story, wanted
from tests.fixtures.truth_expected import TrueContract

pytestmark = pytest.mark.integration
Json = Any
LINKED = Configured(follow="linked")
EMPTY_BLOOM = "0x" + "00" * 256


def of_blocks(node: FaultNode, change: Callable[[Json], Json], *, only: int | None = None) -> None:
    """Have the node tell its blocks, or one of them, in another way."""

    def changed(block: Json) -> Json:
        return change(block) if block and (only is None or int(block["number"], 16) == only) else block

    for method in ("eth_getBlockByNumber", "eth_getBlockByHash"):
        node.fault(Change(changed), method)


def hashed_otherwise(block: Json) -> Json:
    """What commits to something that is nowhere in the answer looks like this."""
    return {**block, "extraData": "0x77"} if block["number"] != "0x0" else block


async def findings(node: FaultNode, configured: Configured | None = None) -> dict[str, Finding]:
    found = await probe(address_of(node), chain_id=None, wanted=wanted(), proof=configured)
    return {each.subject.removeprefix("rpc-1: "): each for each in found}


def final(blocks: int) -> FakeNode:
    fake = story(blocks)
    fake.chain.finalize(blocks - 5)
    return fake


async def test_a_chain_like_ethereum_is_proved_by_receipts() -> None:
    async with fault_node(final(20)) as node:
        found = await findings(node)
        assert (found["proof"].ok, found["proof"].message) == (True, "receipts (proved 3 of 3 blocks)")
        assert (found["bloom filter"].ok, found["proof"].remedy) == (True, "")
        modest = await findings(node, Configured("linked", "linked", logs_bloom=False))
        assert 'chain.proof = "receipts" would work here' in modest["proof"].message
        assert "chain.logs_bloom = true would work here" in modest["bloom filter"].message
        assert modest["bloom filter"].ok is None


@pytest.mark.parametrize("change", [hashed_otherwise])
async def test_a_chain_that_hashes_its_blocks_in_a_way_of_its_own_is_named(
    change: Callable[[Json], Json],
) -> None:
    async with fault_node(final(20)) as node:
        of_blocks(node, change)
        found = (await findings(node))["proof"]
        assert found.ok is False
        assert found.message.startswith("linked: this chain hashes its blocks in a way of its own")
        assert "proved 0 of 3 blocks" in found.message
        assert 'set chain.proof = "linked"' in found.remedy
        assert (await findings(node, LINKED))["proof"].ok is True
        demanding = await findings(node, Configured("linked", "receipts"))
        assert demanding["proof"].ok is False, "of the backfill they are wanted all the same"


async def test_a_chain_whose_receipts_are_hashed_otherwise_is_named() -> None:
    def other_receipts(receipts: Json) -> Json:
        return [{**each, "type": "0x0"} for each in receipts]

    async with fault_node(final(20)) as node:
        node.fault(Change(other_receipts), "eth_getBlockReceipts")
        found = (await findings(node))["proof"]
        assert (found.ok, 'chain.proof = "linked"' in found.remedy) == (False, True)
        assert found.message.startswith("linked: this chain hashes its receipts in a way of its own")


async def test_one_wrong_block_of_three_is_the_nodes_fault() -> None:
    async with fault_node(final(20)) as node:
        of_blocks(node, hashed_otherwise, only=14)
        found = (await findings(node))["proof"]
        assert found.ok is False
        assert found.message.startswith("wrong (proved 2 of 3 blocks): block 14: its fields give the hash")
        assert "do not use it" in found.remedy


async def test_fields_and_types_that_are_not_known_cannot_be_told() -> None:
    async with fault_node(final(20)) as node:
        of_blocks(node, lambda block: {**hashed_otherwise(block), "futureRoot": "0x" + "55" * 32})
        found = (await findings(node))["proof"]
        assert found.ok is None
        assert "cannot tell (proved 0 of 3 blocks)" in found.message and "futureRoot" in found.message
        assert "second endpoint" in found.remedy
    async with fault_node(final(20)) as node:
        node.fault(
            Change(lambda receipts: [{**each, "type": "0x64"} for each in receipts]), "eth_getBlockReceipts"
        )
        found = (await findings(node))["proof"]
        assert (found.ok, "unknown type 0x64" in found.message) == (None, True)


async def test_without_block_receipts_those_of_each_transaction_serve() -> None:
    async with fault_node(final(20)) as node:
        node.fault(Error(-32601, "Method not found"), "eth_getBlockReceipts")
        assert (await findings(node))["proof"].ok is True
        node.fault(Error(-32601, "Method not found"), "eth_getTransactionReceipt")
        found = (await findings(node))["proof"]
        assert (found.ok, "chain.transactions" in found.remedy) == (False, True)


async def test_a_chain_that_leaves_its_bloom_filters_empty_is_named() -> None:
    async with fault_node(final(20)) as node:
        of_blocks(node, lambda block: {**block, "logsBloom": EMPTY_BLOOM})
        found = (await findings(node, LINKED))["bloom filter"]
        assert (found.ok, "chain.logs_bloom = false" in found.remedy) == (False, True)
        without = Configured(follow="linked", logs_bloom=False)
        assert (await findings(node, without))["bloom filter"].ok is True


async def test_a_chain_that_has_just_begun_is_proved_as_far_as_it_goes() -> None:
    async with fault_node(story(0)) as node:
        found = await findings(node)
        assert found["proof"].message == "receipts (proved 1 of 1 blocks, none of them with transactions)"
        assert found["bloom filter"].ok is None


async def test_the_command_fails_with_a_remedy_and_passes_once_that_was_followed(
    empty_database_url: str, tmp_path: Path
) -> None:
    chain, random = FakeChain(), Random(3)
    for _ in range(20):
        chain.mine(some_transactions(random, 3, odd=0.0))
    chain.finalize(18)
    contracts = (TrueContract("Ledger", LEDGER_ADDRESSES, LEDGER_ABI),)

    async with fault_node(FakeNode(chain)) as node:
        of_blocks(node, hashed_otherwise)

        async def check(**settings: object) -> dict[str, Json]:
            path = write_config(
                tmp_path, contracts, rpc=[node.url], database_url=empty_database_url, chain=settings
            )
            outcome = await command("check", "--config", str(path), "--json")
            found = {each["subject"]: each for each in outcome.json()["findings"]}
            assert outcome.code == int(found["rpc-1: proof"]["ok"] is False), outcome.said
            return found

        failed = (await check())["rpc-1: proof"]
        assert 'set chain.proof = "linked"' in failed["remedy"]
        assert (await check(proof="linked"))["rpc-1: proof"]["ok"] is True
