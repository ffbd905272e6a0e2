"""Proves what an endpoint says of a block by the block's hash."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from indexer.core.errors import Inconsistent
from indexer.core.headerhash import unknown_fields
from indexer.core.model import BlockId
from indexer.core.proof import Proof, Verdict, prove_block
from indexer.core.wire import WireBlock, WireReceipt
from indexer.rpc import calls
from indexer.rpc.endpoint import Endpoint

#: Proving more receipts than this would hold up everything else.
_MANY_RECEIPTS = 20


async def require_proved(
    endpoint: Endpoint, block: BlockId, wire: WireBlock, receipts: Sequence[WireReceipt]
) -> None:
    """Return when the receipts are proved to be those of the block, or when nobody could tell.

    Raises:
        Inconsistent: they are not: a log or a receipt is missing, added or altered.
    """
    proof = await _prove(wire, receipts, frozenset())
    if proof.verdict is Verdict.WRONG:
        # A fork that we do not know adds fields to the header: that is no lie.
        names = await endpoint.ask(calls.names_of_hash(block.hash))
        if unknown := unknown_fields(names or ()):
            proof = await _prove(wire, receipts, unknown)
    endpoint.tell_proof(proof.verdict)
    if proof.verdict is Verdict.WRONG:
        raise Inconsistent(
            f"{endpoint.name}: {proof.reason}. A node that left out or altered a log looks like this; so does a chain "
            'that hashes its blocks in a way of its own (then chain.proof = "linked" is the way out)'
        )


async def _prove(wire: WireBlock, receipts: Sequence[WireReceipt], unknown: frozenset[str]) -> Proof:
    if len(receipts) <= _MANY_RECEIPTS:
        return prove_block(wire, receipts, transactions=len(wire.transactions), unknown=unknown)
    return await asyncio.to_thread(
        prove_block, wire, receipts, transactions=len(wire.transactions), unknown=unknown
    )
