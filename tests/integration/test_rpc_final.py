"""Ranges are believed of endpoints only that have the block which is final."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeAlias

import pytest

from indexer.core.errors import Inconsistent, Unavailable
from indexer.core.model import BlockId, Span
from indexer.rpc.node import Node
from indexer.rpc.opening import open_node
from indexer.rpc.transport import Timing
from tests.fixtures.fakenode import FakeNode
from tests.fixtures.node import fault_node
from tests.fixtures.rpc import WATCHED, address_of, block_of, story, wanted

pytestmark = pytest.mark.integration

Question: TypeAlias = Callable[[Node, BlockId], Awaitable[object]]
SPAN = Span(1, 8)
ASKED: dict[str, Question] = {
    "logs": lambda node, final: node.range_logs(SPAN, wanted(), final=final),
    "logs and headers": lambda node, final: node.range_logs(SPAN, wanted(), "bloom", final),
    "logs out of receipts": lambda node, final: node.range_logs(SPAN, wanted(), "receipts", final),
    "transactions": lambda node, final: node.range_transactions(SPAN, frozenset({WATCHED}), final=final),
}


def changed(node: FakeNode, fork: int) -> None:
    """The chain goes another way above the fork."""
    blocks = node.chain.head.number - fork
    node.chain.roll_back(blocks)
    for _ in range(blocks):
        node.chain.mine(block_of(Random(99)))


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED.keys())
async def test_a_range_of_a_chain_without_the_final_block_is_not_believed(ask: Question) -> None:
    fake = story(12)
    final = fake.chain.blocks[10]
    async with (
        fault_node(fake) as node,
        open_node([address_of(node)], timing=Timing(retry_total_seconds=2)) as ours,
    ):
        await ask(ours, BlockId(final.number, final.hash))
        changed(fake, 9)
        with pytest.raises(Inconsistent, match=r"block 10 .* in the place of our 10 .* which was final"):
            await ask(ours, BlockId(final.number, final.hash))


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED.keys())
async def test_an_endpoint_that_has_it_is_asked_instead(ask: Question) -> None:
    fake, other = story(12), story(12)
    final = fake.chain.blocks[10]
    changed(other, 9)
    async with (
        fault_node(other) as strayed,
        fault_node(fake) as node,
        open_node([address_of(strayed, "rpc-1"), address_of(node, "rpc-2")]) as ours,
    ):
        await ask(ours, BlockId(final.number, final.hash))


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED.keys())
async def test_an_endpoint_that_does_not_reach_it_is_not_believed(ask: Question) -> None:
    fake = story(12)
    final = fake.chain.blocks[10]
    fake.chain.roll_back(3)
    async with (
        fault_node(fake) as node,
        open_node([address_of(node)], timing=Timing(retry_total_seconds=1)) as ours,
    ):
        with pytest.raises(Unavailable):
            await ask(ours, BlockId(final.number, final.hash))
