"""One block whose parts agree with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.core.errors import Inconsistent
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import BlockId, Header, Span, Transaction
from indexer.core.receipts import check_receipts, watched_transactions
from indexer.core.source import LogFilter
from indexer.core.wire import WireBlock, WireHeader, WireLog, WireReceipt, header_of


@dataclass(frozen=True, slots=True)
class Block:
    """A block by its hash, its watched transactions, and its logs of the filter.

    Built by `check_block` and `check_block_logs` only, so that its parts are known to fit.
    """

    header: Header
    #: Those to a watched address, creating one, or with a log of one; empty where they were not asked for.
    transactions: tuple[Transaction, ...]
    logs: RangeLogs


def check_block(
    expected: BlockId,
    wire: WireBlock,
    logs: list[WireLog],
    receipts: Sequence[WireReceipt],
    filter: LogFilter,  # noqa: A002
    watched: frozenset[bytes],
) -> Block:
    """The block, if its header, its transactions, their receipts and the filter's logs tell the same.

    Raises:
        Inconsistent: they do not, or it is not the expected block.
    """
    block = check_block_logs(expected, wire, logs, filter)
    header = block.header
    check_receipts(header, wire.transactions, receipts)
    _check_same_logs(header, block.logs, receipts, filter)
    return Block(header, watched_transactions(header, wire.transactions, receipts, watched), block.logs)


def check_block_logs(
    expected: BlockId,
    wire: WireHeader,
    logs: list[WireLog],
    filter: LogFilter,  # noqa: A002
) -> Block:
    """The block without its transactions, if its header and the filter's logs tell the same.

    Raises:
        Inconsistent: they do not, or it is not the expected block.
    """
    header = header_of(wire)
    if header.id != expected:
        raise Inconsistent(f"asked for block {expected}, the answer is block {header.id}")
    checked = check_range_logs(Span(header.number, header.number), filter, logs)
    return Block(header, (), checked.with_headers([header]))


def check_receipt_logs(
    wire: WireBlock,
    receipts: Sequence[WireReceipt],
    filter: LogFilter,  # noqa: A002
) -> Block:
    """The block without its transactions, with the filter's logs taken out of its receipts.

    Raises:
        Inconsistent: the receipts do not agree with the block.
    """
    header = header_of(wire)
    check_receipts(header, wire.transactions, receipts)
    span = Span(header.number, header.number)
    checked = check_range_logs(span, filter, admitted(receipts, filter))
    return Block(header, (), checked.with_headers([header]))


def check_block_transactions(
    wire: WireBlock, receipts: Sequence[WireReceipt], watched: frozenset[bytes]
) -> tuple[Header, tuple[Transaction, ...]]:
    """The header and the watched transactions of a block, if its receipts agree with it.

    Raises:
        Inconsistent: they do not.
    """
    header = header_of(wire)
    check_receipts(header, wire.transactions, receipts)
    return header, watched_transactions(header, wire.transactions, receipts, watched)


def _check_same_logs(
    header: Header,
    logs: RangeLogs,
    receipts: Sequence[WireReceipt],
    filter: LogFilter,  # noqa: A002
) -> None:
    """The filter's logs are those of the receipts: a node with an index of its own can have lost some."""
    told, answered = admitted(receipts, filter), logs.logs
    # One by one: a copy of all of them would double what a block with many logs takes.
    for one, other in zip(told, answered, strict=False):
        if (in_receipt := _content(one)) != (found := _content(other)):
            raise Inconsistent(
                f"block {header.id}: the receipts' log {in_receipt[0]} and the log {found[0]} of eth_getLogs differ"
            )
    if len(told) != len(answered):
        raise Inconsistent(
            f"block {header.id}: {len(answered)} logs by eth_getLogs, {len(told)} in the receipts"
        )


def admitted(receipts: Sequence[WireReceipt], filter: LogFilter) -> list[WireLog]:  # noqa: A002
    """The receipts' logs that the filter lets through, in order."""
    addresses = frozenset("0x" + address.hex() for address in filter.addresses)
    topics = None if filter.topic0s is None else frozenset("0x" + topic.hex() for topic in filter.topic0s)
    return [
        log
        for receipt in receipts
        for log in receipt.logs
        if log.address.lower() in addresses
        and (topics is None or (log.topics and log.topics[0].lower() in topics))
    ]


def _content(log: WireLog) -> tuple[int, str, list[str], str, str]:
    topics = [topic.lower() for topic in log.topics]
    return int(log.log_index, 16), log.address.lower(), topics, log.data.lower(), log.transaction_hash.lower()
