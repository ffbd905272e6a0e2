"""The most memory that the indexer's process ever holds (VmHWM), and whether what it holds grows with time."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

import asyncpg

from bench.backfill import with_database
from bench.chain import ABI, CHAIN_ID, TOKEN
from bench.followed import cursor, running, until
from bench.growing import FINAL_BLOCKS, Pace, growing_node
from bench.heavy import ABI as HEAVY_ABI
from bench.node import MOST_LOGS, running_node
from indexer.store.embedded import EmbeddedPostgres

MEGABYTE = 1024 * 1024
#: Of each log of the backfill with large data.
DATA_BYTES = 5_000
#: Between two looks at the process; the most that it held it remembers by itself.
LOOK_SECONDS = 0.02
#: Until what is held while following has settled, and the part of the run that this is at least. Buffers grow and
#: statements are prepared at once; but cycles are collected only after 200,000 objects, that is some 2,500 blocks.
WARM_UP_SECONDS, WARM_UP_PART = 20.0, 1 / 3
BLOCK_SECONDS = 0.2
REORG_EVERY = 10
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
class Sizes:
    """How much is put into each case."""

    logs: int
    answer_megabytes: int
    block_logs: int
    minutes: float


@dataclass(frozen=True, slots=True)
class Held:
    """What the process held, in bytes."""

    peak: int
    #: After the warm-up, and at the end, where it ran for long enough.
    settled: int | None = None
    ended: int | None = None
    #: By a straight line through what was held in between.
    grows_per_hour: float | None = None


async def run_all(sizes: Sizes, runs: int, only: Sequence[str] | None = None) -> dict[str, list[Held]]:
    """So many runs of each case, or of those that are named."""
    cases: dict[str, Callable[[Path, str], Awaitable[Held]]] = {
        "backfill": lambda place, server: _backfill(place, server, sizes.logs, most_logs=MOST_LOGS),
        "uncapped": lambda place, server: _backfill(place, server, sizes.logs, most_logs=sizes.logs),
        "heavy": lambda place, server: _backfill(
            place,
            server,
            sizes.answer_megabytes * MEGABYTE // (2 * DATA_BYTES),
            most_logs=MOST_LOGS,
            data_bytes=DATA_BYTES,
        ),
        "block": lambda place, server: _big_block(place, server, sizes.block_logs),
        "tail": lambda place, server: _tail(place, server, sizes.minutes * 60),
    }
    done: dict[str, list[Held]] = {}
    for name in only or cases:
        done[name] = []
        for _ in range(runs):
            with tempfile.TemporaryDirectory(prefix="indexer-bench-") as place:
                async with EmbeddedPostgres(Path(place) / "postgres") as server:
                    connection = await asyncpg.connect(server)
                    await connection.execute("create database bench")
                    await connection.close()
                    done[name].append(await cases[name](Path(place), with_database(server, "bench")))
    return done


async def _backfill(
    directory: Path, database: str, logs: int, *, most_logs: int, data_bytes: int = 0
) -> Held:
    async with running_node(logs, data_bytes=data_bytes, most_logs=most_logs) as node:
        (directory / "token.json").write_text(json.dumps(HEAVY_ABI if data_bytes else ABI))
        config = directory / "indexer.toml"
        config.write_text(_CONFIGURATION.format(chain_id=CHAIN_ID, rpc=node, token=TOKEN))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "indexer", "backfill", "--config", str(config)),
            *("--from-block", "0", "--json"),
            env={**os.environ, "DATABASE_URL": database},
            stdout=asyncio.subprocess.DEVNULL,
        )
        peak = 0
        ended = asyncio.ensure_future(process.wait())
        while not ended.done():
            peak = max(peak, _bytes(process.pid, "VmHWM"))
            await asyncio.wait([ended], timeout=LOOK_SECONDS)
        if process.returncode:
            raise RuntimeError(f"the backfill ended with {process.returncode}")
    await _require_rows(database, "noted" if data_bytes else "transfer", logs)
    return Held(peak)


async def _big_block(directory: Path, database: str, logs: int) -> Held:
    """Follow until some blocks after one with so many logs."""
    async with (
        growing_node(Pace(BLOCK_SECONDS, big_logs=logs)) as node,
        running(directory, f"ws://{node}", database) as program,
    ):
        await until(lambda: _has_block_of(database, logs), "the large block is followed")
        return Held(program.memory_bytes("VmHWM"))


async def _tail(directory: Path, database: str, seconds: float) -> Held:
    async with (
        growing_node(Pace(BLOCK_SECONDS, REORG_EVERY)) as node,
        running(directory, f"ws://{node}", database) as program,
    ):
        await until(lambda: _is_above(database, FINAL_BLOCKS), "the indexer follows the head")
        await asyncio.sleep(max(WARM_UP_SECONDS, WARM_UP_PART * seconds))
        begun, first = time.monotonic(), await cursor(database)
        times: list[float] = []
        held: list[int] = []
        while (at := time.monotonic() - begun) < seconds or len(held) < 2:
            times.append(at)
            held.append(program.memory_bytes("VmRSS"))
            await asyncio.sleep(min(1.0, seconds / 20))
        if await cursor(database) == first:
            raise RuntimeError(f"nothing was followed in {seconds:g} s")
        slope = linear_regression(times, held).slope
        return Held(program.memory_bytes("VmHWM"), held[0], held[-1], slope * 3600)


def _bytes(pid: int, field: str) -> int:
    """What the system says of a process; 0 when it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return 0


async def _require_rows(database: str, table: str, expected: int) -> None:
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetchval(f"select count(*) from token.{table}")
    finally:
        await connection.close()
    if rows != expected:
        raise RuntimeError(f"{rows} rows are in the table, not {expected}")


async def _is_above(database: str, number: int) -> bool:
    return await cursor(database) > number


async def _has_block_of(database: str, logs: int) -> bool:
    """Whether so many rows are there: no other block has a hundredth of them."""
    if await cursor(database) < 0:
        return False
    connection = await asyncpg.connect(database)
    try:
        return bool(await connection.fetchval("select count(*) from token.transfer") >= logs)
    finally:
        await connection.close()


_NAMES = {
    "backfill": "backfill, answers of at most 20,000 logs",
    "uncapped": "backfill, answers of any size",
    "heavy": "backfill, logs with 5,000 bytes of data",
    "block": "following, one block with many logs",
    "tail": "following, five blocks a second with reorgs",
}


def report(done: dict[str, list[Held]], *, as_json: bool) -> None:
    """Print the most that was held, and how it grew, as Markdown or as JSON."""
    if as_json:
        print(json.dumps({name: [asdict(held) for held in runs] for name, runs in done.items()}))
        return
    count = len(next(iter(done.values())))
    print(f"Memory of the indexer's process, MiB, {count} runs:\n")
    print("| | peak, median | least | most | after the warm-up | at the end | growth per hour |")
    print("|---|---|---|---|---|---|---|")
    for name, runs in done.items():
        peaks = [held.peak / MEGABYTE for held in runs]
        grown = [_shown(runs, field) for field in ("settled", "ended", "grows_per_hour")]
        print(
            f"| {_NAMES[name]} | {median(peaks):.0f} | {min(peaks):.0f} | {max(peaks):.0f} | {' | '.join(grown)} |"
        )


def _shown(runs: Sequence[Held], field: str) -> str:
    values: list[Any] = [getattr(held, field) for held in runs if getattr(held, field) is not None]
    return f"{median(values) / MEGABYTE:.1f}" if values else ""
