"""The least time that PostgreSQL needs for the same rows: COPY of finished bytes into an identical table."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import msgspec

from bench.chain import Chain
from bench.stages import token_sources
from indexer.core.batch import Decoder
from indexer.core.ddl import table_ddl
from indexer.core.logs import check_range_logs
from indexer.core.model import Span, TableRows
from indexer.core.pgbinary import COPY_HEADER, COPY_TRAILER
from indexer.core.source import filter_of
from indexer.core.wire import WireLog

#: Blocks in one COPY, which is one transaction: about as many logs as the indexer writes at once.
BLOCKS_PER_COPY = 40
SCHEMA = "floor"


def prepared(chain: Chain) -> list[TableRows]:
    """The chain's rows as bytes for COPY."""
    sources = token_sources()
    decoder, wanted = Decoder(sources), filter_of(sources)
    batches: list[TableRows] = []
    for first in range(1, chain.last + 1, BLOCKS_PER_COPY):
        last = min(first + BLOCKS_PER_COPY - 1, chain.last)
        wire = msgspec.json.decode(chain.range_logs(first, last), type=list[WireLog])
        batches += decoder.encode(check_range_logs(Span(first, last), wanted, wire)).tables
    return batches


async def copy_seconds(url: str, batches: list[TableRows]) -> float:
    """Seconds for all batches, one after another over one connection, into a new and empty table."""
    table = replace(token_sources()[0].table, schema=SCHEMA)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"drop schema if exists {SCHEMA} cascade")
        await connection.execute(table_ddl(table))
        started = time.perf_counter()
        for batch in batches:
            await connection.copy_to_table(
                table.name,
                schema_name=SCHEMA,
                columns=list(batch.columns),
                format="binary",
                source=_bytes(batch),
            )
        seconds = time.perf_counter() - started
        rows = await connection.fetchval(f'select count(*) from {SCHEMA}."{table.name}"')
        if rows != sum(batch.rows for batch in batches):
            raise RuntimeError(f"{rows} rows were copied, not {sum(batch.rows for batch in batches)}")
        await connection.execute(f"drop schema {SCHEMA} cascade")
        return seconds
    finally:
        await connection.close()


async def _bytes(batch: TableRows) -> AsyncIterator[bytes]:
    yield COPY_HEADER
    yield batch.payload
    yield COPY_TRAILER
