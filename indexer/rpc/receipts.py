"""Blocks of a range with every receipt, for those who do not want to believe an index of logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from indexer.core.block import admitted
from indexer.core.errors import Inconsistent
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import Header, Span
from indexer.core.receipts import check_receipts
from indexer.core.source import LogFilter
from indexer.core.wire import WireBlock, WireLog, WireReceipt
from indexer.rpc.blocks import read_whole_blocks
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.proving import require_proved


@dataclass(frozen=True, slots=True)
class BlockWithReceipts:
    """A canonical block whose receipts are of its transactions, in order, with their logs numbered from 0."""

    header: Header
    wire: WireBlock
    receipts: Sequence[WireReceipt]

    def logs(self, wanted: LogFilter) -> list[WireLog]:
        """The logs that the filter lets through, in order."""
        return admitted(self.receipts, wanted)


def logs_of_blocks(span: Span, wanted: LogFilter, blocks: Sequence[BlockWithReceipts]) -> RangeLogs:
    """The filter's logs in the span, out of the receipts of all its blocks.

    Raises:
        Inconsistent: the blocks are not each other's children, or a log does not fit.
    """
    for parent, block in pairwise(blocks):
        if not block.header.follows(parent.header.id):
            raise Inconsistent(f"block {block.header.id} is not a child of {parent.header.id}")
    logs = [log for block in blocks for log in block.logs(wanted)]
    return check_range_logs(span, wanted, logs).with_headers(block.header for block in blocks)


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
