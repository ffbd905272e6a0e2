"""Blocks of a range with every receipt, for those who do not want to believe an index of logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.core.errors import IndexerError
from indexer.core.model import Header, Span
from indexer.core.receipts import check_receipts
from indexer.core.wire import WireBlock, WireReceipt
from indexer.rpc.blocks import ask_blocks, present_receipts
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import Behind
from indexer.rpc.headers import numbered
from indexer.rpc.proving import require_proved
from indexer.rpc.ranges import narrowed


@dataclass(frozen=True, slots=True)
class BlockWithReceipts:
    """A canonical block whose receipts are of its transactions, in order, with their logs numbered from 0."""

    header: Header
    wire: WireBlock
    receipts: Sequence[WireReceipt]


async def read_receipts(endpoint: Endpoint, span: Span, *, prove: bool) -> list[BlockWithReceipts]:
    """The canonical blocks of the span with their transactions and receipts.

    Args:
        prove: whether the receipts are to be proved by each block's hash.

    Raises:
        TooMuch: fewer blocks are wanted.
        Behind: the endpoint does not have all of them.
        Inconsistent: a block and its receipts do not agree.
    """
    numbers = range(span.first, span.last + 1)
    try:
        wires, receipts = await ask_blocks(endpoint, numbers)
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
        present = present_receipts(endpoint, wire, some)
        check_receipts(header, wire.transactions, present)
        if prove:
            await require_proved(endpoint, header.id, wire, present)
        found.append(BlockWithReceipts(header, wire, present))
    return found
