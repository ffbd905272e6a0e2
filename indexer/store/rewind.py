"""The removing half of a reorg: takes out every row above the fork, counts it, and keeps a journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from indexer.core.errors import Inconsistent
from indexer.core.model import BlockId
from indexer.core.naming import quoted
from indexer.store import coverage, rows
from indexer.store.database import Connection

OPEN_JOURNAL = """
    insert into indexer.reorg (
        fork_number, fork_hash, depth, old_head_number, old_head_hash, new_head_number, new_head_hash,
        rows_removed, rows_added, transactions_removed, transactions_added, undecoded_removed
    ) values ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, 0, 0) returning id
"""
CLOSE_JOURNAL = """
    update indexer.reorg set rows_removed = $2, rows_added = $3, transactions_removed = $4,
        transactions_added = $5, undecoded_removed = $6
    where id = $1
"""
KEEP_ORPHANS = """
    with kept as (
        insert into indexer.orphaned_event (
            reorg_id, contract, event, signature, block_number, block_hash, log_index, transaction_hash,
            address, args
        )
        select $1, contract, event, signature, block_number, decode(substr(block_hash, 3), 'hex'), log_index,
            decode(substr(transaction_hash, 3), 'hex'), decode(substr(address, 3), 'hex'), args
        from indexer.event where block_number > $2
        returning contract, event, signature
    )
    select distinct source.table_schema, source.table_name
    from kept join indexer.source using (contract, event, signature)
"""
COUNT_ORPHANS = "select count(*) from indexer.orphaned_event where reorg_id = $1"
SOURCES_OF_TABLE = """
    select id, address from indexer.source where table_schema = $1 and table_name = $2
"""
REMOVE_UNDECODED = "delete from indexer.undecoded_log where block_number > $1"
REMOVE_TRANSACTIONS = "delete from indexer.transaction where block_number > $1 returning source_ids"
REMOVE_BLOCKS = "delete from indexer.block where number > $1"
LOWER_WINDOW = "update indexer.cursor set window_first = least(window_first, $1)"


@dataclass(frozen=True, slots=True)
class Removed:
    """What a reorg took out of the database."""

    #: In `indexer.reorg`.
    reorg_id: int
    #: How many of our blocks were replaced.
    depth: int
    #: Rows of event tables, by source id.
    events: Mapping[int, int]
    #: Transactions by source id; one may count for several sources.
    transactions: Mapping[int, int]
    #: How many transactions that were, each counted once.
    transaction_rows: int
    undecoded: int


class Rewind:
    """One reorg inside its transaction."""

    def __init__(self, connection: Connection, fork: BlockId, depth: int, reorg_id: int) -> None:
        self._connection = connection
        self._fork = fork
        self._depth = depth
        self._id = reorg_id

    @classmethod
    async def start(cls, connection: Connection, old: BlockId, fork: BlockId, new: BlockId) -> Rewind:
        """Open the journal entry that everything removed refers to."""
        depth = old.number - fork.number
        reorg_id = await connection.fetchval(
            OPEN_JOURNAL, fork.number, fork.hash, depth, old.number, old.hash, new.number, new.hash
        )
        return cls(connection, fork, depth, reorg_id)

    async def remove(self) -> Removed:
        """Take out every row above the fork, and the blocks from coverage.

        Raises:
            Inconsistent: the view of all events and the tables do not hold the same rows.
        """
        connection, above = self._connection, self._fork.number
        events = await self._remove_events()
        undecoded = rows.affected(await connection.execute(REMOVE_UNDECODED, above))
        mined = await connection.fetch(REMOVE_TRANSACTIONS, above)
        transactions = Counter(source_id for row in mined for source_id in row["source_ids"])
        await connection.execute(REMOVE_BLOCKS, above)
        await connection.execute(LOWER_WINDOW, above)
        await coverage.forget_from(connection, above + 1)
        await rows.add_counts(connection, {each: -count for each, count in (events + transactions).items()})
        return Removed(self._id, self._depth, events, transactions, len(mined), undecoded)

    async def journal(self, removed: Removed, events: Mapping[int, int], transactions: int) -> None:
        """Complete the journal entry with what was removed and added."""
        await self._connection.execute(
            CLOSE_JOURNAL,
            self._id,
            sum(removed.events.values()),
            sum(events.values()),
            removed.transaction_rows,
            transactions,
            removed.undecoded,
        )

    async def _remove_events(self) -> Counter[int]:
        """Keep a copy of the events above the fork, delete them, and count them by source id.

        The copy tells which tables hold any: a table without rows up there costs nothing more.
        """
        connection, above = self._connection, self._fork.number
        counts: Counter[int] = Counter()
        tables = {
            (row["table_schema"], row["table_name"])
            for row in await connection.fetch(KEEP_ORPHANS, self._id, above)
        }
        for schema, table in sorted(tables):
            by_address = {
                row["address"]: row["id"] for row in await connection.fetch(SOURCES_OF_TABLE, schema, table)
            }
            gone = await connection.fetch(
                f"delete from {quoted(schema)}.{quoted(table)} where block_number > $1 returning address",
                above,
            )
            counts.update(by_address[row["address"]] for row in gone)
        kept = await connection.fetchval(COUNT_ORPHANS, self._id)
        if kept != counts.total():
            raise Inconsistent(
                f"{kept} events are above block {above}, but {counts.total()} were in the tables"
            )
        return counts
