"""Which level of proof works at an endpoint, found out on a few final blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.core.errors import Inconsistent, TooMuch
from indexer.core.finding import Finding
from indexer.core.headerhash import unknown_fields
from indexer.core.model import Header
from indexer.core.proof import Proof, ProofLevel, Verdict, prove_block, prove_header
from indexer.core.receiptsroot import receipts_bloom
from indexer.core.wire import WireBlock, WireReceipt, header_of, octets
from indexer.rpc import calls
from indexer.rpc.blocks import read_receipts_of
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import Behind, Failure

#: Blocks that are proved, and how many are looked at for ones with transactions.
PROVED_BLOCKS, LOOKED_AT_BLOCKS = 3, 12


@dataclass(frozen=True, slots=True)
class Configured:
    """What the configuration asks for, of followed blocks and of ranges."""

    follow: ProofLevel = "receipts"
    backfill: ProofLevel = "linked"
    logs_bloom: bool = True


@dataclass(frozen=True, slots=True)
class _Tried:
    """What proving one block came to."""

    header: Proof
    receipts: Proof
    #: Whether the block's bloom filter has all logs of its receipts.
    bloom_holds: bool
    transactions: int
    logs: int


async def probe_proof(endpoint: Endpoint, newest: Header, configured: Configured) -> list[Finding]:
    """The level of proof that works here, and what of the configuration cannot; never raises for the endpoint.

    Args:
        newest: the newest block that is final, or nearly so: from there on down blocks are proved.
    """
    subject = f"{endpoint.name}: proof"
    try:
        tried = [await _try(endpoint, *each) for each in await _some_blocks(endpoint, newest)]
    except (Failure, TooMuch, Inconsistent) as error:
        remedy = (
            'try again; without receipts set chain.transactions to "off", the bloom filter is then the proof'
        )
        return [Finding(subject, False, f"blocks and receipts cannot be read: {error}", remedy)]
    return [_of_proofs(subject, tried, configured), *_of_blooms(endpoint, tried, configured)]


async def _some_blocks(endpoint: Endpoint, newest: Header) -> list[tuple[WireBlock, list[WireReceipt]]]:
    """A few blocks with their receipts, such with transactions first.

    Raises:
        Behind: a block is not there.
    """
    last = max(newest.number - LOOKED_AT_BLOCKS, -1)
    blocks: list[WireBlock] = []
    for number in range(newest.number, last, -1):
        wire = await endpoint.ask(calls.block_at(number))
        if wire is None:
            raise Behind(f"{endpoint.name}: block {number} is not there")
        blocks.append(wire)
        if sum(bool(each.transactions) for each in blocks) == PROVED_BLOCKS:
            break
    blocks.sort(key=lambda wire: not wire.transactions)
    return [(wire, await read_receipts_of(endpoint, wire)) for wire in blocks[:PROVED_BLOCKS]]


async def _try(endpoint: Endpoint, wire: WireBlock, receipts: Sequence[WireReceipt]) -> _Tried:
    count = len(wire.transactions)
    of_header, of_all = prove_header(wire), prove_block(wire, receipts, transactions=count)
    if Verdict.WRONG in (of_header.verdict, of_all.verdict):
        names = await endpoint.ask(calls.names_of_hash(header_of(wire).hash))
        if unknown := unknown_fields(names or ()):
            of_header = prove_header(wire, unknown)
            of_all = prove_block(wire, receipts, transactions=count, unknown=unknown)
    told = int.from_bytes(octets(wire.logs_bloom, "logsBloom", 256), "big")
    needed = int.from_bytes(receipts_bloom(receipts), "big")
    logs = sum(len(receipt.logs) for receipt in receipts)
    return _Tried(of_header, of_all, told & needed == needed, count, logs)


def _of_proofs(subject: str, tried: Sequence[_Tried], configured: Configured) -> Finding:
    wanted = "receipts" in (configured.follow, configured.backfill)
    verdicts = [each.receipts.verdict for each in tried]
    proved, all_ = verdicts.count(Verdict.PROVED), len(tried)
    found = f"proved {proved} of {all_} blocks"
    if proved == all_:
        if not any(each.transactions for each in tried):
            return Finding(subject, True, f"receipts ({found}, none of them with transactions)")
        note = "" if wanted else '; chain.proof = "receipts" would work here'
        return Finding(subject, True, f"receipts ({found}){note}")
    doubted = next(each for each in tried if each.receipts.verdict is not Verdict.PROVED)
    reason = doubted.receipts.reason
    if Verdict.WRONG not in verdicts:
        message = f"cannot tell ({found}): {reason}"
        remedy = "such blocks are held against their bloom filter and a second endpoint; name a second one"
        return Finding(subject, None, message, remedy)
    if proved:
        remedy = "this node leaves out or alters something: do not use it, or compare it with another one"
        return Finding(subject, False, f"wrong ({found}): {reason}", remedy)
    what = "blocks" if doubted.header.verdict is Verdict.WRONG else "receipts"
    message = (
        f"linked: this chain hashes its {what} in a way of its own, or this node is wrong ({found}: {reason})"
    )
    if wanted:
        return Finding(subject, False, message, _LINKED)
    return Finding(subject, True, message)


_LINKED = 'set chain.proof = "linked" (and backfill.proof = "bloom" or "linked") after a second endpoint told the same'


def _of_blooms(endpoint: Endpoint, tried: Sequence[_Tried], configured: Configured) -> list[Finding]:
    subject = f"{endpoint.name}: bloom filter"
    with_logs = [each for each in tried if each.logs]
    if not with_logs:
        return [Finding(subject, None, "not known: no log in the blocks that were looked at")]
    held = sum(each.bloom_holds for each in with_logs)
    message = f"{held} of {len(with_logs)} blocks have all their logs in it"
    if held == len(with_logs):
        if configured.logs_bloom:
            return [Finding(subject, True, message)]
        remark = f"{message}; chain.logs_bloom = true would work here"
        return [Finding(subject, None, remark)]
    if configured.logs_bloom:
        return [Finding(subject, False, message, "set chain.logs_bloom = false: this chain does not keep it")]
    return [Finding(subject, True, f"{message}; chain.logs_bloom is false")]
