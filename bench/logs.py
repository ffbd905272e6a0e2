"""What the program's own log costs: a flood of lines, and a backfill beside many, with Logstash there, silent, gone."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from bench.backfill import require_rows, with_database
from bench.chain import ABI, CHAIN_ID, TOKEN, make_chain
from bench.node import running_node
from indexer.store.embedded import EmbeddedPostgres

#: Without Logstash first: the others are compared with it.
MODES = ("none", "gone", "silent", "there")
MEGABYTE = 1024 * 1024
_CONFIGURATION = """
[chain]
id = {chain_id}
rpc = [{{ url = "{rpc}", gzip = false }}]
transactions = "off"

[database]
url = {database}

[[contracts]]
name = "Token"
address = "{token}"
abi = "token.json"
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    #: Lines of each flood.
    lines: int
    #: Events of each backfill, and lines a second beside it.
    logs: int
    per_second: float
    runs: int
    modes: tuple[str, ...] = MODES


async def run_all(sizes: Sizes) -> dict[str, Any]:
    """Floods and backfills of each mode in turn, so that a slow minute of the machine strikes all."""
    found: dict[str, Any] = {
        what: {mode: [] for mode in MODES if mode in sizes.modes} for what in ("flood", "backfill")
    }
    for mode in found["flood"] if sizes.lines else ():
        async with _logstash(mode) as port:
            found["flood"][mode].append((await _child("flood", port, "--lines", str(sizes.lines)))[-1])
    if not sizes.logs:
        return found
    last = make_chain(sizes.logs).last
    with tempfile.TemporaryDirectory(prefix="indexer-bench-") as place:
        async with EmbeddedPostgres(Path(place) / "postgres") as server, running_node(sizes.logs) as node:
            for number in range(sizes.runs):
                for mode in found["backfill"]:
                    name = f"bench_{number}_{mode}"
                    done = await _backfill(Path(place), server, name, node, sizes, mode, last)
                    found["backfill"][mode].append(done)
    return found


async def _backfill(
    place: Path, server: str, name: str, node: str, sizes: Sizes, mode: str, last: int
) -> dict[str, Any]:
    root = await asyncpg.connect(server)
    try:
        await root.execute(f"create database {name}")
        url = with_database(server, name)
        (place / "token.json").write_text(json.dumps(ABI))
        config = place / "indexer.toml"
        text = _CONFIGURATION.format(chain_id=CHAIN_ID, rpc=node, token=TOKEN, database=json.dumps(url))
        config.write_text(text)
        async with _logstash(mode) as port:
            options = ("--per-second", str(sizes.per_second), "--config", str(config), "--last", str(last))
            outcome, pressed = await _child("backfill", port, *options)
        await require_rows(url, sizes.logs)
        await root.execute(f"drop database {name} with (force)")
    finally:
        await root.close()
    return {**pressed, "events_per_second": sizes.logs / outcome["seconds"]}


async def _child(what: str, port: int | None, *options: str) -> list[dict[str, Any]]:
    """The lines of JSON that a process under pressure prints."""
    command = [sys.executable, "-m", "bench", "pressed", what, *options]
    command += [] if port is None else ["--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the process ended with {process.returncode}")
    return [json.loads(line) for line in output.splitlines()]


@asynccontextmanager
async def _logstash(mode: str) -> AsyncIterator[int | None]:
    """The port where Logstash is, is silent, or is not."""
    if mode == "none":
        yield None
        return
    if mode == "gone":
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = int(taken.getsockname()[1])
        yield port
        return
    if mode == "silent":
        # Connections are accepted by the system, and nobody reads them.
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield int(server.getsockname()[1])
        return
    # In a process of its own, as it would be.
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench", "pressed", "reader", stdout=asyncio.subprocess.PIPE
    )
    assert reader.stdout is not None
    try:
        yield int(await reader.stdout.readline())
    finally:
        reader.terminate()
        await reader.wait()


def read_for_ever() -> None:
    """Print a port, and read and forget what comes there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            while connection.recv(1 << 20):
                pass
            connection.close()


def report(found: dict[str, Any], *, as_json: bool) -> None:
    """Print the floods, and medians and ratios of the backfills, as Markdown or as JSON."""
    if as_json:
        print(json.dumps(found))
        return
    print(f"A flood, as fast as lines can be written, on {os.cpu_count()} cores:\n")
    print(
        "| Logstash | lines | lines/s | sent | dropped | waiting | memory grew, MB |\n|---" + "|---" * 6 + "|"
    )
    for mode, floods in found["flood"].items():
        for flood in floods:
            grown = (flood["peak_bytes"] - flood["before_bytes"]) / MEGABYTE
            counts = " | ".join(f"{flood[key]:,}" for key in ("sent", "dropped", "queued"))
            rate = flood["lines"] / flood["seconds"]
            print(f"| {mode} | {flood['lines']:,} | {rate:,.0f} | {counts} | {grown:.1f} |")
    plain = [run["events_per_second"] for run in found["backfill"].get("none", [])]
    if plain:
        print(f"\nA backfill beside them, medians of {len(plain)}; ratios are to the run without Logstash:\n")
        print(
            "| Logstash | events/s | ratio (least..most) | lines/s | sent | dropped | peak, MB |\n|---"
            + "|---" * 6
            + "|"
        )
        for mode, runs in found["backfill"].items():
            print(_row(mode, runs, plain))


def _row(mode: str, runs: list[dict[str, Any]], plain: list[float]) -> str:
    ratios = [run["events_per_second"] / of for run, of in zip(runs, plain, strict=True)]
    middle = {key: median(run[key] for run in runs) for key in runs[0]}
    rate = median(run["lines"] / run["seconds"] for run in runs)
    spread = f"{median(ratios):.3f} ({min(ratios):.3f}..{max(ratios):.3f})"
    return (
        f"| {mode} | {middle['events_per_second']:,.0f} | {spread} | "
        f"{rate:,.0f} | {middle['sent']:,.0f} | {middle['dropped']:,.0f} | {middle['peak_bytes'] / MEGABYTE:.0f} |"
    )
