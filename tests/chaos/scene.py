"""A chain that moves on command, the program's configuration for it, and a look into its database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import asyncpg

from tests.fixtures.fakechain import FakeChain
from tests.fixtures.fakelogs import (
    LEDGER_ABI,
    LEDGER_ADDRESSES,
    REGISTRY_ABI,
    REGISTRY_ADDRESS,
    some_transactions,
)
from tests.fixtures.fakenode import FakeNode, serving
from tests.fixtures.program import Outcome, Program, command, started, until, write_config
from tests.fixtures.truth import assert_equal_to_chain
from tests.fixtures.truth_expected import TrueContract

CONTRACTS = (
    TrueContract("Ledger", LEDGER_ADDRESSES, LEDGER_ABI),
    TrueContract("Registry", (REGISTRY_ADDRESS,), REGISTRY_ABI, start_block=3),
)

#: Short ranges, so that a short history takes many transactions of the database.
BACKFILL: Mapping[str, object] = {"parallel": 2, "max_range_blocks": 3}
#: A reorg never reaches a block that is so far below the head.
FINAL_DEPTH = 12

#: Sessions of the program that have written something and not committed it.
WRITING = """
    select count(*) from pg_catalog.pg_stat_activity
    where datname = current_database() and application_name like 'indexer%' and backend_xid is not null
"""
CURSOR = "select number, hash from indexer.cursor"
COVERED = """
    select coalesce(bool_and(blocks @> int8range(start_block, $1, '[]')), false)
    from indexer.coverage where active
"""
TWICE = "select count(*) - count(distinct (contract, block_number, log_index)) from indexer.event"

Happening = Callable[[], Awaitable[None]]

#: Of the program's journal, where a test fails.
SHOWN_LINES = 30
#: Between two looks at the database.
LOOK_SECONDS = 0.003


async def nothing() -> None:
    """What happens where nothing does."""


class Scene:
    """What a test needs to drive the program and to judge it."""

    def __init__(self, node: FakeNode, rpc_url: str, database_url: str, directory: Path, random: Random):
        self.node = node
        self.chain = node.chain
        self.rpc_url = rpc_url
        self.database_url = database_url
        self.random = random
        self._directory = directory
        self._configs = 0

    def config(
        self,
        *,
        rpc_url: str | None = None,
        database_url: str | None = None,
        timeouts: Mapping[str, object] | None = None,
        chain: Mapping[str, object] | None = None,
        contracts: Sequence[TrueContract] = CONTRACTS,
    ) -> Path:
        """A configuration; with other URLs where the program has to go another way than we do."""
        self._configs += 1
        return write_config(
            self._directory,
            contracts,
            rpc=[rpc_url or self.rpc_url],
            database_url=database_url or self.database_url,
            chain={"poll_seconds": 0.05, **(chain or {})},
            backfill=BACKFILL,
            timeouts=timeouts,
            name=f"indexer-{self._configs}.toml",
        )

    @asynccontextmanager
    async def run(self, **options: Any) -> AsyncIterator[Program]:
        """`indexer run` with the options of `config`; a failure tells what it said last."""
        async with started("run", "--config", str(self.config(**options))) as program:
            try:
                yield program
            except BaseException as error:
                error.add_note("\n".join(["the program said at last:", *program.lines[-SHOWN_LINES:]]))
                raise

    def backfill(self) -> AbstractAsyncContextManager[Program]:
        """`indexer backfill` of all blocks, as a process to be disturbed."""
        return started("backfill", "--config", str(self.config()), "--from-block", "0")

    async def backfilled(self) -> Outcome:
        """`indexer backfill` of all blocks, undisturbed."""
        return await command("backfill", "--config", str(self.config()), "--from-block", "0", "--json")

    def mine(self, blocks: int = 1, *, transactions: int = 3) -> None:
        """Put blocks on the head, each with at most so many transactions."""
        for _ in range(blocks):
            self.chain.mine(some_transactions(self.random, self.random.randrange(transactions + 1)))

    def reorg(self, depth: int, length: int) -> None:
        """Replace the newest blocks, as far down as they are not final; some transactions come back."""
        depth = min(depth, self.chain.head.number - self.chain.finalized)
        dropped = self.chain.blocks[len(self.chain.blocks) - depth :]
        old = [each for block in dropped for each in block.transactions if self.random.random() < 0.5]
        self.chain.roll_back(depth)
        self.chain.mine([*old, *some_transactions(self.random, 1)])
        self.mine(length - 1)

    def finalize(self, below_head: int = 0) -> None:
        self.chain.finalize(self.chain.head.number - below_head)

    def weather(self) -> None:
        """Something that chains do."""
        if self.random.random() < 0.4:
            depth = self.random.choice((1, 1, 2, 3, 5, 8))
            self.reorg(depth, max(1, depth + self.random.choice((-1, 0, 1, 2))))
        else:
            self.mine(self.random.randrange(1, 4))
        if self.random.random() < 0.3:
            self.finalize(FINAL_DEPTH)

    async def keep_going(self, onlooker: Onlooker) -> None:
        """Let something happen to the chain once everything until now is followed."""
        if await onlooker.at_head(self.chain):
            self.weather()

    async def answered(self, requests: int, program: Program, meanwhile: Happening = nothing) -> None:
        """Return when the node has been asked so many more requests, or the program has ended."""
        goal = self.node.asked.total() + requests

        async def reached() -> bool:
            await meanwhile()
            return self.node.asked.total() >= goal or not program.running

        await until(reached, f"the node is asked {requests} more requests")

    async def settled(self) -> None:
        """Let the chain come to rest, and wait until the database holds all of it."""
        self.mine(2)
        self.finalize()
        await self.caught_up()

    async def followed(self) -> None:
        """Return when the cursor is at the head."""
        async with self.onlooker() as onlooker:

            async def done() -> bool:
                return await onlooker.at_head(self.chain)

            await until(done, f"the cursor is at block {self.chain.head.number}")

    async def caught_up(self) -> None:
        """Return when the database claims to hold all blocks up to the head."""
        async with self.onlooker() as onlooker:

            async def done() -> bool:
                return await onlooker.at_head(self.chain) and await onlooker.covers(self.chain.head.number)

            await until(done, f"everything up to block {self.chain.head.number} is in the database")

    async def compare(self) -> int:
        """Compare the database with the chain, of which it must hold everything; how many events there are."""
        await self._assert_nothing_twice()
        return await assert_equal_to_chain(self.database_url, self.rpc_url, CONTRACTS)

    async def compare_claims(self) -> int:
        """Compare what the database claims to hold with the branch it is on; how many events there are."""
        await self._assert_nothing_twice()
        async with self.onlooker() as onlooker:
            at = await onlooker.asked("select hash from indexer.cursor")
        branch = [self.chain.by_hash[at] if at else self.chain.head]
        while branch[-1].number:
            branch.append(self.chain.by_hash[branch[-1].parent_hash])
        remembered = FakeChain()
        remembered.blocks = branch[::-1]
        async with serving(FakeNode(remembered)) as url:
            return await assert_equal_to_chain(self.database_url, url, CONTRACTS, complete=False)

    async def _assert_nothing_twice(self) -> None:
        async with self.onlooker() as onlooker:
            assert await onlooker.asked(TWICE) == 0, "an event is stored twice"

    @asynccontextmanager
    async def onlooker(self) -> AsyncIterator[Onlooker]:
        connection = await asyncpg.connect(self.database_url)
        try:
            yield Onlooker(connection)
        finally:
            await connection.close()


class Onlooker:
    """A session that sees what the program does in the database."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    async def asked(self, query: str, *arguments: object) -> Any:
        """The first column of the query's first row; None before the migrations."""
        with suppress(asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            return await self._connection.fetchval(query, *arguments)
        return None

    async def execute(self, statements: str) -> None:
        await self._connection.execute(statements)

    async def is_writing(self) -> bool:
        """Whether a transaction of the program is open that has written."""
        return bool(await self.asked(WRITING))

    async def covers(self, last: int) -> bool:
        """Whether every source is covered up to and with that block."""
        return bool(await self.asked(COVERED, last))

    async def at_head(self, chain: FakeChain) -> bool:
        """Whether the cursor is on the chain's head."""
        with suppress(asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            row = await self._connection.fetchrow(CURSOR)
            return row is not None and (row["number"], row["hash"]) == (chain.head.number, chain.head.hash)
        return False

    async def freezes_writing(self, program: Program, idle: Happening = nothing) -> bool:
        """Freeze the program with a transaction open in which it has written.

        Args:
            idle: happens whenever nothing is being written.

        Returns: False when the program ended before it was caught.
        """

        async def caught() -> bool:
            if not program.running:
                return True
            if not await self.is_writing():
                await idle()
                await asyncio.sleep(LOOK_SECONDS)
                return False
            await frozen(program)
            if await self.is_writing():
                return True
            program.thaw()
            return False

        await until(caught, "the program is caught in a transaction")
        return program.running


async def frozen(program: Program) -> None:
    """Freeze the program, and return when it stands still."""
    with suppress(ProcessLookupError):
        program.freeze()

    async def stands_still() -> bool:
        return _state_of_process(program.pid) in "TtZX"

    await until(stands_still, "the program stands still")


def _state_of_process(pid: int) -> str:
    """One letter. Source: proc(5), /proc/pid/stat."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return "X"
    return status.rpartition(")")[2].split()[0]


@asynccontextmanager
async def scene(directory: Path, database_url: str, *, random: Random | None = None) -> AsyncIterator[Scene]:
    """A chain with nothing in it, and a node that serves it."""
    node = FakeNode(FakeChain())
    async with serving(node) as rpc_url:
        yield Scene(node, rpc_url, database_url, directory, random or Random(1))
    if node.failure is not None:
        raise AssertionError("the fake node itself failed") from node.failure


@contextmanager
def repeatable() -> Iterator[Random]:
    """Random numbers from `CHAOS_SEED`, else from a new seed each time, which a failure tells."""
    seed = int(os.environ.get("CHAOS_SEED") or int.from_bytes(os.urandom(4), "big"))
    try:
        yield Random(seed)
    except BaseException as error:
        error.add_note(f"to see it again: CHAOS_SEED={seed}")
        raise
