"""Proves what an endpoint says of a block by the block's hash."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from indexer.core.errors import Inconsistent
from indexer.core.headerhash import unknown_fields
from indexer.core.model import BlockId
from indexer.core.proof import Proof, Verdict, prove_block, prove_header
from indexer.core.wire import WireBlock, WireHeader, WireReceipt, octets
from indexer.rpc import calls
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.headers import ToldHeader

#: Proving more receipts and logs than this would hold up everything else; of fewer, handing them to a thread
#: and waiting for its turn takes longer than the proof.
_MANY_PARTS = 300
#: The same of headers.
_MANY_HEADERS = 20


async def require_proved(
    endpoint: Endpoint, block: BlockId, wire: WireBlock, receipts: Sequence[WireReceipt]
) -> bool:
    """True when the receipts are proved to be those of the block, False when nobody could tell.

    Raises:
        Inconsistent: they are not: a log or a receipt is missing, added or altered.
    """
    proof = await _prove(endpoint, wire, receipts, frozenset())
    if proof.verdict is Verdict.WRONG:
        # A fork that we do not know adds fields to the header: that is no lie.
        names = await endpoint.ask(calls.names_of_hash(block.hash))
        if unknown := unknown_fields(names or ()):
            proof = await _prove(endpoint, wire, receipts, unknown)
    endpoint.tell_proof(proof.verdict)
    if proof.verdict is Verdict.WRONG:
        raise _wrong(endpoint, proof)
    return proof.proved


async def require_all_proved(headers: Iterable[ToldHeader]) -> None:
    """As `require_headers_proved`, for headers of several endpoints."""
    by_endpoint: dict[Endpoint, list[WireHeader]] = {}
    for each in headers:
        by_endpoint.setdefault(each.endpoint, []).append(each.wire)
    for endpoint, some in by_endpoint.items():
        await require_headers_proved(endpoint, some)


async def require_headers_proved(endpoint: Endpoint, headers: Sequence[WireHeader]) -> None:
    """Return when every header gives the hash that it names, or when nobody could tell.

    Raises:
        Inconsistent: one does not.
    """
    with endpoint.checking():
        if len(headers) <= _MANY_HEADERS:
            proofs = _prove_headers(headers, frozenset())
        else:
            proofs = await asyncio.to_thread(_prove_headers, headers, frozenset())
    doubted = [
        header for header, proof in zip(headers, proofs, strict=True) if proof.verdict is Verdict.WRONG
    ]
    if doubted:
        # One block tells the names of all of them: a fork gives every header the same fields.
        names = await endpoint.ask(calls.names_of_hash(octets(doubted[-1].hash, "block hash", 32)))
        if unknown := unknown_fields(names or ()):
            proofs = await asyncio.to_thread(_prove_headers, headers, unknown)
    for verdict, count in Counter(proof.verdict for proof in proofs).items():
        endpoint.tell_header_proofs(verdict, count)
    for proof in proofs:
        if proof.verdict is Verdict.WRONG:
            raise _wrong(endpoint, proof)


def _prove_headers(headers: Sequence[WireHeader], unknown: frozenset[str]) -> list[Proof]:
    return [prove_header(header, unknown) for header in headers]


def _wrong(endpoint: Endpoint, proof: Proof) -> Inconsistent:
    return Inconsistent(
        f"{endpoint.name}: {proof.reason}. A node that left out or altered a log looks like this; so does a chain "
        'that hashes its blocks in a way of its own (then chain.proof = "linked" is the way out)'
    )


def is_much(receipts: Sequence[WireReceipt]) -> bool:
    """Whether a block with these receipts is better worked on in a thread."""
    return len(receipts) + sum(len(receipt.logs) for receipt in receipts) > _MANY_PARTS


async def _prove(
    endpoint: Endpoint, wire: WireBlock, receipts: Sequence[WireReceipt], unknown: frozenset[str]
) -> Proof:
    with endpoint.checking():
        if not is_much(receipts):
            return prove_block(wire, receipts, transactions=len(wire.transactions), unknown=unknown)
        return await asyncio.to_thread(
            prove_block, wire, receipts, transactions=len(wire.transactions), unknown=unknown
        )
