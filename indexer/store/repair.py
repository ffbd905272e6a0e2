"""Stored rows against the truth about their blocks, and in its place; inside the caller's transaction."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import asyncpg

from indexer.core.difference import Difference, Kind, Part, compare_undecoded
from indexer.core.errors import Inconsistent
from indexer.core.logs import RangeLogs
from indexer.core.model import BlockId, Encoded, Span, TableRows
from indexer.core.naming import quoted
from indexer.core.schema import TableSpec
from indexer.store import rows
from indexer.store.database import Connection
from indexer.store.sources import StoredSource, read_final
from indexer.store.undecoded import undecoded_log

#: How many differences a journal entry names.
JOURNALLED = 1_000
#: Seconds for counting all rows of a table.
LONGEST_SECONDS = 24 * 3600.0

UNCOVERED = """
    select contract, coalesce(event, 'transactions') as event from indexer.coverage
    where source_id = any($1::bigint[]) and not blocks @> int8range($2, $3, '[]') limit 1
"""
STORED_BLOCKS = """
    select number, hash, extract(epoch from timestamp)::bigint as seconds
    from indexer.block where number = any($1::bigint[])
"""
STORED_UNDECODED = """
    select *, extract(epoch from block_time)::bigint as seconds from indexer.undecoded_log
    where block_number between $1 and $2 and (source_id = any($3::bigint[]) or address = any($4::bytea[]))
"""
REMOVE_UNDECODED = """
    delete from indexer.undecoded_log where block_number = any($1::bigint[]) and source_id = any($2::bigint[])
"""
WRITE_JOURNAL = """
    insert into indexer.repair (
        first_block, last_block, source_ids, rows_removed, rows_added, reason, differences
    ) values ($1, $2, $3, $4, $5, $6, $7::jsonb)
"""
RECOUNT_TRANSACTIONS = """
    update indexer.source set rows = (
        select count(*) from indexer.transaction where source_ids @> array[source.id]
    ) where id = any($1::bigint[])
"""


@dataclass(frozen=True, slots=True)
class Replaced:
    """How many rows were taken out and put in."""

    removed: int = 0
    added: int = 0

    def __add__(self, other: Replaced) -> Replaced:
        return Replaced(self.removed + other.removed, self.added + other.added)


@dataclass(frozen=True, slots=True)
class EventTable:
    """A table of the sources that are compared."""

    spec: TableSpec
    #: Id by address of those sources.
    ids: Mapping[bytes, int]
    #: Addresses in the same table whose rows are not compared.
    others: tuple[bytes, ...]

    @property
    def name(self) -> str:
        return f"{quoted(self.spec.schema)}.{quoted(self.spec.name)}"


def event_tables(
    source_ids: frozenset[int], everyone: Iterable[StoredSource]
) -> dict[tuple[str, str], EventTable]:
    """The tables of these sources, by schema and name.

    Args:
        everyone: all sources of the database, the inactive ones included.
    """
    ids: dict[tuple[str, str], dict[bytes, int]] = defaultdict(dict)
    others: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    specs: dict[tuple[str, str], TableSpec] = {}
    for source in everyone:
        if source.table is None:
            continue
        key = (source.table.schema, source.table.name)
        specs[key] = source.table
        if source.id in source_ids:
            ids[key][source.address] = source.id
        else:
            others[key].append(source.address)
    return {key: EventTable(specs[key], ids[key], tuple(others[key])) for key in sorted(ids)}


async def require_covered(connection: Connection, span: Span, source_ids: Iterable[int]) -> None:
    """Raise Inconsistent unless each of the sources covers all the blocks."""
    row = await connection.fetchrow(UNCOVERED, list(source_ids), span.first, span.last)
    if row is not None:
        raise Inconsistent(f"{row['contract']}.{row['event']} does not cover the blocks {span} any more")


async def compare_events(
    connection: Connection,
    span: Span,
    source_ids: frozenset[int],
    everyone: Sequence[StoredSource],
    logs: RangeLogs,
    encoded: Encoded,
) -> list[Difference]:
    """How the rows of these sources in these blocks differ from the truth: rows, undecoded logs, blocks.

    Args:
        logs: the chain's, of a filter that lets all logs of the sources through.
        encoded: what the decoder makes of them for these sources.
    """
    truth: dict[tuple[str, str], list[TableRows]] = defaultdict(list)
    for each in encoded.tables:
        truth[each.schema, each.table].append(each)
    found: list[Difference] = []
    tables = event_tables(source_ids, everyone)
    for key, table in tables.items():
        found += await _compare_table(connection, span, table, truth.get(key, []))
    addresses = sorted({address for table in tables.values() for address in table.ids})
    stored = await connection.fetch(STORED_UNDECODED, span.first, span.last, list(source_ids), addresses)
    found += compare_undecoded(encoded.undecoded, map(undecoded_log, stored), source_ids, logs)
    return found + await _compare_blocks(connection, encoded.blocks)


async def _compare_table(
    connection: Connection, span: Span, table: EventTable, truth: Sequence[TableRows]
) -> list[Difference]:
    own = f"""
        select * from {table.name}
        where block_number between {span.first} and {span.last} and not address = any($1::bytea[])
    """
    if not truth:
        rows_found = await connection.fetch(f"select block_number, log_index, address from ({own}) as stored",
                                            table.others)  # fmt: skip
        return [_event(table, row, Kind.EXTRA) for row in rows_found]
    await connection.execute(f"create temporary table audit_truth (like {table.name}) on commit drop")
    columns = table.spec.column_names
    await rows.copy_tables(
        connection,
        [TableRows("pg_temp", "audit_truth", columns, each.rows, each.payload) for each in truth],
    )
    # Compared byte by byte: values that are only equal in some sense of SQL are not what the chain says.
    rows_found = await connection.fetch(
        f"""
        select block_number, log_index, coalesce(truth.address, stored.address) as address,
            case when stored.address is null then 'missing' when truth.address is null then 'extra'
                else 'altered' end as kind
        from pg_temp.audit_truth as truth full join ({own}) as stored using (block_number, log_index)
        where stored.address is null or truth.address is null or truth *<> stored
        """,
        table.others,
    )
    await connection.execute("drop table pg_temp.audit_truth")
    return [_event(table, row, Kind(row["kind"])) for row in rows_found]


def _event(table: EventTable, row: asyncpg.Record, kind: Kind) -> Difference:
    source_id = table.ids.get(row["address"])
    return Difference(row["block_number"], Part.EVENT, row["log_index"], kind, source_id)


async def _compare_blocks(connection: Connection, blocks: Mapping[BlockId, int]) -> list[Difference]:
    found = await connection.fetch(STORED_BLOCKS, [block.number for block in blocks])
    stored = {row["number"]: (row["hash"], row["seconds"]) for row in found}
    differences = []
    for block, seconds in blocks.items():
        if block.number not in stored:
            differences.append(Difference(block.number, Part.BLOCK, 0, Kind.MISSING, None))
        elif stored[block.number] != (block.hash, seconds):
            differences.append(Difference(block.number, Part.BLOCK, 0, Kind.ALTERED, None))
    return differences


async def replace_events(
    connection: Connection,
    blocks: Sequence[int],
    source_ids: frozenset[int],
    everyone: Sequence[StoredSource],
    truth: Sequence[Encoded],
) -> Replaced:
    """Take out the sources' rows of these blocks, and write the truth about all of them instead.

    Raises:
        Inconsistent: a block is stored with another hash, or a row of another source is in the way.
    """
    removed: Counter[int] = Counter()
    strays = 0
    for table in event_tables(source_ids, everyone).values():
        gone = await connection.fetch(
            f"delete from {table.name} "
            "where block_number = any($1::bigint[]) and not address = any($2::bytea[]) returning address",
            blocks,
            table.others,
        )
        counted = Counter(table.ids.get(row["address"]) for row in gone)
        strays += counted.pop(None, 0)
        removed.update({source_id: count for source_id, count in counted.items() if source_id is not None})
    undecoded = rows.affected(await connection.execute(REMOVE_UNDECODED, blocks, list(source_ids)))
    await rows.copy_tables(connection, chain.from_iterable(each.tables for each in truth))
    added: Counter[int] = Counter()
    for each in truth:
        await rows.add_blocks_with_rows(connection, each.blocks)
        added.update(each.counts)
    entries = [log for each in truth for log in each.undecoded]
    await rows.add_undecoded(connection, entries)
    await change_counts(connection, {each: added[each] - removed[each] for each in source_ids})
    return Replaced(removed.total() + strays + undecoded, added.total() + len(entries))


async def change_counts(connection: Connection, change: Mapping[int, int]) -> None:
    """Add to the counters of the sources; `recount` sets them right in the end, so they only must not sink below 0."""
    ids = [each for each, more in change.items() if more]
    if ids:
        await rows.lock_sources(connection, ids)
        await connection.execute(
            "update indexer.source set rows = greatest(0, rows + given.more) "
            "from unnest($1::bigint[], $2::bigint[]) as given (id, more) where source.id = given.id",
            ids,
            [change[each] for each in ids],
        )


async def require_final(connection: Connection, blocks: Sequence[int]) -> None:
    """Raise Inconsistent unless all blocks are final."""
    final = await read_final(connection)
    if final is None or final < max(blocks):
        raise Inconsistent(f"block {max(blocks)} is not final: the newest final block we know is {final}")


async def write_journal(
    connection: Connection,
    blocks: Sequence[int],
    source_ids: Iterable[int],
    replaced: Replaced,
    reason: str,
    differences: Sequence[Difference],
) -> None:
    """Leave an entry in `indexer.repair`."""
    shown = [
        {
            "block": each.block,
            "part": each.part,
            "kind": each.kind,
            "position": each.position,
            "source_id": each.source_id,
        }
        for each in differences[:JOURNALLED]
    ]
    await connection.execute(
        WRITE_JOURNAL,
        min(blocks),
        max(blocks),
        sorted(source_ids),
        replaced.removed,
        replaced.added,
        reason,
        json.dumps(shown),
    )


async def recount(connection: Connection, sources: Iterable[StoredSource]) -> None:
    """Set the counters of these sources to what is in their tables.

    A row that came or went behind our back is in no counter, so adding and taking away would keep the error.
    """
    some = list(sources)
    await rows.lock_sources(connection, [source.id for source in some])
    await connection.execute("set local statement_timeout = 0")
    for source in some:
        if source.table is not None:
            await connection.execute(
                "update indexer.source set rows = "
                f"(select count(*) from {quoted(source.table.schema)}.{quoted(source.table.name)} as stored "
                "where stored.address = source.address) where id = $1",
                source.id,
                timeout=LONGEST_SECONDS,
            )
    mined = [source.id for source in some if source.table is None]
    if mined:
        await connection.execute(RECOUNT_TRANSACTIONS, mined, timeout=LONGEST_SECONDS)
