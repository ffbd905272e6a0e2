"""Blocks of a range with every receipt, for those who do not want to believe an index of logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.core.model import Header, Span
from indexer.core.receipts import check_receipts
from indexer.core.wire import WireBlock, WireReceipt
from indexer.rpc.blocks import read_whole_blocks
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.proving import require_proved


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
    found = []
    for header, wire, receipts in await read_whole_blocks(endpoint, span):
        check_receipts(header, wire.transactions, receipts)
        if prove:
            await require_proved(endpoint, header.id, wire, receipts)
        found.append(BlockWithReceipts(header, wire, receipts))
    return found
