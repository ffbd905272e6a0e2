"""Counts and hashes of stored rows by source and bucket of blocks, worked out by PostgreSQL.

A row's hash is the first half of the MD5 of a text of all its columns. The text is the same whatever the
session's settings, the server's version and the database's encoding: bytes are hexadecimal, times are Unix
seconds, and whatever can hold any character is preceded by its length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from indexer.core.digest import BUCKET_BLOCKS, HASH_MODULUS, BucketKey, Coverage, RowsDigest, SourceKey
from indexer.core.model import Span
from indexer.core.naming import quoted
from indexer.core.schema import FIXED_COLUMN_TYPES, TableSpec
from indexer.core.spans import multirange
from indexer.store.database import Connection
from indexer.store.sources import StoredSource

#: Seconds for one table; the whole of it may be read.
LONGEST_SECONDS = 24 * 3600.0

TRANSACTION_COLUMNS: Mapping[str, str] = {
    "block_number": "int8",
    "transaction_index": "int4",
    "hash": "bytea",
    "block_time": "timestamptz",
    "sender": "bytea",
    "recipient": "bytea",
    "created": "bytea",
    "selector": "bytea",
    "status": "bool",
    "failure": "text",
    "gas_used": "int8",
    "gas_limit": "numeric",
    "effective_gas_price": "numeric",
    "value": "numeric",
}
UNDECODED_COLUMNS: Mapping[str, str] = {
    "block_number": "int8",
    "log_index": "int4",
    "block_hash": "bytea",
    "block_time": "timestamptz",
    "transaction_hash": "bytea",
    "transaction_index": "int4",
    "address": "bytea",
    "topics": "bytea[]",
    "data": "bytea",
    "reason": "text",
}


async def read_digests(
    connection: Connection, sources: Iterable[StoredSource], covered: Coverage
) -> dict[BucketKey, RowsDigest]:
    """The digest of every bucket that has rows, of these blocks of each source; one query for each table.

    Args:
        covered: the blocks to look at; sources that are not in it are left out.
    """
    chosen = [source for source in sources if covered.get(source.key)]
    by_table: dict[tuple[str, str], list[StoredSource]] = defaultdict(list)
    for source in chosen:
        if source.table is not None:
            by_table[source.table.schema, source.table.name].append(source)
    found: dict[BucketKey, RowsDigest] = {}
    for some in by_table.values():
        assert some[0].table is not None
        found |= await _digests(connection, "event", _of_table(some[0].table), some, covered)
    transactions = [source for source in chosen if source.table is None]
    found |= await _digests(connection, "transactions", _of_transactions(), transactions, covered)
    events = [source for source in chosen if source.table is not None]
    found |= await _digests(connection, "undecoded", _of_undecoded(), events, covered)
    return found


async def _digests(
    connection: Connection,
    part: str,
    query: str,
    sources: Sequence[StoredSource],
    covered: Coverage,
) -> dict[BucketKey, RowsDigest]:
    if not sources:
        return {}
    spans = [covered[source.key] for source in sources]
    rows = await connection.fetch(
        query,
        [source.id for source in sources],
        [source.address for source in sources],
        [multirange(each) for each in spans],
        *_ends(spans),
        timeout=LONGEST_SECONDS,
    )
    keys: dict[int, SourceKey] = {source.id: source.key for source in sources}
    return {
        BucketKey(keys[row["id"]], part, row["bucket"]): RowsDigest(
            row["rows"], int(row["hash"]) % HASH_MODULUS
        )
        for row in rows
    }


def _ends(spans: Iterable[Sequence[Span]]) -> tuple[int, int]:
    """The lowest and the highest block of all, so that an index leads to them."""
    every = [span for some in spans for span in some]
    return min(span.first for span in every), max(span.last for span in every)


def _of_table(table: TableSpec) -> str:
    columns = dict(FIXED_COLUMN_TYPES) | {column.name: column.pg_type for column in table.columns}
    return _query(
        f"{quoted(table.schema)}.{quoted(table.name)} as stored", "given.address = stored.address", columns
    )


def _of_transactions() -> str:
    # Which contract it is of, and which sources, depends on what else is watched; so neither is looked at.
    return _query("indexer.transaction as stored", "given.id = any(stored.source_ids)", TRANSACTION_COLUMNS)


def _of_undecoded() -> str:
    return _query("indexer.undecoded_log as stored", "given.id = stored.source_id", UNDECODED_COLUMNS)


def _query(table: str, of_source: str, columns: Mapping[str, str]) -> str:
    """Rows and sum of hashes by source id and bucket; $1 to $3: sources, $4 and $5: first and last block."""
    text = " || '|' || ".join(_canonical(f"stored.{quoted(name)}", kind) for name, kind in columns.items())
    return f"""
        with given as materialized (
            select id, address, blocks::int8multirange
            from unnest($1::bigint[], $2::bytea[], $3::text[]) as given (id, address, blocks)
        )
        select given.id, stored.block_number / {BUCKET_BLOCKS} as bucket, count(*) as rows,
            sum(('x' || substr(md5(convert_to({text}, 'UTF8')), 1, 16))::bit(64)::bigint) as hash
        from {table} join given on {of_source} and given.blocks @> stored.block_number
        where stored.block_number between $4 and $5
        group by 1, 2
    """


def _canonical(column: str, pg_type: str) -> str:
    """An SQL expression: the value as text that no setting changes and that is never null."""
    match pg_type:
        case "bytea":
            text = f"encode({column}, 'hex')"
        case "bytea[]":
            text = (
                "array_to_string(array(select encode(part, 'hex') "
                f"from unnest({column}) with ordinality as parts (part, place) order by place), ',')"
            )
        case "timestamptz":
            text = f"extract(epoch from {column})::bigint::text"
        case "bool":
            text = f"case when {column} then 'true' else 'false' end"
        case "text" | "jsonb":
            text = f"length({column}::text) || ':' || {column}::text"
        case _:
            text = f"{column}::text"
    return f"coalesce({text}, 'null')"
