"""How many followed blocks are in memory at the same time."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from indexer.core.batch import Decoder
from indexer.core.block import Block
from indexer.core.logs import check_range_logs
from indexer.core.model import BlockId, Header, Span
from indexer.core.source import LogFilter
from indexer.metrics import Metrics
from indexer.rpc.blocks import NO_LOGS
from indexer.rpc.node import Node
from indexer.sync.blocks import READ_AHEAD, READ_AHEAD_GAS, BlockReader, Watching

pytestmark = pytest.mark.integration


class SlowNode:
    """Gives empty blocks, and remembers how many were asked for at the same time."""

    def __init__(self, headers: list[Header]) -> None:
        self._headers = {header.id: header for header in headers}
        self._running = 0
        self.most = 0

    async def block(
        self,
        block: BlockId,
        filter: LogFilter | None,  # noqa: A002
        watched: frozenset[bytes],
        transactions: bool,
    ) -> Block:
        del filter, watched, transactions
        self._running += 1
        self.most = max(self.most, self._running)
        for _ in range(2 * READ_AHEAD):
            await asyncio.sleep(0)
        self._running -= 1
        number = block.number
        return Block(self._headers[block], (), check_range_logs(Span(number, number), NO_LOGS, []))


def header(number: int, gas_used: int) -> Header:
    return Header(
        number, bytes([number] * 32), bytes(32), number, 7, gas_used, gas_used, bytes(256), bytes(32)
    )


@pytest.mark.parametrize(
    ("gas_used", "at_once"),
    [(0, READ_AHEAD), (READ_AHEAD_GAS // 3, 3), (10 * READ_AHEAD_GAS, 1)],
)
async def test_fewer_blocks_are_read_ahead_where_they_may_be_large(gas_used: int, at_once: int) -> None:
    headers = [header(number, gas_used if number == 7 else 0) for number in range(1, 17)]
    node = SlowNode(headers)
    reader = BlockReader(Decoder([]), Watching(None, frozenset(), transactions=False), Metrics("1"))
    blocks = await reader.read(cast("Node", node), headers)
    assert [block.header for block in blocks] == headers
    assert node.most == at_once
