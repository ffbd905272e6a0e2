"""Rows on their way into PostgreSQL; every function runs inside its caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from indexer.core.errors import Inconsistent
from indexer.core.model import BlockId, Header, TableRows, Transaction, UndecodedLog
from indexer.store.database import Connection

#: Source: PostgreSQL manual, COPY, "Binary Format": signature, flags, length of the header's extension.
COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TRAILER = b"\xff\xff"

#: Bytes handed to the socket at once, so that a large payload is never held twice.
COPY_CHUNK = 1 << 18

ADD_FOLLOWED_BLOCKS = """
    insert into indexer.block as kept
        (number, hash, parent_hash, timestamp, base_fee_wei, gas_used, gas_limit, has_rows)
    select
        number, hash, parent_hash, to_timestamp(seconds), base_fee::numeric, gas_used, gas_limit::numeric,
        has_rows
    from unnest(
        $1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::text[], $6::bigint[], $7::text[],
        $8::bool[]
    ) as given (number, hash, parent_hash, seconds, base_fee, gas_used, gas_limit, has_rows)
    order by number
    on conflict (number) do update set
        parent_hash = excluded.parent_hash,
        base_fee_wei = excluded.base_fee_wei,
        gas_used = excluded.gas_used,
        gas_limit = excluded.gas_limit,
        has_rows = kept.has_rows or excluded.has_rows
    where kept.hash = excluded.hash
"""
ADD_BLOCKS_WITH_ROWS = """
    insert into indexer.block (number, hash, timestamp, has_rows)
    select number, hash, to_timestamp(seconds), true
    from unnest($1::bigint[], $2::bytea[], $3::bigint[]) as given (number, hash, seconds)
    order by number
    on conflict (number) do nothing
"""
MARK_BLOCKS = """
    update indexer.block set has_rows = true
    from unnest($1::bigint[], $2::bytea[]) as given (number, hash)
    where block.number = given.number and block.hash = given.hash and not block.has_rows
"""
OTHER_HASH = """
    select given.number, given.hash, block.hash as stored
    from unnest($1::bigint[], $2::bytea[]) as given (number, hash)
    left join indexer.block on block.number = given.number
    where block.hash is distinct from given.hash
    order by given.number limit 1
"""
ADD_TRANSACTIONS = """
    insert into indexer.transaction as kept (
        block_number, transaction_index, hash, block_time, contract, sender, recipient, created, selector,
        status, failure, gas_used, gas_limit, effective_gas_price, value, source_ids
    )
    select
        block_number, transaction_index, hash, to_timestamp(seconds), contract, sender, recipient, created,
        selector, status, failure, gas_used, gas_limit::numeric, price::numeric, value::numeric,
        source_ids::bigint[]
    from unnest(
        $1::bigint[], $2::int[], $3::bytea[], $4::bigint[], $5::text[], $6::bytea[], $7::bytea[],
        $8::bytea[], $9::bytea[], $10::bool[], $11::text[], $12::bigint[], $13::text[], $14::text[],
        $15::text[], $16::text[]
    ) as given (
        block_number, transaction_index, hash, seconds, contract, sender, recipient, created, selector,
        status, failure, gas_used, gas_limit, price, value, source_ids
    )
    order by block_number, transaction_index
    on conflict (block_number, transaction_index) do update set
        contract = coalesce(kept.contract, excluded.contract),
        source_ids = kept.source_ids || excluded.source_ids
    where kept.hash = excluded.hash and not kept.source_ids && excluded.source_ids
"""
LOCK_SOURCES = "select id from indexer.source where id = any($1::bigint[]) order by id for no key update"
ADD_COUNTS = """
    update indexer.source set rows = rows + given.more
    from unnest($1::bigint[], $2::bigint[]) as given (id, more)
    where source.id = given.id
"""
UNDECODED_COLUMNS = (
    "block_number",
    "log_index",
    "source_id",
    "block_hash",
    "block_time",
    "transaction_hash",
    "transaction_index",
    "address",
    "topics",
    "data",
    "reason",
)


@dataclass(frozen=True, slots=True)
class TransactionSource:
    """The transactions of one contract address, as `indexer.source` knows them."""

    id: int
    contract: str


async def copy_tables(connection: Connection, tables: Iterable[TableRows]) -> None:
    """Copy the rows into their tables, with one COPY for each table."""
    payloads: dict[tuple[str, str, tuple[str, ...]], list[bytes]] = {}
    for rows in tables:
        payloads.setdefault((rows.schema, rows.table, rows.columns), []).append(rows.payload)
    for (schema, table, columns), parts in payloads.items():
        await connection.copy_to_table(
            table, schema_name=schema, columns=list(columns), format="binary", source=_stream(parts)
        )


async def _stream(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    yield COPY_HEADER
    for part in parts:
        for start in range(0, len(part), COPY_CHUNK):
            yield part[start : start + COPY_CHUNK]
    yield COPY_TRAILER


async def add_followed_blocks(
    connection: Connection, headers: Sequence[Header], with_rows: Collection[int]
) -> None:
    """Store the blocks with all that is known of them.

    Args:
        with_rows: numbers of those to which rows elsewhere belong.

    Raises:
        Inconsistent: a block is stored with another hash.
    """
    status = await connection.execute(
        ADD_FOLLOWED_BLOCKS,
        [header.number for header in headers],
        [header.hash for header in headers],
        [header.parent_hash for header in headers],
        [header.timestamp for header in headers],
        [None if header.base_fee_wei is None else str(header.base_fee_wei) for header in headers],
        [header.gas_used for header in headers],
        [str(header.gas_limit) for header in headers],
        [header.number in with_rows for header in headers],
    )
    if affected(status) != len(headers):
        await _name_other_hash(connection, [header.id for header in headers])


async def add_blocks_with_rows(connection: Connection, blocks: Mapping[BlockId, int]) -> None:
    """Store blocks of which a range of logs gave only the id and the time.

    Raises:
        Inconsistent: a block is stored with another hash.
    """
    if not blocks:
        return
    numbers = [block.number for block in blocks]
    hashes = [block.hash for block in blocks]
    if affected(await connection.execute(ADD_BLOCKS_WITH_ROWS, numbers, hashes, list(blocks.values()))) < len(
        blocks
    ):
        await connection.execute(MARK_BLOCKS, numbers, hashes)
        await _name_other_hash(connection, list(blocks))


async def _name_other_hash(connection: Connection, blocks: Sequence[BlockId]) -> None:
    row = await connection.fetchrow(
        OTHER_HASH, [block.number for block in blocks], [block.hash for block in blocks]
    )
    if row is not None:
        stored = BlockId(row["number"], row["stored"]) if row["stored"] else "not"
        raise Inconsistent(f"block {BlockId(row['number'], row['hash'])} is stored as {stored}")


async def add_undecoded(connection: Connection, logs: Sequence[UndecodedLog]) -> None:
    """Keep the logs as they came, with the reason why they fit no row."""
    if not logs:
        return
    records = [
        (
            log.block_number,
            log.log_index,
            log.source_id,
            log.block_hash,
            datetime.fromtimestamp(log.block_time, UTC),
            log.transaction_hash,
            log.transaction_index,
            log.address,
            log.topics,
            log.data,
            log.reason,
        )
        for log in logs
    ]
    await connection.copy_records_to_table(
        "undecoded_log", schema_name="indexer", columns=UNDECODED_COLUMNS, records=records
    )


async def add_transactions(
    connection: Connection, transactions: Sequence[Transaction], sources: Mapping[bytes, TransactionSource]
) -> Counter[int]:
    """Store the transactions; return how many there are of each source.

    One that an earlier call stored for other sources is kept once and belongs to all of them.

    Args:
        sources: by address: those of which the transactions are.

    Raises:
        Inconsistent: another transaction is stored at the same place, or the same one for the same source.
    """
    counts: Counter[int] = Counter()
    if not transactions:
        return counts
    columns: list[tuple[object, ...]] = []
    for transaction in transactions:
        ids = _sources_of(transaction, sources)
        counts.update(ids)
        sent_to = sources.get(transaction.recipient) if transaction.recipient else None
        columns.append((
            transaction.block_number,
            transaction.index,
            transaction.hash,
            transaction.block_time,
            sent_to.contract if sent_to else None,
            transaction.sender,
            transaction.recipient,
            transaction.created,
            transaction.selector,
            transaction.success,
            transaction.failure,
            transaction.gas_used,
            str(transaction.gas_limit),
            str(transaction.effective_gas_price_wei),
            str(transaction.value_wei),
            "{" + ",".join(map(str, ids)) + "}",
        ))  # fmt: skip
    status = await connection.execute(ADD_TRANSACTIONS, *map(list, zip(*columns, strict=True)))
    if affected(status) != len(transactions):
        raise Inconsistent(
            f"of {len(transactions)} transactions {len(transactions) - affected(status)} are stored already, "
            "for the same source or with another hash"
        )
    return counts


def _sources_of(transaction: Transaction, sources: Mapping[bytes, TransactionSource]) -> list[int]:
    touched = {transaction.recipient, transaction.created, *transaction.emitters}
    return sorted(sources[address].id for address in touched if address is not None and address in sources)


async def lock_sources(connection: Connection, ids: Iterable[int]) -> None:
    """Lock the sources' rows, in one order for everybody, so that no two writers wait for each other."""
    await connection.execute(LOCK_SOURCES, sorted(ids))


async def add_counts(connection: Connection, counts: Mapping[int, int]) -> None:
    """Add to the row counters of the sources; negative numbers take away."""
    changed = {source_id: more for source_id, more in counts.items() if more}
    if changed:
        await lock_sources(connection, changed)
        await connection.execute(ADD_COUNTS, list(changed), list(changed.values()))


def affected(status: str) -> int:
    """How many rows a statement changed, from its command tag: ``UPDATE 3``, ``INSERT 0 3``."""
    return int(status.rpartition(" ")[2])
