"""The indexer beside a loop of web3.py and asyncpg such as anybody would write first, on the same node and database."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
from eth_typing import HexStr
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.types import FilterParams

from bench.backfill import require_rows, run_backfill, with_database
from bench.chain import ABI, CHAIN_ID, LOGS_PER_BLOCK, TOKEN, TRANSFER, make_chain
from bench.node import running_node
from indexer.store.embedded import EmbeddedPostgres

#: Blocks the loop asks for at once: no node that answers anything refuses about 5,000 logs.
RANGE_BLOCKS = 10
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
#: web3.py wants to be told what the ABI's default is.
_ABI = [each | {"anonymous": False} for each in ABI]
_TABLE = """
create table naive_transfer (
    block_number bigint, log_index integer, block_time timestamptz, transaction_hash text,
    sender text, recipient text, value numeric(78, 0), primary key (block_number, log_index)
)
"""
_INSERT = "insert into naive_transfer values ($1, $2, $3, $4, $5, $6, $7)"


@dataclass(frozen=True, slots=True)
class Run:
    """Both, one right after the other."""

    naive_events: int
    naive_seconds: float
    events: int
    #: From the first question to the node to the last commit.
    seconds: float

    @property
    def naive_per_second(self) -> float:
        return self.naive_events / self.naive_seconds

    @property
    def per_second(self) -> float:
        return self.events / self.seconds

    @property
    def ratio(self) -> float:
        return self.per_second / self.naive_per_second


async def naive_loop(rpc: str, database_url: str, last: int) -> int:
    """Index the transfers of the blocks 0..last the plain way; how many there were."""
    web3 = AsyncWeb3(AsyncHTTPProvider(rpc))
    transfer = web3.eth.contract(abi=_ABI).events.Transfer()
    address = AsyncWeb3.to_checksum_address(TOKEN)
    connection = await asyncpg.connect(database_url)
    times: dict[int, datetime] = {}
    rows = 0
    try:
        for first in range(0, last + 1, RANGE_BLOCKS):
            wanted = FilterParams(
                address=address,
                topics=[HexStr(TRANSFER)],
                fromBlock=first,
                toBlock=min(first + RANGE_BLOCKS - 1, last),
            )
            values = []
            for log in await web3.eth.get_logs(wanted):
                event = transfer.process_log(log)
                number = event["blockNumber"]
                if number not in times:
                    block = await web3.eth.get_block(number)
                    times[number] = datetime.fromtimestamp(block["timestamp"], UTC)
                values.append(_row(event, times[number]))
            async with connection.transaction():
                await connection.executemany(_INSERT, values)
            rows += len(values)
    finally:
        await connection.close()
        await web3.provider.disconnect()
    return rows


def _row(event: Any, time: datetime) -> tuple[object, ...]:
    arguments = event["args"]
    return (
        event["blockNumber"],
        event["logIndex"],
        time,
        event["transactionHash"].hex(),
        arguments["from"],
        arguments["to"],
        arguments["value"],
    )


async def run_all(logs: int, naive_logs: int, runs: int) -> list[Run]:
    """So many runs of both in turn: the loop indexes fewer logs, because rates are compared."""
    chain = make_chain(logs)
    last, naive_last = chain.last, min(chain.last, max(1, naive_logs // LOGS_PER_BLOCK))
    naive_events = chain.count(0, naive_last)
    del chain
    done: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="indexer-bench-") as place:
        directory = Path(place)
        async with EmbeddedPostgres(directory / "postgres") as server, running_node(logs) as node:
            (directory / "token.json").write_text(json.dumps(ABI))
            config = directory / "indexer.toml"
            config.write_text(_CONFIGURATION.format(chain_id=CHAIN_ID, rpc=node, token=TOKEN))
            for _ in range(runs):
                run = await _one(server, node, config, last, naive_last, logs)
                if run.naive_events != naive_events:
                    raise RuntimeError(f"the loop found {run.naive_events} logs, not {naive_events}")
                done.append(run)
    return done


async def _one(server: str, node: str, config: Path, last: int, naive_last: int, logs: int) -> Run:
    clock = asyncio.get_running_loop().time
    root = await asyncpg.connect(server)
    try:
        await root.execute("drop database if exists bench with (force)")
        await root.execute("create database bench")
        url = with_database(server, "bench")
        await _execute(url, _TABLE)
        started = clock()
        naive_events = await naive_loop(node, url, naive_last)
        naive_seconds = clock() - started
        outcome = await run_backfill(url, config, last)
        await require_rows(url, logs)
    finally:
        await root.close()
    return Run(naive_events, naive_seconds, logs, outcome["seconds"])


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def report(runs: list[Run], *, as_json: bool) -> None:
    """Print both rates and how many times quicker the indexer is, as Markdown or as JSON."""
    if as_json:
        print(json.dumps([asdict(run) | {"ratio": run.ratio} for run in runs]))
        return
    print(
        f"The indexer on {runs[0].events:,} ERC-20 logs, a web3.py and asyncpg loop on {runs[0].naive_events:,} of "
        f"them, {len(runs)} runs of both on {os.cpu_count()} cores:\n"
    )
    print("| | median | least | most |\n|---|---|---|---|")
    rows = {
        "web3.py loop, events/s": ([run.naive_per_second for run in runs], ",.0f"),
        "indexer, events/s": ([run.per_second for run in runs], ",.0f"),
        "times the loop": ([run.ratio for run in runs], ",.0f"),
    }
    for name, (values, shown) in rows.items():
        print(f"| {name} | {median(values):{shown}} | {min(values):{shown}} | {max(values):{shown}} |")
