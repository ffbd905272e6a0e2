"""Makes reorganizations as they happen: most transactions come back, some later, some never."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from indexer.dev.chain import Chain
from indexer.dev.samples import TransactionRequest

#: The fields of a mined transaction that ask for it again. Its nonce is left to the chain: where an earlier
#: one of the sender is dropped, the later ones move up.
KEPT_FIELDS = ("from", "to", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")

DROP_PROBABILITY = 0.15
DELAY_PROBABILITY = 0.3


@dataclass(frozen=True, slots=True)
class Reorg:
    """What was done to the chain."""

    fork: int  # the highest block that stayed
    depth: int
    replaced: int  # transactions that were in the old blocks
    dropped: int  # of these, how many are not asked for again


async def reorg_with_replay(
    chain: Chain, depth: int, random: Random, new: Sequence[TransactionRequest] = ()
) -> Reorg:
    """Replace the newest blocks by as many with most of their transactions, and new ones in the last."""
    head = await chain.block_number()
    fork = head - depth
    old = await chain.batch([("eth_getBlockByNumber", (hex(fork + 1 + at), True)) for at in range(depth)])
    placed: list[tuple[TransactionRequest, int]] = []
    replaced = 0
    for at, block in enumerate(old):
        for mined in block["transactions"]:
            replaced += 1
            if random.random() >= DROP_PROBABILITY:
                later = random.random() < DELAY_PROBABILITY
                placed.append((_again(mined), min(at + later, depth - 1)))
    dropped = replaced - len(placed)
    await chain.reorg(depth, [*placed, *((request, depth - 1) for request in new)])
    return Reorg(fork, depth, replaced, dropped)


def _again(mined: dict[str, Any]) -> TransactionRequest:
    """The request for a transaction that was mined before."""
    request = {field: mined[field] for field in KEPT_FIELDS if mined.get(field) is not None}
    return request | {"data": mined["input"]}
