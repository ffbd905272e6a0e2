"""A chain, a node, a database and the real flow between them, driven one step at a time.

Nothing here runs by itself: whoever drives the world decides when the chain moves, when the indexer takes
a step, and when it loses its memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import asyncpg

from indexer.core.abi import events_of_abi
from indexer.core.errors import Inconsistent, Unavailable
from indexer.core.model import Header
from indexer.core.schema import tables_of_contract
from indexer.core.watched import WatchedContract
from indexer.metrics import Metrics
from indexer.parts import Flow
from indexer.rpc.address import EndpointAddress
from indexer.rpc.node import Node
from indexer.rpc.opening import open_node
from indexer.rpc.transport import Timing
from indexer.settings import BackfillSettings, ChainSettings, Settings
from indexer.store.catalog import register
from indexer.store.database import Database, open_database
from indexer.store.leadership import wait_for_leadership
from indexer.store.writer import Writer
from tests.fixtures.fakechain import FakeChain, FakeTransaction
from tests.fixtures.fakelogs import (
    LATECOMER_ABI,
    LATECOMER_ADDRESS,
    LEDGER_ABI,
    LEDGER_ADDRESSES,
    REGISTRY_ABI,
    REGISTRY_ADDRESS,
    some_transactions,
)
from tests.fixtures.fakenode import FakeNode, serving
from tests.fixtures.truth import assert_equal_to_chain
from tests.fixtures.truth_expected import TrueContract
from tests.property.journey.interruption import interrupt_commits

LEDGER = TrueContract("Ledger", LEDGER_ADDRESSES, LEDGER_ABI)
REGISTRY = TrueContract("Registry", (REGISTRY_ADDRESS,), REGISTRY_ABI, start_block=3)
LATECOMER = TrueContract("Latecomer", (LATECOMER_ADDRESS,), LATECOMER_ABI)

#: Steps after which an indexer that still has something to do is going round in circles.
MOST_STEPS = 200
#: What the flow itself would try again.
PASSING = (Unavailable, Inconsistent)
#: How long an indexer that starts waits until the server has ended the one that crashed.
PATIENCE_SECONDS = 60.0


@dataclass(slots=True)
class Indexer:
    """What the process holds in memory while it runs."""

    flow: Flow
    node: Node
    database: Database


class World:
    """The chain and what the indexer makes of it."""

    def __init__(
        self,
        database_url: str,
        *,
        confirmations: int | None = None,
        others: Sequence[FakeNode] = (),
        retry_seconds: float = 20.0,
        **chain: Any,
    ) -> None:
        """
        Args:
            confirmations: the node does not know the tag `finalized`; blocks this far below the head are final.
            others: further endpoints, each with a chain of its own, less preferred.
            retry_seconds: how long a question is asked again.
            chain: settings of the chain other than the default.
        """
        self.chain = FakeChain()
        self.node = FakeNode(self.chain)
        self.node.knows_finality = confirmations is None
        #: Shows the branch that the database is on, which may not be the chain's any more.
        self._memory = FakeNode(self.chain)
        self._settings = Settings(
            ChainSettings(id=None, name=None, rpc=(), confirmations=confirmations or 0, **chain),
            contracts=(),
            backfill=BackfillSettings(parallel=2, max_range_blocks=5),
        )
        self._database_url = database_url
        self._others = others
        self._timing = Timing(retry_total_seconds=retry_seconds)
        #: What the configuration asks to watch, and what it asked when the indexer was started.
        self.contracts = [LEDGER, REGISTRY]
        self._running_with = list(self.contracts)
        self._highest = 0
        #: Of all starts together.
        self.metrics = Metrics("test")
        self._stack = AsyncExitStack()
        self._running = AsyncExitStack()
        self._indexer: Indexer | None = None
        #: The last failure that passes, in words.
        self._failure = "none"
        #: Where the next writing transaction is interrupted: before or after its commit.
        self._cut: str | None = None

    async def __aenter__(self) -> World:
        self.url = await self._stack.enter_async_context(serving(self.node))
        self._urls = [self.url]
        for other in self._others:
            self._urls.append(await self._stack.enter_async_context(serving(other)))
        self._memory_url = await self._stack.enter_async_context(serving(self._memory))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()
        await self._stack.aclose()

    def mine(self, blocks: int, seed: int, *, transactions: int = 2) -> None:
        """Put so many blocks on the head, their transactions chosen by the seed."""
        random = Random(seed)
        self._grow([some_transactions(random, random.randrange(transactions + 1)) for _ in range(blocks)])

    def reorg(
        self, depth: int, length: int, seed: int, *, transactions: int = 2, shared: float = 0.3
    ) -> None:
        """Replace so many of the newest blocks by so many others, as far down as they are not final.

        Some transactions are on both branches; `shared` says how soon.
        """
        random = Random(seed)
        depth = min(depth, self.chain.head.number - self._final_number)
        dropped = self.chain.blocks[len(self.chain.blocks) - depth :]
        old = [each for block in dropped for each in block.transactions]
        branch = []
        for _ in range(length):
            kept = tuple(each for each in old if random.random() < shared)
            old = [each for each in old if each not in kept]
            branch.append((*kept, *some_transactions(random, random.randrange(transactions + 1))))
        self.chain.roll_back(depth)
        self._grow(branch)

    def _grow(self, blocks: Sequence[Sequence[FakeTransaction]]) -> None:
        for transactions in blocks:
            self.chain.mine(transactions)
        self._highest = max(self._highest, self.chain.head.number)

    @property
    def _final_number(self) -> int:
        """The highest block that is never replaced: without the tag, as many below the highest head as agreed."""
        if self.node.knows_finality:
            return self.chain.finalized
        return max(0, min(self._highest - self._settings.chain.confirmations, self.chain.head.number))

    def break_finality(self, depth: int, length: int, seed: int) -> None:
        """Replace so many of the newest blocks, final or not, as no honest chain does."""
        self.chain.break_finality(depth)
        self.mine(length, seed)

    def finalize(self, below_head: int = 0) -> None:
        """Call the block so far below the head final, on a chain that has such a word."""
        if not self.node.knows_finality:
            return
        self.chain.finalize(self.chain.head.number - below_head)

    def watch(self, contract: TrueContract) -> None:
        """Add a contract to the configuration, which is read at the next start."""
        self.contracts = [each for each in self.contracts if each.name != contract.name] + [contract]

    def unwatch(self, contract: TrueContract) -> None:
        """Take a contract out of the configuration; what is covered of it stays."""
        self.contracts = [
            replace(each, active=False) if each.name == contract.name else each for each in self.contracts
        ]

    def after(self, requests: int, happening: Callable[[], None]) -> None:
        """Let something happen to the chain just before that many more requests have been answered."""
        remaining = requests

        def count(method: str, params: list[Any]) -> None:
            nonlocal remaining
            remaining -= 1
            if remaining == 0:
                happening()

        self.node.before = count

    def cut_next_commit(self, where: str) -> None:
        """Interrupt the next writing transaction: ``before``, ``during`` or ``after`` its commit."""
        self._cut = where

    async def crash(self) -> None:
        """Forget everything that is not in the database."""
        self._indexer = None
        running, self._running = self._running, AsyncExitStack()
        await running.aclose()

    async def indexer(self) -> Indexer:
        """The running indexer, started if it is not."""
        if self._indexer is None:
            try:
                self._indexer = await self._start()
            except BaseException:
                await self.crash()
                raise
        return self._indexer

    async def _start(self) -> Indexer:
        database = await open_database(self._database_url, max_connections=4)
        self._running.push_async_callback(database.close)
        interrupt_commits(database, self._take_cut)
        # The server may still be busy ending the session of the one that crashed.
        async with asyncio.timeout(PATIENCE_SECONDS):
            leadership = await wait_for_leadership(database, retry_seconds=0.05)
        self._running.callback(leadership.release)
        writer = Writer(database, leadership.epoch)
        node = await self._running.enter_async_context(
            open_node(
                [EndpointAddress(f"node-{number}", url) for number, url in enumerate(self._urls, 1)],
                timing=self._timing,
                observer=self.metrics,
            )
        )
        contracts = tuple(_watched(contract) for contract in self.contracts if contract.active)
        registered = await register(
            writer,
            contracts,
            chain_id=await node.chain_id(),
            genesis_hash=await node.genesis_hash(),
        )
        flow = Flow(self._settings, node, database, writer, contracts, registered, self.metrics)
        self._running_with = list(self.contracts)
        return Indexer(flow, node, database)

    def _take_cut(self) -> str | None:
        cut, self._cut = self._cut, None
        return cut

    async def step(self) -> bool:
        """One step of the tail; whether there is more to do. A failure that passes is nothing to do."""
        return bool(await self._tried(self._step))

    async def _step(self) -> bool:
        indexer = await self.indexer()
        return await indexer.flow.follower.step(await self._head(indexer.node))

    async def _head(self, node: Node) -> Header:
        """The highest head of all endpoints that are not astray, of equals the preferred one's."""
        if not self._others:
            return await node.head()
        heads = []
        for each in node.apart(self._timing.retry_total_seconds):
            with suppress(*PASSING):
                heads.append((not each.is_astray, await each.head()))
        return max(heads, key=lambda found: (found[0], found[1].number))[1]

    async def follow(self) -> None:
        """Steps until there is nothing more to do for this head."""
        for _ in range(MOST_STEPS):
            if not await self.step():
                return
        raise AssertionError(f"the tail was not done after {MOST_STEPS} steps")

    async def fill(self) -> None:
        """Fill what is missing among the blocks known to be final."""
        await self._tried(self._fill)

    async def _fill(self) -> None:
        flow = (await self.indexer()).flow
        await flow.follower.look_around()
        await flow.backfill.fill_final()

    async def forced_step(self) -> bool:
        """One step of the tail whose failure comes out."""
        return await self._step()

    async def reconcile(self) -> None:
        """Make what is stored part of the chain, as the commands do that only fill."""
        await self._tried(self._reconcile)

    async def _reconcile(self) -> None:
        indexer = await self.indexer()
        await indexer.flow.follower.reconcile(await indexer.node.head())

    async def _tried(self, act: Callable[[], Any]) -> object:
        """What came of it; None after a failure that passes or an interruption, as in a process that goes on."""
        # A task of its own, so that a cancellation ends it and not the test.
        task = asyncio.ensure_future(act())
        try:
            result = await task
            if self.node.failure is not None:
                raise AssertionError("the fake node itself failed") from self.node.failure
        except PASSING as failure:
            if self.node.failure is not None:
                raise AssertionError("the fake node itself failed") from self.node.failure
            self._failure = f"{type(failure).__name__}: {failure}"
            return None
        except asyncio.CancelledError:
            return None
        return result

    @property
    def urls(self) -> list[str]:
        """Of the endpoints, the most preferred first."""
        return self._urls

    @property
    def url_of_database(self) -> str:
        return self._database_url

    @property
    def failure(self) -> str:
        """The last failure that passes, in words."""
        return self._failure

    async def cursor(self) -> bytes | None:
        """The hash of the newest followed block."""
        found: bytes | None = await self.asked("select hash from indexer.cursor")
        return found

    async def covered_rows(self) -> int:
        """How many events are in the database."""
        return int(await self.asked("select count(*) from indexer.event"))

    async def expect_reorgs(self, depths: list[int]) -> None:
        """The database's journal must hold reorgs of these depths, oldest first."""
        found = await self.asked("select array_agg(depth order by id) from indexer.reorg") or []
        if found != depths:
            raise AssertionError(
                f"the journal tells of reorgs of the depths {found}, not {depths}; last failure: {self._failure}"
            )

    async def asked(self, query: str) -> Any:
        """The first column of the query's first row."""
        connection = await asyncpg.connect(self._database_url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def look(self) -> None:
        """What the database claims to have must be right at any moment, on the branch that it is on."""
        at = await self.asked("select hash from indexer.cursor")
        if at is None:
            return
        branch = [self.chain.by_hash[at]]
        while branch[-1].number:
            branch.append(self.chain.by_hash[branch[-1].parent_hash])
        remembered = FakeChain()
        remembered.blocks = branch[::-1]
        self._memory.chain = remembered
        await assert_equal_to_chain(self._database_url, self._memory_url, self.contracts, complete=False)

    async def settle(self) -> int:
        """Bring everything to rest and compare it with the chain; how many events there are."""
        self.node.behind = 0
        self.node.answers_instead.clear()
        self.node.before = lambda method, params: None
        self._cut = None
        if self._running_with != self.contracts:
            await self.crash()
        # A chain that only went back is contradicted by its next blocks. They make the rest final, with and
        # without the tag; the tail covers them itself.
        self.mine(1, seed=0)
        await self.follow()
        self.mine(1 + self._settings.chain.confirmations, seed=1)
        self.finalize()
        self._failure = "none since it was to come to rest"
        for _ in range(2):
            await self.follow()
            await self.fill()
        try:
            return await assert_equal_to_chain(self._database_url, self.url, self.contracts)
        except AssertionError as error:
            error.add_note(f"last failure: {self._failure}")
            raise


def _watched(contract: TrueContract) -> WatchedContract:
    events = events_of_abi(contract.abi)
    tables = tables_of_contract(contract.name, events)
    return WatchedContract(contract.name, contract.addresses, tables, contract.start_block, transactions=True)
