"""A process with our endpoints and the series of many contracts, to measure what a scrape costs.

It writes its port, then for each line of its input lets happen what the line says, and answers with a line.
"""

from __future__ import annotations

import asyncio
import sys

from indexer.core.abi import events_of_abi
from indexer.core.health import Limits
from indexer.core.model import BlockId, Encoded, Transaction
from indexer.core.schema import tables_of_contract
from indexer.core.source import Source
from indexer.http.report import Health, Readiness
from indexer.http.server import HttpServer
from indexer.metrics import Metrics

#: Of the sources, so many have events in one block.
ACTIVE = 40


def sources_of(contracts: int, events: int) -> list[Source]:
    """So many contracts with so many events each."""
    found: list[Source] = []
    for contract in range(contracts):
        name = f"Contract{contract}"
        abi = [
            {
                "type": "event",
                "name": f"Event{each}",
                "inputs": [{"name": "id", "type": "uint256", "indexed": True}],
            }
            for each in range(events)
        ]
        tables = tables_of_contract(name, events_of_abi(abi))
        address = (contract + 1).to_bytes(20)
        found += [
            Source(len(found) + place, name, address, table.event, table, 0)
            for place, table in enumerate(tables)
        ]
    return found


class Scene:
    """An indexer that follows a chain, as far as its metrics show."""

    def __init__(self, contracts: int, events: int) -> None:
        self.metrics = Metrics("1")
        self._sources = sources_of(contracts, events)
        self._addresses = {source.address: source.contract for source in self._sources}
        self._block = 0
        self.metrics.endpoints(["rpc-1", "rpc-2"])
        self.metrics.watch(self._sources, self._addresses)
        for contract in self._addresses.values():
            self.metrics.coverage(contract, 1_000, 0)

    def happen(self, what: str) -> None:
        """Nothing; a block with events of some sources; or one with events and transactions of all."""
        if what == "nothing":
            return
        self._block += 1
        number, every = self._block, self._sources
        active = (
            every if what == "everything" else [every[(number * 7 + at) % len(every)] for at in range(ACTIVE)]
        )
        for method in ("eth_getBlockByHash", "eth_getBlockReceipts", "eth_getLogs"):
            self.metrics.request("rpc-1", method, "ok", 0.01, 100, 10_000)
        with self.metrics.fetching(), self.metrics.decoding():
            pass
        with self.metrics.processing(number), self.metrics.commit(number):
            pass
        counts = {source.id: 3 for source in active}
        self.metrics.wrote(Encoded((), (), counts, {BlockId(number, bytes(32)): number}))
        self.metrics.transactions(
            [_transaction(number, address) for address in {each.address for each in active}]
        )
        self.metrics.cursor_at(number, 1_700_000_000 + number)


def _transaction(block: int, recipient: bytes) -> Transaction:
    return Transaction(
        block, block, 0, bytes(32), bytes(20), recipient, None, None, True, 100, 50, 10**9, 0, frozenset()
    )


async def serve(contracts: int, events: int) -> None:
    """Serve until the input ends."""
    scene = Scene(contracts, events)
    health = Health(scene.metrics, Readiness(), Limits(60, 60), probe_seconds=5, redact=str)
    async with HttpServer("127.0.0.1", 0, scene.metrics, health) as server:
        print(server.port, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            scene.happen(line.strip())
            print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
