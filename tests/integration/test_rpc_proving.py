"""A node that leaves out or alters a log, however consistently, is found out by the block's hash."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import pytest

from indexer.core.errors import Inconsistent, Unavailable
from indexer.core.model import BlockId
from indexer.core.proof import Verdict
from indexer.rpc import pool
from indexer.rpc.opening import open_node
from tests.fixtures.node import Change, FaultNode, fault_node
from tests.fixtures.rpc import WATCHED, Counted, address_of, story, wanted

pytestmark = pytest.mark.integration
Json = Any
BLOCKS = 60
WATCH = frozenset({WATCHED})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause before a second attempt is longer than the total time, so the first failure is what is seen."""
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 1000.0)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_SECONDS", 1000.0)


def renumbered(receipts: Json) -> Json:
    """The receipts with their logs counted through, as a node that never had the missing one would say."""
    at = 0
    for receipt in receipts:
        for log in receipt["logs"]:
            log["logIndex"] = hex(at)
            at += 1
    return receipts


def without_one_log(random: Random) -> Callable[[Json], Json]:
    def lie(receipts: Json) -> Json:
        receipts = deepcopy(receipts)
        logs = random.choice([receipt["logs"] for receipt in receipts if receipt["logs"]])
        logs.pop(random.randrange(len(logs)))
        return renumbered(receipts)

    return lie


def with_one_bit_changed(random: Random) -> Callable[[Json], Json]:
    def lie(receipts: Json) -> Json:
        receipts = deepcopy(receipts)
        log = random.choice([log for receipt in receipts for log in receipt["logs"]])
        data = int(log["data"] if len(log["data"]) > 2 else "0x0", 16) ^ (1 << random.randrange(200))
        log["data"] = f"0x{data:064x}"
        return receipts

    return lie


def lying(node: FaultNode, lie: Callable[[Json], Json]) -> None:
    """Have the node tell the same lie in its receipts and in its logs."""
    told: dict[str, Json] = {}

    def receipts(honest: Json) -> Json:
        key = honest[0]["blockHash"]
        told[key] = lie(honest)
        return told[key]

    def logs(honest: Json) -> Json:
        if not honest or honest[0]["blockHash"] not in told:
            return honest
        admitted = {(log["address"], log["topics"][0]) for log in honest}
        return [
            {**log, "blockHash": honest[0]["blockHash"], "blockNumber": honest[0]["blockNumber"]}
            for receipt in told[honest[0]["blockHash"]]
            for log in receipt["logs"]
            if (log["address"], log["topics"][0] if log["topics"] else None) in admitted
        ]

    node.fault(Change(receipts), "eth_getBlockReceipts")
    node.fault(Change(logs), "eth_getLogs")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", [without_one_log, with_one_bit_changed])
async def test_every_missing_or_altered_log_is_found(
    kind: Callable[[Random], Callable[[Json], Json]],
) -> None:
    counted = Counted()
    async with (
        fault_node(story(BLOCKS)) as node,
        open_node([address_of(node)], prove=True, observer=counted) as ours,
    ):
        lying(node, kind(Random(7)))
        for block in node.chain.blocks[1:]:
            with pytest.raises((Inconsistent, Unavailable)):
                await ours.block(BlockId(block.number, block.hash), wanted(), WATCH, transactions=True)
    assert counted.proofs == [("rpc-1", Verdict.WRONG)] * BLOCKS


async def test_honest_blocks_are_proved_and_never_called_wrong() -> None:
    counted = Counted()
    async with (
        fault_node(story(BLOCKS)) as node,
        open_node([address_of(node)], prove=True, observer=counted) as ours,
    ):
        for block in node.chain.blocks[1:]:
            assert (
                len(
                    (
                        await ours.block(
                            BlockId(block.number, block.hash), wanted(), WATCH, transactions=True
                        )
                    ).logs.logs
                )
                == 2
            )
    assert counted.proofs == [("rpc-1", Verdict.PROVED)] * BLOCKS


async def test_what_one_endpoint_leaves_out_another_one_gives() -> None:
    fake = story(5)
    async with (
        fault_node(fake) as liar,
        fault_node(fake) as honest,
        open_node([address_of(liar), address_of(honest, "rpc-2")], prove=True) as ours,
    ):
        lying(liar, without_one_log(Random(3)))
        for block in fake.chain.blocks[1:]:
            assert (
                len(
                    (
                        await ours.block(
                            BlockId(block.number, block.hash), wanted(), WATCH, transactions=True
                        )
                    ).logs.logs
                )
                == 2
            )


async def test_a_fork_that_adds_fields_to_the_header_is_no_lie() -> None:
    counted = Counted()
    async with (
        fault_node(story(3)) as node,
        open_node([address_of(node)], prove=True, observer=counted) as ours,
    ):
        # The hash then commits to a field whose place we do not know: for us, it is not that of the others.
        node.fault(
            Change(lambda block: {**block, "extraData": "0x1234", "futureRoot": "0x" + "55" * 32}),
            "eth_getBlockByHash",
        )
        for block in node.chain.blocks[1:]:
            await ours.block(BlockId(block.number, block.hash), wanted(), WATCH, transactions=True)
    assert counted.proofs == [("rpc-1", Verdict.CANNOT_TELL)] * 3
