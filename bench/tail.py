"""From the node's announcement of a block to its committed rows: `indexer run` as a whole, proof on.

When a row was committed is what PostgreSQL itself noted (`track_commit_timestamp`), read after the run: nothing
watches while the clock runs, and node and database have the same clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import aiohttp
import asyncpg

from bench.backfill import with_database
from bench.followed import Running, cursor, running, until
from bench.growing import Pace, growing_node
from indexer.store.embedded import EmbeddedPostgres

#: Seconds after the start that are not counted.
WARM_UP_SECONDS = 5.0
#: Commits of a single row that are timed after each run.
COMMITS = 200
#: One row for each block: its hash, and when its first row was committed.
COMMITTED = """
    select encode(block.hash, 'hex') as hash,
        extract(epoch from min(pg_xact_commit_timestamp(transfer.xmin)))::float8 as committed
    from token.transfer join indexer.block on block.number = transfer.block_number
    group by 1
"""


@dataclass(frozen=True, slots=True)
class Mode:
    """One row of the table."""

    block_seconds: float
    #: None: new heads are announced over WebSocket.
    poll_seconds: float | None = None
    reorg_every: int = 0

    @property
    def name(self) -> str:
        how = "WebSocket" if self.poll_seconds is None else f"polling every {self.poll_seconds:g} s"
        reorgs = f", a reorg every {self.reorg_every} blocks" if self.reorg_every else ""
        return f"{how}, blocks of {self.block_seconds:g} s{reorgs}"


@dataclass(frozen=True, slots=True)
class Run:
    """All times in milliseconds, of the blocks that were announced after the warm-up."""

    #: From the announcement to the committed rows, for each block.
    latencies: list[float]
    #: From the announcement until the node was asked for the block.
    asked: list[float]
    #: Means: the block's answer as the indexer sees it; the transaction; what is left of the processing.
    read: float
    commit: float
    proved: float
    #: Per block: requests to the node, calls in them, transactions in the database.
    requests: float
    calls: float
    transactions: float
    #: A transaction of one row with nothing around it, right after.
    bare_commits: list[float]


@dataclass(frozen=True, slots=True)
class _Counted:
    """What had been counted at a moment."""

    at: float
    metrics: dict[str, float]
    node: dict[str, Any]
    transactions: int


async def run_all(modes: Sequence[Mode], seconds: float, runs: int) -> dict[str, list[Run]]:
    """So many runs of each mode, in turn."""
    done: dict[str, list[Run]] = {mode.name: [] for mode in modes}
    for _ in range(runs):
        for mode in modes:
            done[mode.name].append(await _one(mode, seconds))
    return done


async def _one(mode: Mode, seconds: float) -> Run:
    with tempfile.TemporaryDirectory(prefix="indexer-bench-") as place:
        directory = Path(place)
        async with (
            EmbeddedPostgres(directory / "postgres", settings={"track_commit_timestamp": "on"}) as server,
            growing_node(Pace(mode.block_seconds, mode.reorg_every)) as node,
        ):
            database = with_database(server, "bench")
            await _execute(server, "create database bench")
            rpc = f"http://{node}" if mode.poll_seconds else f"ws://{node}"
            async with running(directory, rpc, database, poll_seconds=mode.poll_seconds or 1.0) as program:
                await until(lambda: _follows(database), "the indexer follows the head")
                await asyncio.sleep(WARM_UP_SECONDS)
                before = await _counted(program, node, server)
                await asyncio.sleep(seconds)
                after = await _counted(program, node, server)
                reached = await cursor(database) + int(2 / mode.block_seconds)
                await until(lambda: _is_at(database, reached), "the blocks that were announced are there")
                told = (await _told(node))["told"]
            return await _measured(before, after, told, database)


async def _measured(before: _Counted, after: _Counted, told: dict[str, Any], database: str) -> Run:
    """What the run came to.

    Raises:
        RuntimeError: nothing was measured.
    """
    connection = await asyncpg.connect(database)
    try:
        committed = {"0x" + row["hash"]: row["committed"] for row in await connection.fetch(COMMITTED)}
        bare = await _bare_commits(connection)
    finally:
        await connection.close()
    counted = {
        each: (announced, asked)
        for each, (announced, asked) in told.items()
        if before.at <= announced <= after.at and each in committed and asked is not None
    }
    if not counted:
        raise RuntimeError("no block was announced and stored in the time of the measurement")
    read = _mean(before, after, "indexer_rpc_request_duration_seconds", ":eth_getBlockByHash")
    commit = _mean(before, after, "indexer_commit_duration_seconds")
    processing = _mean(before, after, "indexer_event_processing_duration_seconds")
    shown = len([each for each, (announced, _) in told.items() if before.at <= announced <= after.at])
    return Run(
        latencies=[(committed[each] - announced) * 1e3 for each, (announced, _) in counted.items()],
        asked=[(asked - announced) * 1e3 for announced, asked in counted.values()],
        read=read,
        commit=commit,
        proved=processing - commit - read,
        requests=(after.node["requests"] - before.node["requests"]) / shown,
        calls=(after.node["calls"] - before.node["calls"]) / shown,
        transactions=(after.transactions - before.transactions) / shown,
        bare_commits=bare,
    )


def _mean(before: _Counted, after: _Counted, name: str, of: str = "") -> float:
    """Milliseconds per observation of a histogram between two moments."""
    sums = after.metrics.get(f"{name}_sum{of}", 0.0) - before.metrics.get(f"{name}_sum{of}", 0.0)
    count = after.metrics.get(f"{name}_count{of}", 0.0) - before.metrics.get(f"{name}_count{of}", 0.0)
    return sums / count * 1e3 if count else 0.0


async def _bare_commits(connection: asyncpg.Connection[asyncpg.Record]) -> list[float]:
    await connection.execute("create table bare (number int8 primary key)")
    taken: list[float] = []
    for number in range(COMMITS):
        started = time.perf_counter()
        async with connection.transaction():
            await connection.execute("insert into bare values ($1)", number)
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


async def _counted(program: Running, node: str, server: str) -> _Counted:
    connection = await asyncpg.connect(server)
    try:
        done = await connection.fetchval("select xact_commit from pg_stat_database where datname = 'bench'")
    finally:
        await connection.close()
    return _Counted(time.time(), await program.metrics(), await _told(node), done)


async def _told(node: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{node}/told") as response:
        found: dict[str, Any] = await response.json()
        return found


async def _follows(database: str) -> bool:
    return await cursor(database) > 0


async def _is_at(database: str, number: int) -> bool:
    return await cursor(database) >= number


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest of the values that so large a part of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-part * len(ordered) // 1) - 1)]


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """The medians over the runs, and p50 and p99 of each."""
    halves = [percentile(run.latencies, 0.5) for run in runs]
    tails = [percentile(run.latencies, 0.99) for run in runs]
    bare = [ms for run in runs for ms in run.bare_commits]
    return {
        "blocks": sum(len(run.latencies) for run in runs),
        "p50": median(halves),
        "p99": median(tails),
        "max": max(max(run.latencies) for run in runs),
        "p50_of_runs": halves,
        "p99_of_runs": tails,
        "asked": median(ms for run in runs for ms in run.asked),
        "read": mean(run.read for run in runs),
        "proved": mean(run.proved for run in runs),
        "commit": mean(run.commit for run in runs),
        "requests": mean(run.requests for run in runs),
        "calls": mean(run.calls for run in runs),
        "transactions": mean(run.transactions for run in runs),
        "bare_commit_p50": percentile(bare, 0.5),
        "bare_commit_p99": percentile(bare, 0.99),
    }


def report(done: dict[str, list[Run]], *, as_json: bool) -> None:
    """Print a table of the latencies and one of what they are made of, as Markdown or as JSON."""
    summaries = {name: summary(runs) for name, runs in done.items()}
    if as_json:
        print(json.dumps(summaries))
        return
    count = len(next(iter(done.values())))
    print(f"From the announcement to the committed rows, ms, {count} runs on {os.cpu_count()} cores:\n")
    print("| | p50 (of the runs) | p99 (of the runs) | max | blocks |\n|---|---|---|---|---|")
    for name, each in summaries.items():
        spreads = [
            f"{each[part]:.1f} ({min(each[f'{part}_of_runs']):.1f} to {max(each[f'{part}_of_runs']):.1f})"
            for part in ("p50", "p99")
        ]
        print(f"| {name} | {spreads[0]} | {spreads[1]} | {each['max']:.1f} | {each['blocks']} |")
    print("\nWhat it is made of, ms, and how often others are asked for each block:\n")
    print(
        "| | until the node was asked, median | its answer, mean | proof and rows, mean | transaction, mean "
        "| a bare commit, p50 and p99 | requests | calls | transactions |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name, each in summaries.items():
        parts = " | ".join(f"{each[part]:.1f}" for part in ("asked", "read", "proved", "commit"))
        bare = f"{each['bare_commit_p50']:.1f} and {each['bare_commit_p99']:.1f}"
        often = " | ".join(f"{each[part]:.1f}" for part in ("requests", "calls", "transactions"))
        print(f"| {name} | {parts} | {bare} | {often} |")
