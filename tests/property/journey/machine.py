"""Everything that can happen, in any order: the chain moves, the node lags, the indexer steps and dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.property.journey.world import LATECOMER, World

Result = TypeVar("Result")

seeds = st.integers(0, 2**16)
depths = st.integers(1, 7)
lengths = st.integers(0, 9)


class Journey(RuleBasedStateMachine):
    """An indexer in its world; whatever happened, in the end the rows equal a straight read of the chain."""

    #: Makes a database of its own for each run; set by the test.
    new_database: ClassVar[Callable[[], AbstractAsyncContextManager[str]]]

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._stack = AsyncExitStack()
        self._world: World | None = None
        self._failed = False

    @property
    def world(self) -> World:
        assert self._world is not None
        return self._world

    def run(self, act: Coroutine[Any, Any, Result]) -> Result:
        try:
            return self._runner.run(act)
        except BaseException:
            self._failed = True
            raise

    @initialize(tag=st.booleans(), blocks=st.integers(0, 12), seed=seeds)
    def begin(self, tag: bool, blocks: int, seed: int) -> None:
        self.run(self._begin(None if tag else 3))
        self.world.mine(blocks, seed)

    async def _begin(self, confirmations: int | None) -> None:
        url = await self._stack.enter_async_context(type(self).new_database())
        self._world = await self._stack.enter_async_context(World(url, confirmations=confirmations))

    @rule(blocks=st.integers(1, 12), seed=seeds)
    def mine(self, blocks: int, seed: int) -> None:
        self.world.mine(blocks, seed)

    @rule(depth=depths, length=lengths, seed=seeds)
    def reorg(self, depth: int, length: int, seed: int) -> None:
        self.world.reorg(depth, length, seed)

    @rule(seed=seeds)
    def replace_the_tip(self, seed: int) -> None:
        self.world.reorg(1, 1, seed)

    @rule(below_head=st.integers(0, 8))
    def finalize(self, below_head: int) -> None:
        self.world.finalize(below_head)

    @rule(behind=st.integers(0, 10))
    def lag(self, behind: int) -> None:
        self.world.node.behind = behind

    @rule(requests=st.integers(1, 12), depth=depths, length=lengths, seed=seeds)
    def reorg_soon(self, requests: int, depth: int, length: int, seed: int) -> None:
        self.world.after(requests, lambda: self.world.reorg(depth, length, seed))

    @rule(requests=st.integers(1, 12), below_head=st.integers(0, 3))
    def finalize_soon(self, requests: int, below_head: int) -> None:
        self.world.after(requests, lambda: self.world.finalize(below_head))

    @rule()
    def step(self) -> None:
        self.run(self.world.step())

    @rule()
    def follow(self) -> None:
        self.run(self.world.follow())

    @rule()
    def fill(self) -> None:
        self.run(self.world.fill())

    @rule()
    def reconcile(self) -> None:
        self.run(self.world.reconcile())

    @rule()
    def crash(self) -> None:
        self.run(self.world.crash())

    @rule(where=st.sampled_from(["before", "during", "after"]))
    def interrupt_the_next_commit(self, where: str) -> None:
        self.world.cut_next_commit(where)

    @precondition(lambda self: LATECOMER not in self.world.contracts)
    @rule()
    def add_a_contract(self) -> None:
        self.world.watch(LATECOMER)

    @precondition(lambda self: LATECOMER in self.world.contracts)
    @rule()
    def leave_the_contract_out(self) -> None:
        self.world.unwatch(LATECOMER)

    @rule()
    def look(self) -> None:
        self.run(self.world.look())

    def teardown(self) -> None:
        try:
            if self._world is not None and not self._failed:
                self.run(self.world.look())
                self.run(self.world.settle())
        finally:
            self._runner.run(self._stack.aclose())
            self._runner.close()
