"""The journal of reorgs, for people; needs no leadership and changes nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from indexer.core.model import BlockId
from indexer.store.database import Database

READ_REORGS = "select * from indexer.reorg order by id desc limit $1"
READ_ORPHANS = """
    select * from indexer.orphaned_event where reorg_id = any($1::bigint[])
    order by reorg_id, block_number, log_index, contract, signature
"""


@dataclass(frozen=True, slots=True)
class Orphan:
    """An event that a reorg removed."""

    contract: str
    event: str
    signature: str
    block: BlockId
    log_index: int
    transaction_hash: bytes
    address: bytes
    args: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Reorg:
    """One entry of the journal."""

    id: int
    happened_at: datetime
    fork: BlockId
    #: How many of our blocks were replaced.
    depth: int
    old_head: BlockId
    new_head: BlockId
    rows_removed: int
    rows_added: int
    transactions_removed: int
    transactions_added: int
    undecoded_removed: int
    #: Empty where they were not asked for.
    orphans: tuple[Orphan, ...]


async def read_reorgs(database: Database, limit: int | None, *, events: bool) -> tuple[Reorg, ...]:
    """The newest so many reorgs (None: all), newest first, if wanted with the events they removed."""
    orphans: dict[int, list[Orphan]] = defaultdict(list)
    async with database.transaction(isolation="repeatable read read only") as connection:
        rows = await connection.fetch(READ_REORGS, limit)
        if events:
            for row in await connection.fetch(READ_ORPHANS, [row["id"] for row in rows]):
                orphans[row["reorg_id"]].append(_orphan(row))
    return tuple(_reorg(row, orphans[row["id"]]) for row in rows)


def _reorg(row: asyncpg.Record, orphans: list[Orphan]) -> Reorg:
    return Reorg(
        id=row["id"],
        happened_at=row["happened_at"],
        fork=BlockId(row["fork_number"], row["fork_hash"]),
        depth=row["depth"],
        old_head=BlockId(row["old_head_number"], row["old_head_hash"]),
        new_head=BlockId(row["new_head_number"], row["new_head_hash"]),
        rows_removed=row["rows_removed"],
        rows_added=row["rows_added"],
        transactions_removed=row["transactions_removed"],
        transactions_added=row["transactions_added"],
        undecoded_removed=row["undecoded_removed"],
        orphans=tuple(orphans),
    )


def _orphan(row: asyncpg.Record) -> Orphan:
    return Orphan(
        contract=row["contract"],
        event=row["event"],
        signature=row["signature"],
        block=BlockId(row["block_number"], row["block_hash"]),
        log_index=row["log_index"],
        transaction_hash=row["transaction_hash"],
        address=row["address"],
        args=json.loads(row["args"]),
    )
