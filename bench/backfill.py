"""A whole backfill, as a user starts it, against a node that answers from memory and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import asyncpg

from bench.chain import ABI, CHAIN_ID, TOKEN, make_chain
from bench.floor import copy_seconds, prepared
from bench.node import running_node
from indexer.core.model import TableRows
from indexer.store.embedded import EmbeddedPostgres

_CONFIGURATION = """
[chain]
id = {chain_id}
rpc = [{{ url = "{rpc}", gzip = false }}]
transactions = "off"

[[contracts]]
name = "Token"
address = "{token}"
abi = "token.json"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One backfill, and the floor measured right after it."""

    events: int
    #: From the first question to the node to the last commit.
    seconds: float
    #: Of the whole process: start-up, migration, tables and end included.
    process_seconds: float
    #: CPU time of the indexer's process alone.
    cpu_seconds: float
    #: Of PostgreSQL alone, for the same rows.
    copy_seconds: float

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds

    @property
    def times_copy(self) -> float:
        return self.seconds / self.copy_seconds


async def run_all(logs: int, runs: int) -> list[Run]:
    """So many runs, each into a database of its own."""
    chain = make_chain(logs)
    batches, last = prepared(chain), chain.last
    del chain
    done: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="indexer-bench-") as place:
        directory = Path(place)
        async with EmbeddedPostgres(directory / "postgres") as server, running_node(logs) as node:
            (directory / "token.json").write_text(json.dumps(ABI))
            (directory / "indexer.toml").write_text(
                _CONFIGURATION.format(chain_id=CHAIN_ID, rpc=node, token=TOKEN)
            )
            for number in range(runs):
                run = await _one(server, f"bench_{number}", directory / "indexer.toml", last, batches)
                done.append(run)
    return done


async def _one(server: str, database: str, config: Path, last: int, batches: list[TableRows]) -> Run:
    root = await asyncpg.connect(server)
    try:
        await root.execute(f"create database {database}")
        url = with_database(server, database)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        clock = asyncio.get_running_loop().time
        started = clock()
        outcome = await run_backfill(url, config, last)
        process_seconds = clock() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        await require_rows(url, sum(batch.rows for batch in batches))
        floor = await copy_seconds(url, batches)
        await root.execute(f"drop database {database} with (force)")
    finally:
        await root.close()
    return Run(
        events=sum(batch.rows for batch in batches),
        seconds=outcome["seconds"],
        process_seconds=process_seconds,
        cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        copy_seconds=floor,
    )


async def run_backfill(url: str, config: Path, last: int, *options: str) -> dict[str, float]:
    """What `indexer backfill` of the blocks up to the last one, with further options, says it did.

    Raises:
        RuntimeError: it failed.
    """
    command = ["backfill", "--config", str(config), "--from-block", "0", "--to-block", str(last), "--json"]
    command += options
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "indexer",
        *command,
        env={**os.environ, "DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the backfill ended with {process.returncode}")
    outcome: dict[str, float] = json.loads(output)
    return outcome


async def require_rows(url: str, expected: int) -> None:
    """Raise RuntimeError unless so many transfers are in the database."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetchval("select count(*) from token.transfer")
    finally:
        await connection.close()
    if rows != expected:
        raise RuntimeError(f"{rows} rows are in the table, not {expected}")


def with_database(url: str, database: str) -> str:
    """The server's URL with another database in it."""
    path, question, query = url.partition("?")
    return f"{path[: path.rindex('/')]}/{database}{question}{query}"


def report(runs: list[Run], *, as_json: bool) -> None:
    """Print medians and spread, as Markdown or as JSON."""
    events_per_second = [run.events_per_second for run in runs]
    summary = {
        "events": runs[0].events,
        "events_per_second": median(events_per_second),
        "events_per_second_least": min(events_per_second),
        "events_per_second_most": max(events_per_second),
        "times_copy": median(run.times_copy for run in runs),
        "copy_rows_per_second": median(run.events / run.copy_seconds for run in runs),
        "cpu_microseconds_per_event": median(run.cpu_seconds / run.events * 1e6 for run in runs),
        "process_seconds": median(run.process_seconds for run in runs),
    }
    if as_json:
        print(json.dumps({**summary, "runs": [asdict(run) for run in runs]}))
        return
    print(f"Backfill of {runs[0].events:,} ERC-20 logs, {len(runs)} runs on {os.cpu_count()} cores:\n")
    print("| | median | least | most |\n|---|---|---|---|")
    rows = {
        "events/s": (events_per_second, ",.0f"),
        "COPY of the same rows, rows/s": ([run.events / run.copy_seconds for run in runs], ",.0f"),
        "time, in times of the COPY": ([run.times_copy for run in runs], ".2f"),
        "CPU of the indexer, µs per event": ([run.cpu_seconds / run.events * 1e6 for run in runs], ".2f"),
        "whole process, s": ([run.process_seconds for run in runs], ".2f"),
    }
    for name, (values, shown) in rows.items():
        print(f"| {name} | {median(values):{shown}} | {min(values):{shown}} | {max(values):{shown}} |")
