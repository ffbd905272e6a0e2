"""Many seeds: a database server, workers that take one seed after another, and what came of them."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from indexer.store.database import open_database
from indexer.store.embedded import EmbeddedPostgres
from indexer.store.migrations import migrate
from tests.fixtures.postgres import fresh_database
from tests.fixtures.program import PROJECT
from tests.simulation.judge import WITNESS
from tests.simulation.story import Verdict

#: So many of the program's seconds pass in a real one.
SPEED = 6.0
#: A verdict holds what the program said.
LINE_BYTES = 1 << 24


@dataclass(slots=True)
class Tally:
    """What came of many seeds."""

    seeds: int = 0
    #: Seconds of all seeds added up; several run at the same time.
    seconds: float = 0.0
    failed: list[Verdict] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        self.seeds += 1
        self.seconds += verdict.seconds
        self.happened.update(verdict.happened)
        if verdict.wrong:
            self.failed.append(verdict)


async def run_seeds(
    seeds: Iterable[int],
    server: str,
    *,
    jobs: int,
    bug: str | None = None,
    told: Callable[[Verdict, Tally], None] = lambda *_: None,
    enough: Callable[[Tally], bool] = lambda _: False,
) -> Tally:
    """Run the seeds, so many at the same time.

    Args:
        server: URL of a PostgreSQL server.
        bug: a mistake to plant; see `tests.simulation.bugs`.
        told: is called with each verdict as it comes.
        enough: ends the run before all seeds are done.
    """
    tally = Tally()
    waiting = iter(seeds)
    async with _template(server) as template:

        async def work() -> None:
            async with _worker(server, template, bug) as ask:
                for seed in waiting:
                    if enough(tally):
                        return
                    verdict = await ask(seed)
                    tally.add(verdict)
                    told(verdict, tally)

        async with asyncio.TaskGroup() as group:
            for _ in range(jobs):
                group.create_task(work())
    return tally


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """URL of a PostgreSQL server of our own."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as directory:
        async with EmbeddedPostgres(
            Path(directory), durable=False, settings={"max_connections": "200"}
        ) as url:
            yield url


@asynccontextmanager
async def _template(server: str) -> AsyncIterator[str]:
    """Name of a database with our schema and the judge's witness, to be copied."""
    async with fresh_database(server) as url:
        database = await open_database(url, max_connections=1)
        await migrate(database)
        await database.close()
        connection = await asyncpg.connect(url)
        await connection.execute(WITNESS)
        await connection.close()
        yield urlsplit(url).path.removeprefix("/")


@asynccontextmanager
async def _worker(
    server: str, template: str, bug: str | None
) -> AsyncIterator[Callable[[int], Awaitable[Verdict]]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.simulation.worker",
        server,
        template,
        str(SPEED),
        *([bug] if bug else []),
        cwd=PROJECT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    async def ask(seed: int) -> Verdict:
        stdin.write(f"{seed}\n".encode())
        started = time.perf_counter()
        line = await stdout.readline()
        if not line:
            spent = time.perf_counter() - started
            raise AssertionError(f"the worker ended at seed {seed}, after {spent:.1f} s")
        told = json.loads(line)
        return Verdict(**{**told, "happened": Counter(told["happened"])})

    try:
        yield ask
        # It ends what it has started.
        stdin.close()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
