"""Logs that a node left out of ranges: the audit finds every one of them, and nothing else.

`LEFT_OUT=1000` leaves out a thousand; there are as many honest blocks.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest

from tests.fixtures.commanded import Ran, Scene
from tests.fixtures.fakelogs import some_transactions
from tests.fixtures.fakenode import FakeNode
from tests.fixtures.forgetful import ForgetfulNode
from tests.fixtures.leftout import LeftOut
from tests.fixtures.node import fault_node
from tests.fixtures.truth import assert_equal_to_chain

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

LEFT_OUT = int(os.environ.get("LEFT_OUT", "30"))
Json = Any


def forgetting(scene: Scene, *, in_receipts: bool) -> LeftOut:
    """Have the scene's node leave out logs of the contracts."""
    node = ForgetfulNode(scene.chain)
    scene.node.fake = node
    addresses = {address for contract in scene.contracts for address in contract.addresses}
    return LeftOut(node, addresses, in_receipts=in_receipts)


def forget_some(scene: Scene, left_out: LeftOut, random: Random) -> set[tuple[int, int]]:
    """Mine twice as many blocks, and leave out a log in half of them; their blocks and positions."""
    chain = scene.chain
    forgotten: set[tuple[int, int]] = set()
    while len(forgotten) < LEFT_OUT or chain.head.number < 2 * LEFT_OUT:
        block = chain.mine(some_transactions(random, random.randrange(4), odd=0))
        if len(forgotten) < LEFT_OUT and random.random() < 0.7:
            position = left_out.one_of(block, random)
            if position is not None:
                forgotten.add((block.number, position))
    chain.finalize(chain.head.number)
    return forgotten


def missing_in(ran: Ran) -> set[tuple[int, int]]:
    """The events that the report calls missing; it names the source of each."""
    events = [each for each in ran.json()["differences"] if each["part"] == "event"]
    assert {each["kind"] for each in events} <= {"missing"}
    assert all(each["contract"] and each["address"] and each["event"] for each in events)
    return {(each["block"], each["position"]) for each in events}


async def audited(scene: Scene, *arguments: str, **options: Any) -> Ran:
    return await scene.command("audit", "--from-block", "0", "--json", *arguments, **options)


async def test_every_log_that_an_index_left_out_of_a_range_is_found_and_brought_and_no_other(
    scene: Scene,
) -> None:
    forgotten = forget_some(scene, forgetting(scene, in_receipts=False), Random(11))
    await scene.filled(transactions="follow")
    assert (await audited(scene)).code == 0, "the same index says the same again"

    found = await audited(scene, "--against", "receipts")
    assert found.code == 1
    assert missing_in(found) == forgotten
    assert found.json()["unsure"] == []

    async with fault_node(FakeNode(scene.chain)) as honest:
        both = {"rpc": [scene.node.url, honest.url]}
        for arguments in (["--against", "rpc-2"], ["--against", "rpc"], []):
            found = await audited(scene, *arguments, **both)
            assert missing_in(found) == forgotten, arguments
        repaired = await audited(scene, "--against", "rpc-2", "--repair", **both)
        assert repaired.code == 1
        assert repaired.json()["unrepaired_blocks"] == 0
        assert repaired.json()["repaired_blocks"] == len({block for block, _ in forgotten})
        assert (await audited(scene, "--against", "receipts", **both)).code == 0
        assert await assert_equal_to_chain(scene.database_url, honest.url, scene.contracts, complete=False)


async def test_what_no_source_has_is_reported_block_by_block_and_left_as_it_is(scene: Scene) -> None:
    left_out = forgetting(scene, in_receipts=True)
    forgotten = forget_some(scene, left_out, Random(12))
    await scene.filled(transactions="follow")
    before = await scene.value("select count(*) from indexer.event")

    found = await audited(scene, "--against", "receipts", "--repair")
    assert found.code == 2
    assert found.json()["differences"] == []
    unsure = found.json()["unsure"]
    assert {(each["first_block"], each["last_block"]) for each in unsure} == {
        (block, block) for block, _ in forgotten
    }
    assert all(
        f"block {each['first_block']}: its receipts give the root" in each["reason"] for each in unsure
    )
    assert found.json()["proofs"]["wrong"] >= len(forgotten)
    assert await scene.value("select count(*) from indexer.event") == before

    # As soon as it has them again they are brought.
    left_out.clear()
    repaired = await audited(scene, "--repair")
    assert {each["block"] for each in repaired.json()["differences"]} == {block for block, _ in forgotten}
    assert await assert_equal_to_chain(scene.database_url, scene.node.url, scene.contracts, complete=False)
