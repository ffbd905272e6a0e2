"""What the chain says about blocks that are stored already: read once from ranges, once more from receipts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from indexer.core.difference import same_logs
from indexer.core.errors import Inconsistent
from indexer.core.logs import RangeLogs
from indexer.core.model import Span, Transaction
from indexer.core.receipts import watched_transactions
from indexer.core.source import LogFilter, Source, filter_of
from indexer.core.wire import WireLog
from indexer.rpc.blocks import NO_LOGS
from indexer.rpc.node import Node
from indexer.rpc.receipts import BlockWithReceipts, logs_of_blocks


@dataclass(frozen=True, slots=True)
class Truth:
    """What the node says about some blocks."""

    logs: RangeLogs
    #: None: they were not read.
    transactions: list[Transaction] | None
    #: The hash of each block that was read as a whole.
    hashes: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose logs and transactions are asked for."""

    events: tuple[Source, ...]
    #: The addresses whose transactions are wanted; only receipts tell them.
    mined: frozenset[bytes]

    @property
    def filter(self) -> LogFilter:
        """Lets through every log of the events."""
        return filter_of(self.events) if self.events else NO_LOGS


class TruthReader:
    """Reads the same blocks in two ways, so that a node has to err twice to be believed."""

    def __init__(self, node: Node, *, receipts: bool) -> None:
        """
        Args:
            receipts: take logs, and transactions, out of every block's receipts instead of asking for logs.
        """
        self._node = node
        self.receipts = receipts

    def most_blocks(self) -> int | None:
        """The longest range that the node takes by its own word; None where it has not said."""
        return self._node.most_blocks()

    async def read(self, span: Span, asked: Asked) -> Truth:
        """What the node says about the blocks.

        Raises:
            TooMuch: ask for fewer blocks.
            Unavailable, Inconsistent: as of every question to the node.
        """
        if self.receipts:
            return self._truth_of(span, asked, await self._node.range_receipts(span))
        return Truth(await self._node.range_logs(span, asked.filter), None, {})

    async def confirmed(
        self,
        number: int,
        asked: Asked,
        logs: Sequence[WireLog],
        transactions: Sequence[Transaction] | None,
    ) -> Truth:
        """One of the blocks read once more, always with its receipts.

        Raises:
            Inconsistent: it has other logs or transactions than `read` said, or its receipts have.
        """
        second = await self._read_again(number, asked)
        if not same_logs(logs, second.logs.logs) or transactions != second.transactions:
            raise Inconsistent(f"the node told two different things about block {number}")
        return second

    async def _read_again(self, number: int, asked: Asked) -> Truth:
        if self.receipts:
            return await self.read(Span(number, number), asked)
        header = await self._node.header(number)
        if header is None:
            raise Inconsistent(f"block {number} is not there any more")
        block = await self._node.block(header.id, asked.filter, frozenset(), transactions=True)
        return Truth(block.logs, None, {number: header.hash})

    def _truth_of(self, span: Span, asked: Asked, blocks: Sequence[BlockWithReceipts]) -> Truth:
        """The logs and transactions that were asked for, out of whole blocks."""
        transactions = [
            each
            for block in blocks
            for each in watched_transactions(
                block.header, block.wire.transactions, block.receipts, asked.mined
            )
        ]
        logs = logs_of_blocks(span, asked.filter, blocks)
        return Truth(logs, transactions, {block.header.number: block.header.hash for block in blocks})


def split_by_block(
    truth: Truth, blocks: Iterable[int]
) -> dict[int, tuple[list[WireLog], list[Transaction] | None]]:
    """The logs and transactions of each of these blocks."""
    found: dict[int, tuple[list[WireLog], list[Transaction] | None]] = {
        number: ([], None if truth.transactions is None else []) for number in blocks
    }
    for log_ in truth.logs.logs:
        if (number := int(log_.block_number, 16)) in found:
            found[number][0].append(log_)
    for transaction in truth.transactions or ():
        if transaction.block_number in found:
            some = found[transaction.block_number][1]
            assert some is not None
            some.append(transaction)
    return found
