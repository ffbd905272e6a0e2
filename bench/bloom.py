"""What the bloom proof costs a backfill that reads every header anyway: the same one with and without it, in turn."""

from __future__ import annotations

import json
import os
import resource
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import asyncpg

from bench.backfill import require_rows, run_backfill, with_database
from bench.chain import ABI, CHAIN_ID, TOKEN
from bench.node import running_node
from bench.sparse import make_sparse_chain
from indexer.store.embedded import EmbeddedPostgres

LEVELS = ("linked", "bloom")
_CONFIGURATION = """
[chain]
id = {chain_id}
rpc = [{{ url = "{rpc}", gzip = false }}]
transactions = "off"

[backfill]
proof = "{proof}"

[[contracts]]
name = "Token"
address = "{token}"
abi = "token.json"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One backfill."""

    proof: str
    blocks: int
    #: From the first question to the node to the last commit.
    seconds: float
    #: CPU time of the indexer's process alone, start-up included.
    cpu_seconds: float


async def run_all(logs: int, runs: int) -> list[Run]:
    """So many runs of each level in turn, each into a database of its own."""
    last = make_sparse_chain(logs).last
    done: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="indexer-bench-") as place:
        directory = Path(place)
        async with (
            EmbeddedPostgres(directory / "postgres") as server,
            running_node(logs, sparse=True) as node,
        ):
            (directory / "token.json").write_text(json.dumps(ABI))
            for proof in LEVELS:
                (directory / f"{proof}.toml").write_text(
                    _CONFIGURATION.format(chain_id=CHAIN_ID, rpc=node, token=TOKEN, proof=proof)
                )
            for _ in range(runs):
                done += [
                    await _one(server, proof, directory / f"{proof}.toml", last, logs) for proof in LEVELS
                ]
    return done


async def _one(server: str, proof: str, config: Path, last: int, logs: int) -> Run:
    root = await asyncpg.connect(server)
    try:
        await root.execute("drop database if exists bench with (force)")
        await root.execute("create database bench")
        url = with_database(server, "bench")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        outcome = await run_backfill(url, config, last)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        await require_rows(url, logs)
    finally:
        await root.close()
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(proof, last + 1, outcome["seconds"], cpu_seconds)


def report(runs: list[Run], *, as_json: bool) -> None:
    """Print medians and their ratio, as Markdown or as JSON."""
    if as_json:
        print(json.dumps([asdict(run) for run in runs]))
        return
    blocks, count = runs[0].blocks, len(runs) // len(LEVELS)
    print(f"Backfill of {blocks:,} blocks, every header read, {count} runs each on {os.cpu_count()} cores:\n")
    print("| | linked | bloom | bloom / linked, median (least to most of the pairs) |\n|---|---|---|---|")
    for name, values in {
        "seconds": [run.seconds for run in runs],
        "CPU of the indexer, s, start-up included": [run.cpu_seconds for run in runs],
    }.items():
        plain, proved = values[::2], values[1::2]
        ratios = [two / one for one, two in zip(plain, proved, strict=True)]
        print(
            f"| {name} | {median(plain):.2f} | {median(proved):.2f} "
            f"| {median(proved) / median(plain):.3f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
