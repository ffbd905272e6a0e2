"""Blocks of a range with every receipt, for those who do not want to believe an index of logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.core.errors import IndexerError
from indexer.core.model import Header, Span
from indexer.core.receipts import check_receipts
from indexer.core.wire import WireBlock, WireReceipt
from indexer.rpc.blocks import _ask_blocks, _present
from indexer.rpc.concurrent import AT_ONCE, fetch_all
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import Behind
from indexer.rpc.headers import numbered
from indexer.rpc.node import _BLOCKS_PER_REQUEST, Node
from indexer.rpc.ranges import narrowed


@dataclass(frozen=True, slots=True)
class BlockWithReceipts:
    """A canonical block whose receipts are of its transactions, in order, with their logs numbered from 0."""

    header: Header
    wire: WireBlock
    receipts: Sequence[WireReceipt]


async def range_receipts(node: Node, span: Span) -> list[BlockWithReceipts]:
    """The blocks of the span with their transactions and receipts, each from one endpoint.

    Raises:
        TooMuch: ask for fewer blocks. Never for a single block.
        Unavailable, Inconsistent: as of every question to the node.
    """
    parts = [
        Span(first, min(first + _BLOCKS_PER_REQUEST - 1, span.last))
        for first in range(span.first, span.last + 1, _BLOCKS_PER_REQUEST)
    ]

    async def of_part(part: Span) -> list[BlockWithReceipts]:
        async def at(endpoint: Endpoint) -> list[BlockWithReceipts]:
            return await _read(endpoint, part)

        return await node._pool.run(at, block=part.last)

    return [block for some in await fetch_all(of_part, parts, AT_ONCE) for block in some]


async def _read(endpoint: Endpoint, span: Span) -> list[BlockWithReceipts]:
    numbers = range(span.first, span.last + 1)
    try:
        wires, receipts = await _ask_blocks(endpoint, numbers)
    except IndexerError as error:
        about_span = narrowed(error, endpoint, span)
        if about_span is None:
            raise
        raise about_span from error
    found = []
    for number, wire, some in zip(numbers, wires, receipts, strict=True):
        if wire is None:
            raise Behind(f"{endpoint.name}: block {number} is not there yet")
        header = numbered(endpoint, wire, number)
        present = _present(endpoint, wire, some)
        check_receipts(header, wire.transactions, present)
        found.append(BlockWithReceipts(header, wire, present))
    return found
