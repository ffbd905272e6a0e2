"""Fills a chain with past blocks quickly."""

from __future__ import annotations

from collections.abc import Sequence

from indexer.dev.chain import Chain
from indexer.dev.deploy import Deployed
from indexer.dev.samples import TransactionRequest
from indexer.dev.traffic import Traffic

#: What one event of `emitMany` costs at the most, and a transaction beside them.
EVENT_GAS = 12_000
BASE_GAS = 100_000


async def mine_blocks(chain: Chain, blocks: Sequence[Sequence[TransactionRequest]]) -> None:
    """Make one block of each group of transactions, on a chain that does not mine by itself."""
    for requests in blocks:
        await chain.send(*requests)
        await chain.mine()


async def past_traffic(chain: Chain, traffic: Traffic, blocks: int, per_block: int) -> None:
    """So many blocks with so many transactions of the traffic in each."""
    await mine_blocks(chain, [traffic.take(per_block) for _ in range(blocks)])


async def past_events(
    chain: Chain,
    contracts: Sequence[Deployed],
    *,
    blocks: int = 50,
    transactions: int = 20,
    events: int = 100,
) -> int:
    """Make blocks of transactions that emit many events each; returns how many events that made.

    The transactions call the contracts in turn. 100,000 events take about half a second.
    """
    accounts = await chain.accounts()
    gas = BASE_GAS + EVENT_GAS * events

    def request(block: int, at: int) -> TransactionRequest:
        number = block * transactions + at
        contract = contracts[number % len(contracts)]
        return contract.call(accounts[number % len(accounts)], "emitMany", events, gas=gas)

    await chain.automine(False)
    await mine_blocks(chain, [[request(block, at) for at in range(transactions)] for block in range(blocks)])
    return blocks * transactions * events
