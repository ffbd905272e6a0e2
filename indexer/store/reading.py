"""What the database holds, for the flow and for people; needs no leadership and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from indexer.core.model import BlockId, Span
from indexer.store import audits, halts
from indexer.store.audits import FinishedAudit
from indexer.store.database import Connection, Database
from indexer.store.halts import Halt
from indexer.store.indexes import StoredIndex, read_indexes

READ_CURSOR = """
    select cursor.*, extract(epoch from block.timestamp)::bigint as seconds
    from indexer.cursor left join indexer.block on block.number = cursor.number and block.hash = cursor.hash
"""
#: Linked blocks from the cursor down; $1 is the lowest number that still counts.
READ_WINDOW = """
    select number, hash, parent_hash from indexer.block
    where number between $1 and $2 order by number desc
"""
STORED_AT_OR_BELOW = "select number, hash from indexer.block where number <= $1 order by number desc limit 1"
READ_COVERAGE = "select source_id, blocks from indexer.coverage where active"
READ_SOURCES = "select * from indexer.coverage order by contract, event nulls last, address, source_id"
READ_LAST_REORG = "select * from indexer.reorg order by id desc limit 1"
COUNT_REORGS = "select count(*) from indexer.reorg"
COUNT_ORPHANED = "select count(*) from indexer.orphaned_event"
COUNT_UNDECODED = "select reason, count(*) as logs from indexer.undecoded_log group by reason order by reason"
READ_TABLES = """
    select distinct contract, abi_digest, table_schema, table_name from indexer.source where kind = 'event'
"""
READ_LEADER = "select epoch, leader_pid, leader_host, leader_since, chain_id from indexer.chain"
READ_SIZE = "select pg_database_size(current_database())"
READ_UPDATED = "select updated_at from indexer.cursor"


@dataclass(frozen=True, slots=True)
class State:
    """Where the indexer is, in one snapshot."""

    #: The newest followed block; None before the tail was started.
    cursor: BlockId | None
    #: Unix seconds.
    cursor_time: int | None
    #: The newest block that we know as final.
    finalized: BlockId | None
    #: The stored blocks that link up to the cursor, oldest first, cursor included. The oldest one is final,
    #: or the one at which the tail was started. Empty before that.
    window: tuple[BlockId, ...]
    #: Covered blocks of each active source by id, the tail included; ascending, not touching each other.
    coverage: Mapping[int, tuple[Span, ...]]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source, active or not."""

    id: int
    #: ``event`` or ``transactions``.
    kind: str
    contract: str
    address: bytes
    #: Name and signature; None for transactions.
    event: str | None
    signature: str | None
    start_block: int
    covered: tuple[Span, ...]
    rows: int
    active: bool


@dataclass(frozen=True, slots=True)
class ReorgStatus:
    """The last reorg."""

    happened_at: datetime
    fork: BlockId
    depth: int
    old_head: BlockId
    new_head: BlockId
    rows_removed: int
    rows_added: int


@dataclass(frozen=True, slots=True)
class LeaderStatus:
    """Who took the lead last; it may have ended since."""

    epoch: int
    pid: int
    host: str
    since: datetime


@dataclass(frozen=True, slots=True)
class StoredStatus:
    """All that `indexer status` tells from the database."""

    chain_id: int | None
    state: State
    #: When the cursor last moved.
    updated_at: datetime
    sources: tuple[SourceStatus, ...]
    reorgs: int
    last_reorg: ReorgStatus | None
    #: Events that reorgs removed, which are kept.
    orphaned: int
    #: The newest audit.
    audit: FinishedAudit | None
    #: Why writing stopped, if it did and the cursor has not moved since.
    halt: Halt | None
    #: Undecoded logs by reason.
    undecoded: Mapping[str, int]
    leader: LeaderStatus | None
    size_bytes: int
    #: Indexes that were declared, now or before.
    indexes: tuple[StoredIndex, ...]
    #: The table of each event by contract and digest.
    tables: Mapping[tuple[str, bytes], tuple[str, str]]


async def read_state(database: Database) -> State:
    """Cursor, finality, window and coverage as of one moment."""
    async with _snapshot(database) as connection:
        return await _state(connection)


async def stored_at_or_below(database: Database, number: int) -> BlockId | None:
    """The newest stored block that is not above the number."""
    async with database.connection() as connection:
        row = await connection.fetchrow(STORED_AT_OR_BELOW, number)
    return BlockId(row["number"], row["hash"]) if row else None


async def size_bytes(database: Database) -> int:
    """How large the database is on the disk of its server."""
    async with database.connection() as connection:
        return int(await connection.fetchval(READ_SIZE))


async def read_status(database: Database) -> StoredStatus:
    """Everything about the database that a person asks for first, as of one moment."""
    async with _snapshot(database) as connection:
        state = await _state(connection)
        leader = await connection.fetchrow(READ_LEADER)
        assert leader is not None
        return StoredStatus(
            chain_id=leader["chain_id"],
            state=state,
            updated_at=await connection.fetchval(READ_UPDATED),
            sources=tuple(_source(row) for row in await connection.fetch(READ_SOURCES)),
            reorgs=await connection.fetchval(COUNT_REORGS),
            last_reorg=_reorg(await connection.fetchrow(READ_LAST_REORG)),
            orphaned=await connection.fetchval(COUNT_ORPHANED),
            audit=audits.audit_of(await connection.fetchrow(audits.READ_LAST)),
            halt=halts.halt_of(await connection.fetchrow(halts.READ_CURRENT)),
            undecoded={row["reason"]: row["logs"] for row in await connection.fetch(COUNT_UNDECODED)},
            leader=_leader(leader),
            size_bytes=await connection.fetchval(READ_SIZE),
            indexes=await read_indexes(connection),
            tables={
                (row["contract"], row["abi_digest"]): (row["table_schema"], row["table_name"])
                for row in await connection.fetch(READ_TABLES)
            },
        )


@asynccontextmanager
async def _snapshot(database: Database) -> AsyncIterator[Connection]:
    async with database.transaction(isolation="repeatable read read only") as connection:
        yield connection


async def _state(connection: Connection) -> State:
    row = await connection.fetchrow(READ_CURSOR)
    assert row is not None
    cursor = BlockId(row["number"], row["hash"]) if row["hash"] else None
    window: tuple[BlockId, ...] = ()
    if cursor is not None:
        stored = await connection.fetch(READ_WINDOW, row["window_first"], cursor.number)
        window = _linked(cursor, stored)
    coverage = await connection.fetch(READ_COVERAGE)
    return State(
        cursor=cursor,
        cursor_time=row["seconds"],
        finalized=BlockId(row["finalized_number"], row["finalized_hash"]) if row["finalized_hash"] else None,
        window=window,
        coverage={each["source_id"]: _spans(each["blocks"]) for each in coverage},
    )


def _linked(cursor: BlockId, stored: Iterable[asyncpg.Record]) -> tuple[BlockId, ...]:
    """The part of the stored blocks (newest first) that hangs together with the cursor, oldest first."""
    window = []
    number, hash_ = cursor.number, cursor.hash
    for row in stored:
        if row["number"] != number or row["hash"] != hash_:
            break
        window.append(BlockId(number, hash_))
        number, hash_ = number - 1, row["parent_hash"]
    return tuple(reversed(window))


def _spans(blocks: Iterable[Any]) -> tuple[Span, ...]:
    """The ranges of a multirange, which PostgreSQL gives with the upper end exclusive."""
    return tuple(Span(each.lower, each.upper - 1) for each in blocks)


def _source(row: asyncpg.Record) -> SourceStatus:
    return SourceStatus(
        id=row["source_id"],
        kind=row["kind"],
        contract=row["contract"],
        address=row["address"],
        event=row["event"],
        signature=row["signature"],
        start_block=row["start_block"],
        covered=_spans(row["blocks"]),
        rows=row["rows"],
        active=row["active"],
    )


def _reorg(row: asyncpg.Record | None) -> ReorgStatus | None:
    if row is None:
        return None
    return ReorgStatus(
        happened_at=row["happened_at"],
        fork=BlockId(row["fork_number"], row["fork_hash"]),
        depth=row["depth"],
        old_head=BlockId(row["old_head_number"], row["old_head_hash"]),
        new_head=BlockId(row["new_head_number"], row["new_head_hash"]),
        rows_removed=row["rows_removed"],
        rows_added=row["rows_added"],
    )


def _leader(row: asyncpg.Record) -> LeaderStatus | None:
    if row["leader_pid"] is None:
        return None
    return LeaderStatus(row["epoch"], row["leader_pid"], row["leader_host"], row["leader_since"])
