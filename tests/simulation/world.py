"""One seed's world: a chain, the endpoints that serve it, a database, and the processes of the program."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import asyncpg

from tests.chaos.scene import CONTRACTS, COVERED
from tests.fixtures.fakechain import FakeChain
from tests.fixtures.fakelogs import LATECOMER_ABI, LATECOMER_ADDRESS, some_transactions
from tests.fixtures.program import Outcome, Program, write_config
from tests.fixtures.truth_expected import TrueContract
from tests.simulation.databaseway import DatabaseWay
from tests.simulation.faults import Weather
from tests.simulation.forked import ForkServer
from tests.simulation.judge import Judge
from tests.simulation.nodes import SimulatedEndpoint, served
from tests.simulation.plan import SOCKET_FAULTS, Plan
from tests.simulation.views import Archive, View

LATECOMER = TrueContract("Latecomer", (LATECOMER_ADDRESS,), LATECOMER_ABI, start_block=5)
#: How long the world may take to converge when the weather is clear. Much more than it ever takes.
PATIENCE_SECONDS = 100.0
LOOK_SECONDS = 0.02
#: Blocks of a long absence: more than the tail reads one by one.
LONG_ABSENCE_BLOCKS = 300

MISSING = re.compile(r"(?:event|undecoded log) \('\w+', (\d+), (\d+)\) is missing")
CURSOR = "select hash from indexer.cursor"
COVERED_EVENTS = COVERED.replace("where active", "where active and kind = 'event'")


class WrongError(AssertionError):
    """The program did what it must not do; the message says what."""


class World:
    """What the acts move, and what is judged."""

    def __init__(
        self,
        plan: Plan,
        forks: ForkServer,
        directory: Path,
        database_url: str,
        way: DatabaseWay,
        patience: float,
    ) -> None:
        self.plan = plan
        self._patience = patience
        self.random = Random(f"world {plan.seed}")
        self.chain = FakeChain()
        self.archive = Archive()
        self.endpoints: list[SimulatedEndpoint] = []
        self.way = way
        self.database_url = database_url
        #: Every process that was started and is not known to have ended; the one that was started last is last.
        self.programs: list[Program] = []
        self.contracts: tuple[TrueContract, ...] = CONTRACTS
        #: How often what happened.
        self.happened: Counter[str] = Counter()
        self.asked = 0
        self._forks = forks
        self._directory = directory
        self._highest = 0
        self._starts = 0
        #: What every process has said, for a failure.
        self.said: list[Program] = []
        #: The names of the acts until now.
        self.acted: list[str] = []

    @property
    def judge(self) -> Judge:
        late = frozenset({LATECOMER.name} if LATECOMER in self.contracts else ())
        return Judge(
            self.chain,
            self.archive,
            self.contracts,
            late,
            self.plan.settings.transactions,
            orphans=not self.plan.breaks_finality,
        )

    # The chain.

    def count_asked(self, calls: int) -> None:
        self.asked += calls

    def mine(self, blocks: int = 1, *, sparse: bool = False) -> None:
        """Put blocks on the head; sparse ones are empty but for every 40th."""
        most = self.plan.transactions_per_block
        for at in range(blocks):
            count = 0 if sparse and at % 40 else self.random.randrange(most + 1)
            self.chain.mine(some_transactions(self.random, count, odd=self.plan.odd))
        self._highest = max(self._highest, self.chain.head.number)

    @property
    def floor(self) -> int:
        """The highest block that will never be replaced."""
        return max(self.chain.finalized, self._highest - self.plan.settings.confirmations)

    def reorg(self, depth: int, length: int) -> None:
        """Replace the newest blocks as far as they are not final; some of their transactions come back."""
        depth = min(depth, self.chain.head.number - self.floor)
        if depth <= 0:
            return
        dropped = self.chain.blocks[-depth:]
        old = [each for block in dropped for each in block.transactions if self.random.random() < 0.5]
        self.chain.roll_back(depth)
        self.happened["reorg of the chain"] += 1
        if length:
            self.chain.mine([*old[:8], *some_transactions(self.random, 1, odd=self.plan.odd)])
            self.mine(length - 1)

    def finalize(self) -> None:
        """Let finality advance."""
        self.chain.finalize(self.chain.head.number - self.plan.finality_lag)

    def leave_out(self) -> None:
        """Choose logs that the node leaves out of every range from now on."""
        watched = {address for each in CONTRACTS for address in each.addresses}
        logs = [
            (log["blockHash"], log["logIndex"])
            for block in self.chain.blocks[: self.chain.finalized + 1]
            for log in self.archive.logs(block)
            if bytes.fromhex(log["address"][2:]) in watched
        ]
        chosen = set(self.random.sample(logs, min(len(logs), 3)))
        for endpoint in self.endpoints:
            endpoint.left_out = chosen

    def missing(self, found: Iterable[str]) -> set[tuple[int, int]]:
        """Block and log index of the rows that are missing because the node left them out."""
        withheld = {key for endpoint in self.endpoints for key in endpoint.withheld}
        matches = [MISSING.match(line) for line in found]
        return {key for each in matches if each and (key := (int(each[1]), int(each[2]))) in withheld}

    def excused(self, found: Iterable[str]) -> list[str]:
        """The differences without those that a node which leaves out logs of ranges must cause."""
        if not self.plan.lies_in_ranges:
            return list(found)
        counted = re.compile(r"\w+ 0x\w+ .*: counted ")
        return [line for line in found if not self.missing([line]) and not counted.match(line)]

    async def announce(self) -> None:
        for endpoint in self.endpoints:
            if endpoint.view.blocks[-1] is self.chain.head:
                await endpoint.announce(self.chain.head)

    # The program.

    def config(self) -> Path:
        """The configuration of this moment."""
        settings = self.plan.settings
        urls = [endpoint.url for endpoint in self.endpoints]
        if settings.websocket:
            urls[0] = self.endpoints[0].ws_url
        self._starts += 1
        return write_config(
            self._directory,
            self.contracts,
            rpc=urls,
            database_url=self.way.url,
            chain={
                "poll_seconds": settings.poll_seconds,
                "transactions": settings.transactions,
                "proof": settings.proof,
                "confirmations": settings.confirmations,
                "below_finality": settings.below_finality,
            },
            backfill={
                "parallel": settings.parallel,
                "max_range_blocks": settings.max_range_blocks,
                "proof": settings.backfill_proof,
            },
            # Of several processes and seeds at a time the server has to hold all.
            database={"connections": 4},
            timeouts={
                "connect_seconds": 3.0,
                "request_seconds": 5.0,
                "retry_total_seconds": 20.0,
                "websocket_stall_seconds": 15.0,
            },
            name=f"indexer-{self._starts}.toml",
        )

    async def start(self) -> Program:
        """One more `indexer run`."""
        arguments = ["run", "--config", str(self.config())]
        program = Program(await self._forks.start(arguments, seed=self.random.getrandbits(32)))
        self.programs.append(program)
        self.said.append(program)
        self.happened["start"] += 1
        return program

    async def command(self, *arguments: str, kill_after: int | None = None) -> Outcome:
        """A command to its end, or killed after so many more requests to the node."""
        line = [arguments[0], "--config", str(self.config()), *arguments[1:]]
        process = await self._forks.start(line, seed=self.random.getrandbits(32))
        program = Program(process)
        self.said.append(program)
        output = asyncio.create_task(process.stdout.read())
        try:
            if kill_after is not None:
                await self.requests(kill_after)
                program.kill()
            async with asyncio.timeout(PATIENCE_SECONDS):
                code = await program.ended()
                return Outcome(code, (await output).decode(), program.said)
        finally:
            program.kill()
            await program.ended()
            output.cancel()

    async def end(self, program: Program) -> None:
        """Kill it, and forget it."""
        program.kill()
        await program.ended()
        self.programs.remove(program)

    async def stop(self) -> None:
        """Tell every process to stop; each must do so with exit code 0."""
        for program in self.programs:
            program.thaw()
            program.terminate()
        for program in list(self.programs):
            code = await program.ended()
            # Before it has said that it started, it has not heard of SIGTERM.
            deaf = code == -signal.SIGTERM and not program.journal
            if code != 0 and not deaf:
                raise WrongError(f"told to stop, `indexer run` ended with exit code {code}")
            self.programs.remove(program)

    def require_alive(self) -> None:
        """Raise WrongError when a process has ended by itself, or said that it did not foresee something."""
        for program in self.programs:
            if not program.running:
                raise WrongError("`indexer run` ended by itself")
        for program in self.said:
            for record in program.journal:
                if record.get("message") == "unforeseen error" or record.get("exception"):
                    raise WrongError(f"not foreseen: {json.dumps(record)[:2000]}")
                if record.get("message") == "halted" and not self.plan.breaks_finality:
                    raise WrongError(
                        f"halted, though the chain is final where it says so: {record['reason']}"
                    )

    # Waiting: for the program where it works, and never for long.

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        """Whether the condition came true in time."""
        try:
            async with asyncio.timeout(seconds):
                while not await condition():  # noqa: ASYNC110 - nobody announces it
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return False
        return True

    async def requests(self, count: int, seconds: float = 1.0) -> None:
        """Return when the node was asked so many more calls, or nothing comes."""
        goal = self.asked + count

        async def reached() -> bool:
            return self.asked >= goal

        await self.until(reached, seconds)

    async def at_head(self, connection: Any) -> bool:
        """Whether the cursor is on the chain's head."""
        return bool(await asked(connection, CURSOR) == self.chain.head.hash)

    async def followed(self, seconds: float) -> bool:
        """Whether the cursor came to the head in time."""
        async with self.onlooker() as connection:
            return await self.until(lambda: self.at_head(connection), seconds)

    async def converged(self) -> None:
        """Return when the database claims to have everything up to the head.

        Raises:
            WrongError: it does not come to that.
        """
        query = COVERED if self.plan.settings.transactions == "all" else COVERED_EVENTS

        async def done() -> bool:
            self.require_alive()
            if not await self.at_head(connection):
                return False
            return bool(await asked(connection, query, self.chain.head.number))

        async with self.onlooker() as connection:
            if await self.until(done, self._patience):
                return
            at = await connection.fetchrow("select number, finalized_number from indexer.cursor")
        raise WrongError(
            f"it did not converge: the head is block {self.chain.head.number}, final {self.chain.finalized}; "
            f"cursor and final block in the database: {at and tuple(at)}"
        )

    @asynccontextmanager
    async def onlooker(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self.database_url)
        try:
            yield connection
        finally:
            await connection.close()

    def clear(self) -> None:
        """End all faults."""
        self.way.open()
        self.way.disarm()
        for endpoint in self.endpoints:
            endpoint.weather.clear = True
            endpoint.away = False
            endpoint.view.most_blocks = None
            endpoint.view.catch_up()


async def asked(connection: Any, query: str, *arguments: object) -> Any:
    """The first column of the query's first row; None before the migrations."""
    try:
        return await connection.fetchval(query, *arguments)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return None


@asynccontextmanager
async def world(
    plan: Plan, forks: ForkServer, directory: Path, database_url: str, patience: float
) -> AsyncIterator[World]:
    """A world with a history, in which nothing runs yet; everything in it ends with the block.

    Args:
        patience: seconds that it may take to converge.
    """
    async with AsyncExitStack() as stack:
        way = await stack.enter_async_context(DatabaseWay(database_url).running())
        made = World(plan, forks, directory, database_url, way, patience)
        for at in range(plan.endpoints):
            name = f"rpc-{at + 1}"
            view = View(made.chain, made.archive, knows_finality=plan.knows_finality)
            view.may_lie = at == 0
            sockets = {kind: rate for kind, rate in plan.faults.items() if kind in SOCKET_FAULTS}
            endpoint = SimulatedEndpoint(
                name,
                view,
                Weather(plan.seed, name, plan.faults, made.happened),
                sockets,
                asked=made.count_asked,
                struck=made.happened,
            )
            made.endpoints.append(await stack.enter_async_context(served(endpoint)))
        made.mine(plan.history)
        made.finalize()
        if plan.lies_in_ranges:
            made.leave_out()
        try:
            yield made
        finally:
            for program in list(made.programs):
                await made.end(program)
    for endpoint in made.endpoints:
        if endpoint.failure is not None:
            raise AssertionError("the simulated node itself failed") from endpoint.failure
