"""A chain to develop against: Anvil with the sample contracts, a history, traffic and reorgs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType

from indexer.dev.anvil import Anvil
from indexer.dev.chain import Chain
from indexer.dev.config import config_text
from indexer.dev.deploy import Deployed, deploy
from indexer.dev.history import past_traffic
from indexer.dev.reorgs import Reorg, reorg_with_replay
from indexer.dev.samples import SAMPLES
from indexer.dev.traffic import Traffic

#: Blocks of the history are so far apart, and with a given genesis time all blocks.
HISTORY_BLOCK_SECONDS = 12

HISTORY_TRANSACTIONS = 5  # in each block

#: New transactions in the last block of a reorg.
REORG_TRANSACTIONS = 3


class DevChain:
    """``async with DevChain(…) as dev`` starts it; blocks come from `traffic` or `step`, never by themselves.

    A block is a step, and a reorg happens between two of them; so the same seed and the same calls give the
    same transactions in the same blocks, and with a given genesis time the same hashes.
    """

    #: The connection to the chain, to do more with it than is offered here.
    chain: Chain
    #: The sample contracts by name.
    contracts: dict[str, Deployed]
    accounts: list[str]

    def __init__(
        self,
        *,
        block_seconds: float = 1.0,
        seed: int = 1,
        history_blocks: int = 0,
        port: int = 0,
        slots_in_an_epoch: int = 8,
        genesis_time: int | None = None,
        samples: Sequence[str] = SAMPLES,
    ) -> None:
        """
        Args:
            block_seconds: between the blocks that `traffic` makes.
            history_blocks: blocks with traffic from before the start.
            slots_in_an_epoch: the finalized block is twice as many behind the head.
            genesis_time: Unix seconds, and blocks are 12 seconds apart; None: the history ends now, and new
                blocks bear the real time.
        """
        self._block_seconds = block_seconds
        self._seed = seed
        self._history_blocks = history_blocks
        self._genesis_time = genesis_time
        self._samples = samples
        past_seconds = HISTORY_BLOCK_SECONDS * (history_blocks + 1)
        self.anvil = Anvil(
            port=port,
            mining=False,
            slots_in_an_epoch=slots_in_an_epoch,
            timestamp=genesis_time if genesis_time is not None else int(time.time()) - past_seconds,
        )
        self._final_depth = 2 * slots_in_an_epoch
        self._turn = asyncio.Lock()
        self._parts = AsyncExitStack()

    @property
    def rpc_url(self) -> str:
        return self.anvil.url

    @property
    def ws_url(self) -> str:
        return self.anvil.ws_url

    async def __aenter__(self) -> DevChain:
        async with AsyncExitStack() as parts:
            await parts.enter_async_context(self.anvil)
            self.chain = await parts.enter_async_context(Chain(self.anvil.url))
            await self._prepare()
            self._parts = parts.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._parts.aclose()

    async def _prepare(self) -> None:
        await self.chain.space_blocks(HISTORY_BLOCK_SECONDS)
        self.accounts = await self.chain.accounts()
        self.contracts = await deploy(self.chain, self._samples)
        self._traffic = Traffic(self.contracts, self.accounts, self._seed)
        self._random = Random(self._seed)
        await past_traffic(self.chain, self._traffic, self._history_blocks, HISTORY_TRANSACTIONS)
        if self._genesis_time is None:
            await self.chain.space_blocks(None)
            await self.chain.set_time(int(time.time()))

    def config(
        self, *, database_url: str | None = None, listen: str | None = None, poll_seconds: float | None = None
    ) -> str:
        """The text of the `indexer.toml` for this chain."""
        return config_text(
            self.contracts.values(),
            rpc=[self.rpc_url, self.ws_url],
            poll_seconds=poll_seconds,
            database_url=database_url,
            listen=listen,
        )

    async def step(self, transactions: int = 1) -> None:
        """Make a block with so many transactions of the traffic, and those that others have sent."""
        async with self._turn:
            await self.chain.send(*self._traffic.take(transactions))
            await self.chain.mine()

    async def reorg(self, depth: int) -> Reorg:
        """Replace so many of the newest blocks; most of their transactions come back."""
        async with self._turn:
            new = self._traffic.take(REORG_TRANSACTIONS)
            return await reorg_with_replay(self.chain, depth, self._random, new)

    async def traffic(self, rate: float) -> None:
        """Make blocks for ever, with so many transactions a second on average; none makes empty blocks."""
        clock = asyncio.get_running_loop().time
        next_block, owed = clock(), 0.0
        while True:
            owed += rate * self._block_seconds
            await self.step(int(owed))
            owed -= int(owed)
            # A slow machine makes fewer blocks; it does not hurry to catch up.
            next_block = max(next_block + self._block_seconds, clock())
            await asyncio.sleep(next_block - clock())

    async def reorgs(self, every: float) -> None:
        """Make a reorg now and then for ever, ``every`` so many seconds on average, never of a final block.

        Most are one block deep.
        """
        while True:
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * every)
            depth = 1 + min(int(self._random.expovariate(0.7)), self._final_depth - 2)
            lowest = max((one.start_block for one in self.contracts.values()), default=0)
            if await self.chain.block_number() - depth >= lowest:
                await self.reorg(depth)
