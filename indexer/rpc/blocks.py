"""Blocks with their transactions, receipts and logs, each from one endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from indexer.core.block import (
    Block,
    check_block,
    check_block_logs,
    check_block_transactions,
    check_receipt_logs,
)
from indexer.core.bloomcheck import require_in_bloom
from indexer.core.errors import Inconsistent, IndexerError, TooMuch
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import BlockId, Header, Span, Transaction
from indexer.core.source import LogFilter
from indexer.core.wire import WireBlock, WireHeader, WireLog, WireReceipt, octets
from indexer.rpc import calls
from indexer.rpc.calls import Call
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import Behind, Refused, TooManyAddresses, Unsupported
from indexer.rpc.headers import numbered
from indexer.rpc.observer import Disagreement
from indexer.rpc.proving import is_much, require_headers_proved, require_proved
from indexer.rpc.ranges import fewer, narrowed

#: What no log passes.
NO_LOGS = LogFilter((), ())


@dataclass(frozen=True, slots=True)
class Checks:
    """What a block is held against, beside its parts against each other."""

    #: Its hash, by which header and receipts are proved where they are read.
    prove: bool = False
    #: Its bloom filter: a log that this excludes makes the answer a contradiction.
    bloom: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """A block as one endpoint told it."""

    block: Block
    endpoint: Endpoint
    #: Whether its receipts were read, with which its logs then agree.
    with_receipts: bool
    #: Whether these receipts are proved to be all that the block has.
    proved: bool


async def read_block(
    endpoint: Endpoint,
    block: BlockId,
    wanted: LogFilter | None,
    watched: frozenset[bytes],
    *,
    transactions: bool,
    checks: Checks,
) -> Reading:
    """The block of a hash with the filter's logs and, if wanted, the watched addresses' transactions.

    Raises:
        Behind: the endpoint does not have it, or not all of it.
        Inconsistent: its parts do not agree with each other, or not with the hash or the bloom filter.
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
        return await read_block(endpoint, block, wanted, watched, transactions=transactions, checks=checks)
    if wire is None:
        raise Behind(f"{endpoint.name}: block {block} is not there")
    if not transactions:
        if checks.prove:
            await require_headers_proved(endpoint, [wire])
        with endpoint.checking():
            found = check_block_logs(block, wire, logs, wanted)
        return _allowed(Reading(found, endpoint, with_receipts=False, proved=False), checks)
    if not with_receipts:
        receipts = await _receipts_one_by_one(endpoint, [wire])
    present = _present(endpoint, wire, receipts[0])
    proved = checks.prove and await require_proved(endpoint, block, wire, present)
    with endpoint.checking():
        if is_much(present):
            found = await asyncio.to_thread(check_block, block, wire, logs, present, wanted, watched)
        else:
            found = check_block(block, wire, logs, present, wanted, watched)
    return _allowed(Reading(found, endpoint, with_receipts=True, proved=proved), checks)


async def read_receipt_logs(endpoint: Endpoint, block: BlockId, wanted: LogFilter, checks: Checks) -> Reading:
    """The block of a hash with the filter's logs taken out of its receipts; `eth_getLogs` is not asked.

    Raises: as `read_block`.
    """
    wire = await endpoint.ask(calls.block_of_hash(block.hash))
    if wire is None:
        raise Behind(f"{endpoint.name}: block {block} is not there")
    receipts = await read_receipts_of(endpoint, wire)
    proved = checks.prove and await require_proved(endpoint, block, wire, receipts)
    with endpoint.checking():
        found = check_receipt_logs(wire, receipts, wanted)
    if found.header.id != block:
        raise Inconsistent(f"asked for block {block}, the answer is block {found.header.id}")
    return _allowed(Reading(found, endpoint, with_receipts=True, proved=proved), checks)


async def read_block_logs(endpoint: Endpoint, header: Header, wanted: LogFilter) -> RangeLogs:
    """The filter's logs in the block of a header that is known already.

    Raises: as `read_block`; not for what the bloom filter excludes.
    """
    _, logs = await _ask_with_logs(endpoint, header.id, wanted, [])
    checked = check_range_logs(Span(header.number, header.number), wanted, logs)
    return checked.with_headers([header])


def _allowed(reading: Reading, checks: Checks) -> Reading:
    """The reading, unless the bloom filter excludes one of its logs.

    What is proved is not asked: the hash commits to the filter too, so that is how this chain fills it.
    """
    if checks.bloom and not reading.proved:
        try:
            require_in_bloom(reading.block.header, reading.block.logs.logs)
        except Inconsistent:
            reading.endpoint.tell_disagreement(Disagreement.BLOOM)
            raise
    return reading


async def read_receipts_of(endpoint: Endpoint, wire: WireBlock) -> list[WireReceipt]:
    """The receipts of a block that is known already.

    Raises:
        Behind: the endpoint does not have them.
        Inconsistent: the block's hash is none.
    """
    if endpoint.has_block_receipts:
        try:
            return _present(
                endpoint, wire, await endpoint.ask(calls.receipts_of(octets(wire.hash, "block hash", 32)))
            )
        except Unsupported:
            endpoint.lacks_block_receipts()
    return _present(endpoint, wire, (await _receipts_one_by_one(endpoint, [wire]))[0])


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
    endpoint: Endpoint, span: Span, watched: frozenset[bytes], *, prove: bool
) -> tuple[list[Transaction], list[Header]]:
    """The watched addresses' transactions in canonical blocks of the span, and the blocks' headers.

    Args:
        prove: whether the receipts are to be proved by each block's hash.

    Raises: as `read_whole_blocks`, and Inconsistent where a block and its receipts do not agree.
    """
    found: list[Transaction] = []
    headers: list[Header] = []
    for _, wire, receipts in await read_whole_blocks(endpoint, span):
        with endpoint.checking():
            header, transactions = check_block_transactions(wire, receipts, watched)
        if prove:
            await require_proved(endpoint, header.id, wire, receipts)
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
        receipts = [calls.receipts_at(number) for number in numbers]
        try:
            chain, *answers = await endpoint.ask_all([calls.chain_id(), *blocks, *receipts])
        except Unsupported:
            endpoint.lacks_block_receipts()
        else:
            endpoint.require_chain(chain)
            return answers[: len(blocks)], answers[len(blocks) :]
    chain, *wires = await endpoint.ask_all([calls.chain_id(), *blocks])
    endpoint.require_chain(chain)
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
