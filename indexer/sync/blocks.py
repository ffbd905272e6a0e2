"""Reads followed blocks: by hash, checked, decoded, ready to be written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from indexer.core.batch import Decoder
from indexer.core.model import FollowedBlock, Header
from indexer.core.source import LogFilter
from indexer.metrics import Metrics
from indexer.rpc.node import Node
from indexer.sync.lookahead import gather_in_order

#: Blocks being read at the same time, and how much gas they may have used together: logs cost gas, so that
#: bounds what is held in memory. One block is read whatever it used.
READ_AHEAD, READ_AHEAD_GAS = 8, 200_000_000
#: Making rows of so few logs takes less time than handing them to a thread and waiting for its turn.
FEW_LOGS = 300


@dataclass(frozen=True, slots=True)
class Watching:
    """What the tail looks for in each block."""

    filter: LogFilter | None
    watched: frozenset[bytes]
    #: Whether transactions are recorded, failed ones included.
    transactions: bool


class BlockReader:
    """What the node says about blocks, in the form in which they are written."""

    def __init__(self, decoder: Decoder, watching: Watching, metrics: Metrics) -> None:
        self._decoder = decoder
        self._watching = watching
        self._metrics = metrics

    async def read(self, node: Node, headers: Sequence[Header]) -> list[FollowedBlock]:
        """The blocks of these headers, in their order.

        Raises:
            Unavailable, Inconsistent: one of them could not be read.
        """

        async def read_one(header: Header) -> FollowedBlock:
            return await self._read_one(node, header)

        return await gather_in_order(read_one, headers, _ahead(headers))

    async def _read_one(self, node: Node, header: Header) -> FollowedBlock:
        watching = self._watching
        with self._metrics.fetching():
            block = await node.block(
                header.id, watching.filter, watching.watched, transactions=watching.transactions
            )
        with self._metrics.decoding():
            if len(block.logs.logs) <= FEW_LOGS:
                encoded = self._decoder.encode(block.logs)
            else:
                encoded = await asyncio.to_thread(self._decoder.encode, block.logs)
        return FollowedBlock(block.header, encoded, block.transactions)


def _ahead(headers: Sequence[Header]) -> int:
    """How many of these blocks may be read at the same time."""
    most_gas = max(header.gas_used for header in headers)
    return max(1, min(READ_AHEAD, READ_AHEAD_GAS // max(1, most_gas)))
