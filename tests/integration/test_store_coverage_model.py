"""Coverage against a model of plain sets: after any calls in any order, rows and covered blocks are the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.core.errors import BelowFinality, Inconsistent
from indexer.core.model import BlockId, FollowedBlock, Span
from indexer.core.watched import WatchedContract
from indexer.store.reading import read_state
from tests.fixtures.stored import REGISTRIES, TOKENS, Stored, block_id, encoded, header, register_samples

pytestmark = pytest.mark.integration

FORGET_ALL = """
    truncate indexer.block, indexer.transaction, indexer.undecoded_log, indexer.reorg, indexer.orphaned_event,
        token.moved, token.stopped, registry.joined;
    update indexer.source set active = false, backfilled = '{}', followed_from = null, rows = 0;
    update indexer.cursor set number = null, hash = null, finalized_number = null, finalized_hash = null,
        window_first = null;
"""
BLOCKS_OF_SOURCES = """
    select source.id, array_remove(array_agg(event.block_number order by event.block_number), null) as blocks,
        min(source.rows) as rows
    from indexer.source left join indexer.event
        on event.contract = source.contract and event.event = source.event
        and event.address = '0x' || encode(source.address, 'hex')
    where source.kind = 'event' group by 1
"""


@dataclass
class Model:
    """The same promises, kept with sets: each covered block of a source has one row."""

    stored: Stored
    covered: dict[int, set[int]] = field(default_factory=dict)
    followed_from: dict[int, int] = field(default_factory=dict)
    active: set[int] = field(default_factory=set)
    #: The stored window, its last block being the cursor.
    chain: list[BlockId] = field(default_factory=list)
    branches: dict[int, str] = field(default_factory=dict)
    final: BlockId | None = None
    reorgs: int = 0

    @property
    def cursor(self) -> BlockId | None:
        return self.chain[-1] if self.chain else None

    @property
    def finalized(self) -> int:
        return self.final.number if self.final else -1

    def at(self, number: int) -> BlockId:
        return block_id(number, self.branches.get(number, "a"))

    async def register(self, contracts: Sequence[WatchedContract]) -> None:
        self.stored.registered = await register_samples(self.stored.writer, *contracts)
        self.active = set(self.stored.all_ids)
        for each in list(self.followed_from):
            if each not in self.active:
                del self.followed_from[each]
        for each in self.active:
            self.covered.setdefault(each, set())
            if self.cursor is not None:
                self.followed_from.setdefault(each, self.cursor.number + 1)

    async def fill(self, first: int, length: int, wanted: Sequence[bool]) -> None:
        span = Span(first, first + length - 1)
        numbers = range(span.first, span.last + 1)
        chosen = [each for each, yes in zip(self.stored.registered.sources, wanted, strict=False) if yes]
        rows = encoded(
            (source, self.at(number), place) for place, source in enumerate(chosen) for number in numbers
        )
        ids = [source.id for source in chosen]
        allowed = span.last <= self.finalized and all(
            self.covered[each].isdisjoint(numbers) and self.followed_from.get(each, span.last + 1) > span.last
            for each in ids
        )
        await expect(allowed, lambda: self.stored.writer.fill(span, ids, rows))
        if allowed:
            for each in ids:
                self.covered[each].update(numbers)

    def _new_blocks(self, parent: BlockId, count: int, branch: str) -> list[FollowedBlock]:
        logs = [(source.event.name, source.address) for source in self.stored.registered.sources]
        blocks = []
        for number in range(parent.number + 1, parent.number + 1 + count):
            head = header(number, branch, parent)
            blocks.append(self.stored.followed(head, logs))
            parent = head.id
        return blocks

    def _follow(self, blocks: Sequence[FollowedBlock], branch: str) -> None:
        for block in blocks:
            self.chain.append(block.header.id)
            self.branches[block.header.number] = branch
            for each in self.active:
                self.covered[each].add(block.header.number)

    async def append(self, count: int) -> None:
        if self.cursor is not None:
            branch = f"r{self.reorgs}"
            blocks = self._new_blocks(self.cursor, count, branch)
            await self.stored.writer.append(self.cursor, blocks)
            self._follow(blocks, branch)

    async def replace(self, depth: int, count: int) -> None:
        if self.cursor is None or depth >= len(self.chain):
            return
        self.reorgs += 1
        fork, branch = self.chain[-1 - depth], f"r{self.reorgs}"
        blocks = self._new_blocks(fork, count, branch)
        removed = await self.stored.writer.replace(self.cursor, fork, blocks)
        assert removed.depth == depth
        lost = {each: {n for n in blocks_ if n > fork.number} for each, blocks_ in self.covered.items()}
        assert removed.events == {each: len(gone) for each, gone in lost.items() if gone}
        for each, gone in lost.items():
            self.covered[each] -= gone
        for each, first in self.followed_from.items():
            self.followed_from[each] = min(first, fork.number + 1)
        del self.chain[len(self.chain) - depth :]
        self._follow(blocks, branch)

    async def start_tail(self, distance: int) -> None:
        number = distance + (self.cursor.number if self.cursor else 0)
        target = header(number, self.branches.get(number, "a"))
        allowed = all(max(self.covered[each], default=-1) <= number for each in self.active)
        await expect(allowed, lambda: self.stored.writer.start_tail(self.cursor, target))
        if allowed:
            self.chain = [target.id]
            if number > self.finalized:
                self.final = target.id
            for each in self.active:
                self.followed_from[each] = number + 1

    async def finalize(self, distance: int) -> None:
        number = (self.chain[0].number if self.chain else 0) + distance
        contradicts = number == self.finalized and self.at(number) != self.final
        await expect(not contradicts, lambda: self.stored.writer.set_finalized(self.at(number)))
        if number > self.finalized:
            self.final = self.at(number)
            if self.cursor is not None and number <= self.cursor.number:
                self.chain = [each for each in self.chain if each.number >= number]

    async def check_coverage(self) -> None:
        state = await read_state(self.stored.database)
        found = {
            each: {number for span in spans for number in range(span.first, span.last + 1)}
            for each, spans in state.coverage.items()
            if each not in self.stored.registered.transaction_sources.values()
        }
        assert found == {each: self.covered[each] for each in self.active}
        assert state.window == tuple(self.chain)

    async def check_rows(self) -> None:
        rows = await self.stored.rows(BLOCKS_OF_SOURCES)
        assert {row["id"]: (row["blocks"], row["rows"]) for row in rows} == {
            row["id"]: (sorted(blocks := self.covered.get(row["id"], set())), len(blocks)) for row in rows
        }


async def expect(allowed: bool, call: Callable[[], Awaitable[None]]) -> None:
    """The call succeeds if it is allowed and is refused if not."""
    if allowed:
        await call()
    else:
        with pytest.raises((Inconsistent, BelowFinality)):
            await call()


CONTRACTS = ([TOKENS, REGISTRIES], [TOKENS], [REGISTRIES])
STEPS = st.one_of(
    st.tuples(st.just("register"), st.sampled_from(CONTRACTS)),
    st.tuples(
        st.just("fill"),
        st.integers(0, 40),
        st.integers(1, 8),
        st.lists(st.booleans(), min_size=5, max_size=5),
    ),
    st.tuples(st.just("append"), st.integers(1, 4)),
    st.tuples(st.just("replace"), st.integers(1, 5), st.integers(0, 5)),
    st.tuples(st.just("start_tail"), st.integers(0, 12)),
    st.tuples(st.just("finalize"), st.integers(0, 6)),
)


@settings(
    max_examples=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=5, max_size=15))
async def test_coverage_and_rows_are_those_of_plain_sets(
    stored: Stored, steps: list[tuple[object, ...]]
) -> None:
    async with stored.database.connection() as connection:
        await connection.execute(FORGET_ALL)
    model = Model(stored)
    await model.register(CONTRACTS[0])
    for name, *arguments in steps:
        await getattr(model, str(name))(*arguments)
        await model.check_coverage()
    await model.check_rows()
