"""What more processes bring: the same backfill with 1, 2, 3 … workers in turn, ratios taken within each round."""

from __future__ import annotations

import json
import os
import resource
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import asyncpg

from bench.backfill import require_rows, run_backfill, with_database
from bench.chain import ABI, CHAIN_ID, TOKEN, make_chain
from bench.node import running_node
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
    """One backfill."""

    round: int
    workers: int
    events: int
    #: From the first question to the node to the last commit; other processes start within that time.
    seconds: float
    #: CPU time of all processes of the indexer together, their start included.
    cpu_seconds: float

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds


async def run_all(logs: int, rounds: int, workers: Sequence[int]) -> list[Run]:
    """So many rounds with each number of workers in turn, each backfill into a database of its own."""
    last = make_chain(logs).last
    done: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="indexer-bench-") as place:
        directory = Path(place)
        async with EmbeddedPostgres(directory / "postgres") as server, running_node(logs) as node:
            (directory / "token.json").write_text(json.dumps(ABI))
            config = directory / "indexer.toml"
            config.write_text(_CONFIGURATION.format(chain_id=CHAIN_ID, rpc=node, token=TOKEN))
            for number in range(rounds):
                # What comes first in one round comes last in the next: machines get slower and quicker.
                counts = workers if number % 2 == 0 else workers[::-1]
                done += [await _one(server, config, last, logs, number, count) for count in counts]
    return done


async def _one(server: str, config: Path, last: int, logs: int, number: int, workers: int) -> Run:
    root = await asyncpg.connect(server)
    try:
        await root.execute("drop database if exists bench with (force)")
        await root.execute("create database bench")
        # No run pays for what the one before left to be written.
        await root.execute("checkpoint")
        url = with_database(server, "bench")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        outcome = await run_backfill(url, config, last, "--workers", str(workers))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        await require_rows(url, logs)
    finally:
        await root.close()
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(number, workers, logs, outcome["seconds"], cpu_seconds)


def report(runs: list[Run], *, as_json: bool) -> None:
    """Print medians, spreads and speed-ups, as Markdown or as JSON."""
    counts = sorted({run.workers for run in runs})
    alone = {run.round: run for run in runs if run.workers == counts[0]}
    summary = []
    for count in counts:
        those = [run for run in runs if run.workers == count]
        rates = [run.events_per_second for run in those]
        ratios = [alone[run.round].seconds / run.seconds for run in those]
        summary.append({
            "workers": count,
            "events_per_second": median(rates),
            "events_per_second_least": min(rates),
            "events_per_second_most": max(rates),
            "speed_up": median(ratios),
            "speed_up_least": min(ratios),
            "speed_up_most": max(ratios),
            "cpu_microseconds_per_event": median(run.cpu_seconds / run.events * 1e6 for run in those),
        })  # fmt: skip
    if as_json:
        print(json.dumps({"summary": summary, "runs": [asdict(run) for run in runs]}))
        return
    rounds = len(alone)
    print(f"Backfill of {runs[0].events:,} ERC-20 logs, {rounds} rounds on {os.cpu_count()} cores:\n")
    print(
        f"| workers | events/s, median (least to most) | times as quick as {counts[0]} | CPU, µs per event |\n"
        "|---|---|---|---|"
    )
    for each in summary:
        print(
            f"| {each['workers']} | {each['events_per_second']:,.0f} ({each['events_per_second_least']:,.0f} to "
            f"{each['events_per_second_most']:,.0f}) | {each['speed_up']:.2f} ({each['speed_up_least']:.2f} to "
            f"{each['speed_up_most']:.2f}) | {each['cpu_microseconds_per_event']:.2f} |"
        )
