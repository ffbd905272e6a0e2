"""A whole backfill from a node that is far away and has limits, against the least time that these allow."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import asyncpg

from bench.backfill import require_rows, run_backfill, with_database
from bench.chain import ABI, CHAIN_ID, TOKEN
from bench.invented import InventedChain
from bench.limits import Limits
from indexer.store.embedded import EmbeddedPostgres

#: Chain id and genesis block, the newest block and the finalized one: asked whatever is there to fetch.
OPENING_CALLS = 4
#: The rate, if it has to be learned, and the longest range are known by then.
LEARNING_SECONDS = 20.0
START_SECONDS = 60.0

_CONFIGURATION = """
[chain]
id = {chain_id}
rpc = [{{ url = "{rpc}"{rate} }}]
transactions = "off"

[[contracts]]
name = "Token"
address = "{token}"
abi = "token.json"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One backfill."""

    #: Whether the rate stood in the configuration; else it had to be learned.
    configured: bool
    blocks: int
    events: int
    #: From the first question to the node to the last commit.
    seconds: float
    least_calls: int
    least_seconds: float
    least_ranges: int
    #: What the node counted: calls by method, times of refusals.
    counts: dict[str, Any]

    @property
    def share(self) -> float:
        return self.least_seconds / self.seconds

    def limited(self, after: float = 0.0) -> int:
        """Requests that had too many calls for the moment, later than so many seconds after the first."""
        return sum(at > after for at in self.counts["limited_at"])

    def refused(self, after: float = 0.0) -> int:
        """Likewise ranges that were refused."""
        return sum(at > after for at, _ in self.counts["refused"])


@asynccontextmanager
async def limited_node(chain: InventedChain, limits: Limits) -> AsyncIterator[str]:
    """The URL of such a node in a new process."""
    arguments = json.dumps([asdict(chain), asdict(limits)])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.limitednode", arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise RuntimeError("the node ended before it was ready")
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def least(chain: InventedChain, limits: Limits) -> tuple[int, int]:
    """The fewest ranges, and the fewest calls in all, with which the chain's logs and their times can be read."""
    ranges, first, logs, headers = 1, 0, 0, 0
    for number, count in chain.blocks_with_logs(0, chain.last):
        headers += not chain.timed_logs
        too_long = limits.range_blocks is not None and number - first >= limits.range_blocks
        if limits.range_blocks is not None and too_long:
            ranges += (number - first) // limits.range_blocks
            first, logs = number - (number - first) % limits.range_blocks, 0
        if limits.answer_logs is not None and logs + count > limits.answer_logs:
            ranges, first, logs = ranges + 1, number, 0
        logs += count
    if limits.range_blocks is not None:
        ranges += (chain.last - first) // limits.range_blocks
    return ranges, ranges + headers + OPENING_CALLS


async def run_all(chain: InventedChain, limits: Limits, runs: int, *, configured: list[bool]) -> list[Run]:
    """So many runs of each way in turn, each into a database of its own and against a node of its own."""
    done: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="indexer-bench-") as place:
        directory = Path(place)
        (directory / "token.json").write_text(json.dumps(ABI))
        async with EmbeddedPostgres(directory / "postgres") as server:
            for _ in range(runs):
                for each in configured:
                    async with limited_node(chain, limits) as node:
                        done.append(await _one(server, node, directory, chain, limits, configured=each))
    return done


async def _one(
    server: str, node: str, directory: Path, chain: InventedChain, limits: Limits, *, configured: bool
) -> Run:
    rate = f", requests_per_second = {limits.calls_per_second}" if configured else ""
    config = directory / "indexer.toml"
    config.write_text(_CONFIGURATION.format(chain_id=CHAIN_ID, rpc=node, token=TOKEN, rate=rate))
    root = await asyncpg.connect(server)
    try:
        await root.execute("drop database if exists bench with (force)")
        await root.execute("create database bench")
        url = with_database(server, "bench")
        outcome = await run_backfill(url, config, chain.last)
        events = sum(count for _, count in chain.blocks_with_logs(0, chain.last))
        await require_rows(url, events)
    finally:
        await root.close()
    async with aiohttp.ClientSession() as session, session.get(f"{node}counts") as response:
        counts: dict[str, Any] = await response.json()
    ranges, calls = least(chain, limits)
    per_second = limits.calls_per_second
    least_seconds = calls / per_second if per_second else limits.latency_seconds
    return Run(
        configured=configured,
        blocks=chain.last + 1,
        events=events,
        seconds=outcome["seconds"],
        least_calls=calls,
        least_seconds=least_seconds,
        least_ranges=ranges,
        counts=counts,
    )


def report(runs: list[Run], limits: Limits, *, as_json: bool) -> None:
    """Print medians and spreads, as Markdown or as JSON."""
    if as_json:
        told = [asdict(run) | {"share": run.share, "limited": run.limited()} for run in runs]
        print(json.dumps({"limits": asdict(limits), "runs": told}))
        return
    print(
        f"Backfill of {runs[0].blocks:,} blocks with {runs[0].events:,} logs: {limits.latency_seconds * 1e3:.0f} ms "
        f"away, at most {limits.calls_per_second} calls/s ({limits.counting}), ranges of {limits.range_blocks:,} "
        f"blocks, {limits.answer_logs:,} logs. Least: {runs[0].least_calls:,} calls, {runs[0].least_seconds:.1f} s.\n"
    )
    print("| rate | runs | | median | least | most |\n|---|---|---|---|---|---|")
    late = LEARNING_SECONDS
    for configured in sorted({run.configured for run in runs}, reverse=True):
        some = [run for run in runs if run.configured is configured]
        name = "configured" if configured else "learned"
        for what, values, shown in (
            ("seconds", [run.seconds for run in some], ".1f"),
            ("share of what is allowed", [run.share for run in some], ".1%"),
            ("calls", [float(run.counts["calls"]) for run in some], ",.0f"),
            ("requests", [float(run.counts["requests"]) for run in some], ",.0f"),
            ("over the rate", [float(run.limited()) for run in some], ".0f"),
            (f"of these after {late:.0f} s", [float(run.limited(late)) for run in some], ".0f"),
            ("ranges refused", [float(run.refused()) for run in some], ".0f"),
            (f"of these after {late:.0f} s", [float(run.refused(late)) for run in some], ".0f"),
        ):
            print(
                f"| {name} | {len(some)} | {what} "
                f"| {median(values):{shown}} | {min(values):{shown}} | {max(values):{shown}} |"
            )
