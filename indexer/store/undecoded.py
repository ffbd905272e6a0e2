"""Reading and removing entries of `indexer.undecoded_log`, in portions that fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

import asyncpg

from indexer.core.model import UndecodedLog
from indexer.store.database import Connection

#: A portion ends after so many entries or so many bytes of data, whichever comes first.
PORTION_ROWS, PORTION_BYTES = 2_000, 8 << 20

#: Where an entry is: block number, log index, source id.
Key = tuple[int, int, int]
#: Before every entry.
START: Key = (-1, -1, -1)

NEXT_KEYS = f"""
    select block_number, log_index, source_id, octet_length(data) as bytes from indexer.undecoded_log
    where (block_number, log_index, source_id) > ($1, $2, $3) and reason <> 'lossy_text'
        and ($4::bigint is null or source_id = $4)
    order by block_number, log_index, source_id limit {PORTION_ROWS}
"""
READ = """
    select *, extract(epoch from block_time)::bigint as seconds from indexer.undecoded_log
    where (block_number, log_index, source_id) > ($1, $2, $3)
        and (block_number, log_index, source_id) <= ($4, $5, $6) and reason <> 'lossy_text'
    order by block_number, log_index, source_id
"""
READ_BLOCKS = """
    select *, extract(epoch from block_time)::bigint as seconds from indexer.undecoded_log
    where source_id = $1 and block_number between $2 and $3
    order by block_number, log_index
"""
REMOVE = """
    delete from indexer.undecoded_log using unnest($1::bigint[], $2::int[], $3::bigint[]) as given (b, l, s)
    where block_number = given.b and log_index = given.l and source_id = given.s
"""
PRESENT = """
    select entry.block_number, entry.log_index from indexer.undecoded_log as entry
    join unnest($2::bigint[], $3::int[]) as given (b, l)
        on entry.block_number = given.b and entry.log_index = given.l
    where entry.source_id = $1
"""


async def next_portion(connection: Connection, after: Key) -> list[UndecodedLog]:
    """The entries after that one, in order, those of lossy texts aside; empty at the end."""
    keys = await _next_keys(connection, after, None)
    if not keys:
        return []
    return [undecoded_log(row) for row in await connection.fetch(READ, *after, *keys[-1])]


async def next_blocks(connection: Connection, after: int, source_id: int) -> tuple[list[UndecodedLog], int]:
    """The source's entries of the next blocks after that one, and the last of these blocks.

    No block is cut in two, however many entries it has. Empty at the end.
    """
    keys = await _next_keys(connection, (after, 2**31 - 1, 2**63 - 1), source_id)
    if not keys:
        return [], after
    first, last = keys[0][0], keys[-1][0]
    rows = await connection.fetch(READ_BLOCKS, source_id, first, last)
    return [undecoded_log(row) for row in rows], last


async def _next_keys(connection: Connection, after: Key, source_id: int | None) -> list[Key]:
    found = await connection.fetch(NEXT_KEYS, *after, source_id)
    sums = accumulate(row["bytes"] for row in found)
    keys = [
        (row["block_number"], row["log_index"], row["source_id"])
        for row, so_far in zip(found, sums, strict=True)
        if so_far <= PORTION_BYTES
    ]
    if found and not keys:
        return [(found[0]["block_number"], found[0]["log_index"], found[0]["source_id"])]
    return keys


async def remove(connection: Connection, entries: Iterable[UndecodedLog]) -> None:
    """Remove these entries."""
    some = list(entries)
    if some:
        await connection.execute(
            REMOVE,
            [each.block_number for each in some],
            [each.log_index for each in some],
            [each.source_id for each in some],
        )


async def present(
    connection: Connection, source_id: int, entries: Sequence[UndecodedLog]
) -> frozenset[tuple[int, int]]:
    """Block number and log index of those logs that have an entry of this source."""
    rows = await connection.fetch(
        PRESENT,
        source_id,
        [each.block_number for each in entries],
        [each.log_index for each in entries],
    )
    return frozenset((row["block_number"], row["log_index"]) for row in rows)


async def with_row(
    connection: Connection, table: str, entries: Sequence[UndecodedLog]
) -> frozenset[tuple[int, int]]:
    """Block number and log index of those logs that have a row in the table, given as quoted SQL."""
    rows = await connection.fetch(
        f"select stored.block_number, stored.log_index from {table} as stored "
        "join unnest($1::bigint[], $2::int[]) as given (b, l) "
        "on stored.block_number = given.b and stored.log_index = given.l",
        [each.block_number for each in entries],
        [each.log_index for each in entries],
    )
    return frozenset((row["block_number"], row["log_index"]) for row in rows)


def undecoded_log(row: asyncpg.Record) -> UndecodedLog:
    """The entry of a row that has the block's time as `seconds`, too."""
    return UndecodedLog(
        source_id=row["source_id"],
        block_number=row["block_number"],
        block_hash=row["block_hash"],
        block_time=row["seconds"],
        log_index=row["log_index"],
        transaction_hash=row["transaction_hash"],
        transaction_index=row["transaction_index"],
        address=row["address"],
        topics=tuple(row["topics"]),
        data=row["data"],
        reason=row["reason"],
    )
