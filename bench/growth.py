"""Whether an event costs more when the table is large: backfill and head, with few rows and with many, in turn."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import asyncpg
import msgspec

from bench.backfill import run_backfill, with_database
from bench.chain import ABI, CHAIN_ID, TOKEN, Chain, make_chain
from bench.node import running_node
from bench.stages import token_sources
from indexer.core.batch import Decoder
from indexer.core.logs import check_range_logs
from indexer.core.model import BlockId, FollowedBlock, Header, Span
from indexer.core.source import Source, filter_of
from indexer.core.watched import WatchedContract
from indexer.core.wire import WireLog
from indexer.store.catalog import register
from indexer.store.database import Database, open_database
from indexer.store.embedded import EmbeddedPostgres
from indexer.store.leadership import wait_for_leadership
from indexer.store.migrations import migrate
from indexer.store.writer import Writer

#: The rows that are there beforehand are of blocks from here on, so that the backfill writes below them.
FIRST_OLD_BLOCK = 10_000_000
OLD_ROWS_PER_BLOCK = 500
#: Rows made by one statement.
ROWS_AT_ONCE = 1_000_000
#: Followed blocks in each round.
HEAD_BLOCKS = 50
_OLD_BLOCKS = """
    insert into indexer.block (number, hash, timestamp, has_rows)
    select number, sha256(number::text::bytea), to_timestamp(1700000000 + number), true
    from generate_series($1::bigint, $2::bigint) as number
"""
_OLD_ROWS = """
    insert into token.transfer
    select $1 + n / $3, n % $3, to_timestamp(1700000000 + $1 + n / $3), sha256(n::text::bytea), n % $3, $4,
        substr(sha256((n % 50000)::text::bytea), 1, 20), substr(sha256((n * 7 % 50000)::text::bytea), 1, 20), n
    from generate_series($2::bigint, $5::bigint) as n
"""
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
    """One round on a table of so many rows."""

    round: int
    rows: int
    backfill_events_per_second: float
    #: Milliseconds of the transaction that writes a followed block: the median, and the 99th percentile.
    head_milliseconds: float
    head_milliseconds_p99: float


async def run_all(few: int, many: int, logs: int, rounds: int) -> list[Run]:
    """So many rounds, each with few rows and with many; a round backfills `logs` events and follows 50 blocks."""
    chain = make_chain(logs * rounds)
    done: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="indexer-bench-") as place:
        directory = Path(place)
        async with EmbeddedPostgres(directory / "postgres") as server, running_node(logs * rounds) as node:
            (directory / "token.json").write_text(json.dumps(ABI))
            config = directory / "indexer.toml"
            config.write_text(_CONFIGURATION.format(chain_id=CHAIN_ID, rpc=node, token=TOKEN))
            sizes = (few, many)
            for size in sizes:
                await _make(server, size, chain)
            for number in range(rounds):
                # What comes first in one round comes last in the next.
                for size in sizes if number % 2 == 0 else sizes[::-1]:
                    url = with_database(server, f"rows_{size}")
                    rate = await _backfill(url, config, chain, number, rounds)
                    heads = sorted(await _follow(url, chain))
                    p99 = heads[min(len(heads) - 1, int(len(heads) * 0.99))]
                    done.append(Run(number, size, rate, median(heads), p99))
    return done


async def _make(server: str, rows: int, chain: Chain) -> None:
    """A database of ours with so many transfers."""
    root = await asyncpg.connect(server)
    try:
        await root.execute(f"create database rows_{rows}")
    finally:
        await root.close()
    url = with_database(server, f"rows_{rows}")
    async with _writing(url, chain):
        pass
    connection = await asyncpg.connect(url)
    try:
        last = FIRST_OLD_BLOCK + (rows - 1) // OLD_ROWS_PER_BLOCK
        await connection.execute(_OLD_BLOCKS, FIRST_OLD_BLOCK, last)
        for begin in range(0, rows, ROWS_AT_ONCE):
            token = bytes.fromhex(TOKEN[2:])
            end = min(begin + ROWS_AT_ONCE, rows) - 1
            await connection.execute(_OLD_ROWS, FIRST_OLD_BLOCK, begin, OLD_ROWS_PER_BLOCK, token, end)
        await connection.execute("update indexer.source set rows = $1", rows)
        await connection.execute("vacuum analyze")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


@asynccontextmanager
async def _writing(url: str, chain: Chain) -> AsyncIterator[tuple[Database, Writer, tuple[Source, ...]]]:
    """The right to write to the database, with the token registered."""
    database = await open_database(url)
    try:
        await migrate(database)
        async with await wait_for_leadership(database) as leadership:
            writer = Writer(database, leadership.epoch, leadership.since)
            (source,) = token_sources()
            token = WatchedContract("Token", (source.address,), (source.table,), 0, transactions=False)
            genesis = bytes.fromhex(json.loads(chain.headers[0])["hash"][2:])
            registered = await register(writer, [token], chain_id=CHAIN_ID, genesis_hash=genesis)
            yield database, writer, registered.sources
    finally:
        await database.close()


async def _backfill(url: str, config: Path, chain: Chain, number: int, rounds: int) -> float:
    """Events a second of `indexer backfill` of this round's blocks."""
    share = chain.last // rounds
    first, last = number * share + 1, (number + 1) * share
    outcome = await run_backfill(url, config, last, "--from-block", str(first), "--workers", "1")
    if outcome["rows"] != chain.count(first, last):
        raise RuntimeError(f"{outcome['rows']} rows were written, not {chain.count(first, last)}")
    return outcome["rows"] / outcome["seconds"]


async def _follow(url: str, chain: Chain) -> list[float]:
    """Milliseconds of each transaction that writes a block above all rows."""
    taken: list[float] = []
    async with _writing(url, chain) as (database, writer, sources):
        decoder, wanted = Decoder(sources), filter_of(sources)
        async with database.connection() as connection:
            newest = await connection.fetchval("select max(number) from indexer.block")
        # A block without rows lies between this round's tail and whatever came before.
        cursor = _header(newest + 2)
        before = await _cursor(database)
        await writer.set_finalized(cursor.id)
        await writer.start_tail(before, cursor)
        for at in range(1, HEAD_BLOCKS + 1):
            head = _header(cursor.number + at)
            text = chain.logs[at].replace(
                b'"blockNumber":"%s"' % hex(at).encode(), b'"blockNumber":"%s"' % hex(head.number).encode()
            )
            text = text.replace(
                json.loads(chain.headers[at])["hash"].encode(), b"0x" + head.hash.hex().encode()
            )
            logs = msgspec.json.decode(b"[" + text + b"]", type=list[WireLog])
            encoded = decoder.encode(check_range_logs(Span(head.number, head.number), wanted, logs))
            began = time.perf_counter()
            await writer.append(_header(head.number - 1).id, [FollowedBlock(head, encoded, ())])
            taken.append((time.perf_counter() - began) * 1e3)
    return taken


async def _cursor(database: Database) -> BlockId | None:
    async with database.connection() as connection:
        row = await connection.fetchrow("select number, hash from indexer.cursor")
    return BlockId(row["number"], row["hash"]) if row and row["hash"] else None


def _header(number: int) -> Header:
    def hash_of(block: int) -> bytes:
        return block.to_bytes(32, "big")

    return Header(
        number=number,
        hash=hash_of(number),
        parent_hash=hash_of(number - 1),
        timestamp=1_700_000_000 + number,
        base_fee_wei=1,
        gas_used=0,
        gas_limit=30_000_000,
        logs_bloom=bytes(256),
        receipts_root=bytes(32),
    )


def report(runs: list[Run], *, as_json: bool) -> None:
    """Print both sizes and their ratio within each round, as Markdown or as JSON."""
    if as_json:
        print(json.dumps([asdict(run) for run in runs]))
        return
    few, many = min(run.rows for run in runs), max(run.rows for run in runs)
    small = sorted((run for run in runs if run.rows == few), key=lambda run: run.round)
    large = sorted((run for run in runs if run.rows == many), key=lambda run: run.round)
    print(f"{len(small)} rounds; a followed block holds about {OLD_ROWS_PER_BLOCK} events:\n")
    print(
        f"| | {few:,} rows | {many:,} rows | ratio in one round, median (least to most) |\n|---|---|---|---|"
    )
    for name, field in {
        "backfill, events/s": "backfill_events_per_second",
        "commit of a followed block, ms, median": "head_milliseconds",
        "99th percentile": "head_milliseconds_p99",
    }.items():
        one, other = [getattr(run, field) for run in small], [getattr(run, field) for run in large]
        ratios = [b / a for a, b in zip(one, other, strict=True)]
        print(
            f"| {name} | {median(one):,.1f} | {median(other):,.1f} "
            f"| {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
