"""Stored transactions against the chain's, and in their place; inside the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import asyncpg

from indexer.core.difference import StoredTransaction
from indexer.core.model import BlockId, Span, Transaction
from indexer.store import rows
from indexer.store.database import Connection
from indexer.store.repair import Replaced, change_counts
from indexer.store.rows import TransactionSource

STORED = """
    select *, extract(epoch from block_time)::bigint as seconds from indexer.transaction
    where block_number between $1 and $2 and source_ids && $3::bigint[]
"""
REMOVE = """
    delete from indexer.transaction where block_number = any($1::bigint[]) and source_ids && $2::bigint[]
    returning *
"""
#: Rows of other sources to which the chain gives ours no part; $3 and $4 are the places of the truth.
LEAVE_TO_OTHERS = """
    update indexer.transaction set
        source_ids = array(select unnest(source_ids) except select unnest($2::bigint[]) order by 1)
    where block_number = any($1::bigint[]) and source_ids && $2::bigint[] and not source_ids <@ $2::bigint[]
        and (block_number, transaction_index) not in (select * from unnest($3::bigint[], $4::int[]))
"""
KEEP_FOR_OTHERS = """
    update indexer.transaction set source_ids = source_ids || $3::bigint[], contract = coalesce(contract, $4)
    where block_number = $1 and transaction_index = $2
"""


async def stored_transactions(
    connection: Connection, span: Span, source_ids: frozenset[int]
) -> list[StoredTransaction]:
    """The transactions of these sources in these blocks."""
    found = await connection.fetch(STORED, span.first, span.last, list(source_ids))
    return [_transaction(row) for row in found]


def _transaction(row: asyncpg.Record) -> StoredTransaction:
    return StoredTransaction(
        block=row["block_number"],
        index=row["transaction_index"],
        values=(
            row["hash"],
            row["seconds"],
            row["sender"],
            row["created"],
            row["selector"],
            row["status"],
            row["failure"],
            row["gas_used"],
            int(row["gas_limit"]),
            int(row["effective_gas_price"]),
            int(row["value"]),
        ),
        recipient=row["recipient"],
        contract=row["contract"],
        source_ids=frozenset(row["source_ids"]),
    )


async def replace_transactions(
    connection: Connection,
    blocks: Sequence[int],
    sources: Mapping[bytes, TransactionSource],
    truth: Sequence[Transaction],
    hashes: Mapping[int, bytes],
) -> Replaced:
    """Take out the sources' transactions of these blocks, and write the truth about all of them instead.

    One that belongs to other sources, too, goes on doing so.

    Args:
        sources: by address.
        hashes: of the blocks that have a transaction.

    Raises:
        Inconsistent: a transaction of other sources is in the way, or a block is stored with another hash.
    """
    ids = [source.id for source in sources.values()]
    places = [(each.block_number, each.index) for each in truth]
    left = await connection.execute(
        LEAVE_TO_OTHERS, blocks, ids, [block for block, _ in places], [index for _, index in places]
    )
    gone = await connection.fetch(REMOVE, blocks, ids)
    removed = Counter(each for row in gone for each in row["source_ids"])
    added = await rows.add_transactions(connection, truth, sources)
    times = {each.block_number: each.block_time for each in truth}
    await rows.add_blocks_with_rows(
        connection, {BlockId(number, hashes[number]): seconds for number, seconds in times.items()}
    )
    for row in gone:
        if others := sorted(set(row["source_ids"]).difference(ids)):
            place = (row["block_number"], row["transaction_index"])
            await connection.execute(KEEP_FOR_OTHERS, *place, others, row["contract"])
            added.update(others)
    await change_counts(
        connection, {each: added[each] - removed[each] for each in removed.keys() | added.keys()}
    )
    return Replaced(rows.affected(left) + len(gone), len(truth))
