"""Blocks with their transactions, receipts and logs, each from one endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from indexer.core.block import Block, check_block, check_block_logs, check_block_transactions
from indexer.core.errors import IndexerError, TooMuch
from indexer.core.model import BlockId, Header, Span, Transaction
from indexer.core.source import LogFilter
from indexer.core.wire import WireBlock, WireHeader, WireLog, WireReceipt
from indexer.rpc import calls
from indexer.rpc.calls import Call
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import Behind, Refused, TooManyAddresses, Unsupported
from indexer.rpc.headers import numbered
from indexer.rpc.proving import require_proved
from indexer.rpc.ranges import fewer, narrowed

#: What no log passes.
NO_LOGS = LogFilter((), ())


async def read_block(
    endpoint: Endpoint,
    block: BlockId,
    wanted: LogFilter | None,
    watched: frozenset[bytes],
    *,
    transactions: bool,
    prove: bool = False,
) -> Block:
    """The block of a hash with the filter's logs and, if wanted, the watched addresses' transactions.

    Args:
        prove: whether the receipts, where they are read, are to be proved by the block's hash.

    Raises:
        Behind: the endpoint does not have it, or not all of it.
        Inconsistent: its parts do not agree with each other, or not with the hash.
    """
    wanted = wanted or NO_LOGS
    head = calls.block_of_hash(block.hash) if transactions else calls.header_of_hash(block.hash)
    with_receipts = transactions and endpoint.has_block_receipts
    rest: list[Call[Any]] = [calls.receipts_of(block.hash)] if with_receipts else []
    try:
        (wire, *receipts), logs = await _ask_with_logs(endpoint, block, wanted, [head, *rest])
    except Unsupported:
        if not with_receipts:
            raise
        endpoint.lacks_block_receipts()
        return await read_block(endpoint, block, wanted, watched, transactions=transactions, prove=prove)
    if wire is None:
        raise Behind(f"{endpoint.name}: block {block} is not there")
    if not transactions:
        return check_block_logs(block, wire, logs, wanted)
    if not with_receipts:
        receipts = await _receipts_one_by_one(endpoint, [wire])
    present = _present(endpoint, wire, receipts[0])
    if prove:
        await require_proved(endpoint, block, wire, present)
    return check_block(block, wire, logs, present, wanted, watched)


async def read_whole_blocks(
    endpoint: Endpoint, span: Span
) -> list[tuple[Header, WireBlock, list[WireReceipt]]]:
    """The canonical blocks of the span with their transactions and receipts, as they came.

    Raises:
        TooMuch: fewer blocks are wanted.
        Behind: the endpoint does not have all of them.
        Inconsistent: an answer is another block.
    """
    numbers = range(span.first, span.last + 1)
    try:
        wires, receipts = await _ask_blocks(endpoint, numbers)
    except IndexerError as error:
        about_span = narrowed(error, endpoint, span)
        if about_span is None:
            raise
        raise about_span from error
    found: list[tuple[Header, WireBlock, list[WireReceipt]]] = []
    for number, wire, some in zip(numbers, wires, receipts, strict=True):
        if wire is None:
            raise Behind(f"{endpoint.name}: block {number} is not there yet")
        header = numbered(endpoint, wire, number)
        found.append((header, wire, _present(endpoint, wire, some)))
    return found


async def read_transactions(
    endpoint: Endpoint, span: Span, watched: frozenset[bytes]
) -> tuple[list[Transaction], list[Header]]:
    """The watched addresses' transactions in canonical blocks of the span, and the blocks' headers.

    Raises: as `read_whole_blocks`, and Inconsistent where a block and its receipts do not agree.
    """
    found: list[Transaction] = []
    headers: list[Header] = []
    for _, wire, receipts in await read_whole_blocks(endpoint, span):
        header, transactions = check_block_transactions(wire, receipts, watched)
        headers.append(header)
        found.extend(transactions)
    return found, headers


async def _ask_with_logs(
    endpoint: Endpoint, block: BlockId, wanted: LogFilter, others: Sequence[Call[Any]]
) -> tuple[list[Any], list[WireLog]]:
    """The results of the other calls and the block's logs, asked in one request."""
    most = endpoint.filter_limit
    while True:
        parts = calls.split_filter(wanted, most)
        asked = [*others, *(calls.logs_of(block.hash, part) for part in parts)]
        try:
            answers = await endpoint.ask_all(asked)
        except TooMuch as error:
            most = fewer(error, parts)
            if most is None:
                raise Refused(f"block {block} alone is too much: {error}") from error
            if isinstance(error, TooManyAddresses):
                endpoint.filter_limit = most
            continue
        return answers[: len(others)], [log for answer in answers[len(others) :] for log in answer]


async def _ask_blocks(
    endpoint: Endpoint, numbers: Sequence[int]
) -> tuple[list[WireBlock | None], list[list[WireReceipt] | None]]:
    """The blocks of these heights and the receipts of each."""
    blocks: list[Call[Any]] = [calls.block_at(number) for number in numbers]
    if endpoint.has_block_receipts:
        try:
            answers = await endpoint.ask_all([*blocks, *(calls.receipts_at(number) for number in numbers)])
        except Unsupported:
            endpoint.lacks_block_receipts()
        else:
            return answers[: len(blocks)], answers[len(blocks) :]
    wires: list[WireBlock | None] = await endpoint.ask_all(blocks)
    return wires, await _receipts_one_by_one(endpoint, wires)


async def _receipts_one_by_one(
    endpoint: Endpoint, wires: Sequence[WireBlock | None]
) -> list[list[WireReceipt] | None]:
    """The receipts of each block, for an endpoint that gives them by transaction only."""
    hashes = [each.hash for wire in wires if wire is not None for each in wire.transactions]
    if not hashes:
        return [[] for _ in wires]
    receipts = iter(await endpoint.ask_all([calls.receipt_of(each) for each in hashes]))
    return [None if wire is None else _next(receipts, len(wire.transactions)) for wire in wires]


def _next(receipts: Iterator[WireReceipt | None], count: int) -> list[WireReceipt] | None:
    """The next so many receipts; None when one of them is missing."""
    some = [next(receipts) for _ in range(count)]
    return None if None in some else [each for each in some if each is not None]


def _present(endpoint: Endpoint, wire: WireHeader, receipts: list[WireReceipt] | None) -> list[WireReceipt]:
    if receipts is None:
        raise Behind(f"{endpoint.name}: the receipts of block {int(wire.number, 16)} are not there")
    return receipts
