"""What the configuration asks for, made true in the database: tables, sources, the view of all events."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from indexer.core.ddl import event_view_ddl
from indexer.core.errors import UserMistake, WrongChain
from indexer.core.schema import TableSpec, columns_of, tables_of_contract
from indexer.core.source import Source
from indexer.core.watched import WatchedContract
from indexer.store import coverage
from indexer.store.abi_text import abi_text, event_of
from indexer.store.database import Connection, Database
from indexer.store.rows import lock_sources
from indexer.store.tables import make_tables
from indexer.store.writer import Writer

LOCK_CURSOR = "select number from indexer.cursor for update"
READ_CHAIN = "select chain_id, genesis_hash from indexer.chain"
SET_CHAIN = "update indexer.chain set chain_id = $1, genesis_hash = $2, name = $3"
READ_SOURCES = """
    select id, kind, contract, address, abi_digest, abi, table_schema, table_name, active,
        backfilled <> '{}' or followed_from is not null as holds_blocks
    from indexer.source order by id
"""
ADD_SOURCES = """
    insert into indexer.source (
        kind, contract, address, event, signature, topic0, topic_count, abi_digest, abi, table_schema,
        table_name, start_block
    )
    select kind, contract, address, event, signature, topic0, topic_count, abi_digest, abi::jsonb,
        table_schema, table_name, start_block
    from unnest(
        $1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::bytea[], $7::smallint[], $8::bytea[],
        $9::text[], $10::text[], $11::text[], $12::bigint[]
    ) with ordinality as given (
        kind, contract, address, event, signature, topic0, topic_count, abi_digest, abi, table_schema,
        table_name, start_block, place
    )
    order by place
"""
DEACTIVATE = "update indexer.source set active = false where id = any($1::bigint[])"
ACTIVATE = """
    update indexer.source set active = true, start_block = given.start_block
    from unnest($1::bigint[], $2::bigint[]) as given (id, start_block)
    where source.id = given.id and (not active or source.start_block <> given.start_block)
"""
FOLLOW = """
    update indexer.source set followed_from = $1 where active and followed_from is null
"""
VIEW_MADE_BY = """
    select event_view from indexer.chain where to_regclass('indexer.event') is not null
"""
SET_VIEW_MADE_BY = "update indexer.chain set event_view = $1"


@dataclass(frozen=True, slots=True)
class Registered:
    """The active sources, as they are in the database."""

    sources: tuple[Source, ...]
    #: Ids of the transaction sources by address.
    transaction_sources: Mapping[bytes, int]


@dataclass(frozen=True, slots=True)
class _Identity:
    """What makes a source the same as one in the database."""

    kind: str
    contract: str
    address: bytes
    #: None for transactions.
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class _Known:
    """A source as the database has it."""

    id: int
    active: bool
    #: The event as JSON; empty for transactions.
    abi: str
    #: Schema and name; None for transactions.
    table: tuple[str, str] | None
    holds_blocks: bool


@dataclass(frozen=True, slots=True)
class _Wanted:
    start_block: int
    table: TableSpec | None


async def register(
    writer: Writer,
    contracts: Sequence[WatchedContract],
    *,
    chain_id: int,
    genesis_hash: bytes,
    chain_name: str | None = None,
) -> Registered:
    """Make the database hold exactly these contracts' sources as active ones, in one transaction.

    Missing tables and views are made. A new source is followed from the block after the cursor. One that is
    no longer asked for keeps its rows and its coverage and goes on being shown by `indexer.event`; when it
    is asked for again, only the blocks in between are missing. Doing it twice changes nothing.

    Raises:
        WrongChain: the database belongs to another chain.
        UserMistake: two contracts share a schema, or a table of that name is not ours.
        Unavailable: a long query holds a lock that is needed.
        LostLeadership: another writer took over.
    """
    async with writer.transaction() as connection:
        cursor = await connection.fetchval(LOCK_CURSOR)
        await _require_chain(connection, chain_id, genesis_hash, chain_name)
        known = await _known(connection)
        wanted = _wanted(contracts, known)
        made = {table for each in wanted.values() if (table := each.table) is not None}
        held = {each.table for each in known.values() if each.table and each.holds_blocks}
        await make_tables(connection, sorted(made, key=lambda table: (table.schema, table.name)), held)
        await _add(connection, {each: want for each, want in wanted.items() if each not in known})
        known = await _known(connection)
        await _activate(connection, cursor, known, wanted)
        await _show_events(connection, known)
    writer.forget_sources()
    return _registered(known, wanted)


async def read_chain(database: Database) -> tuple[int, bytes] | None:
    """Chain id and genesis hash that the database belongs to; None: to none yet."""
    async with database.connection() as connection:
        row = await connection.fetchrow(READ_CHAIN)
    return None if row is None or row["chain_id"] is None else (row["chain_id"], row["genesis_hash"])


async def _require_chain(
    connection: Connection, chain_id: int, genesis_hash: bytes, name: str | None
) -> None:
    row = await connection.fetchrow(READ_CHAIN)
    assert row is not None
    held = (row["chain_id"], row["genesis_hash"])
    if held not in {(None, None), (chain_id, genesis_hash)}:
        raise WrongChain(
            f"the database holds chain {held[0]} with genesis 0x{held[1].hex()[:12]}…, the node is on chain "
            f"{chain_id} with genesis 0x{genesis_hash.hex()[:12]}…: use a database of its own for each chain "
            "(DATABASE_URL), or correct chain.rpc; a development chain that was started anew is a new chain"
        )
    await connection.execute(SET_CHAIN, chain_id, genesis_hash, name)


async def _known(connection: Connection) -> dict[_Identity, _Known]:
    return {
        _Identity(row["kind"], row["contract"], row["address"], row["abi_digest"]): _Known(
            id=row["id"],
            active=row["active"],
            abi=row["abi"] or "",
            table=(row["table_schema"], row["table_name"]) if row["table_name"] else None,
            holds_blocks=row["holds_blocks"],
        )
        for row in await connection.fetch(READ_SOURCES)
    }


def _wanted(
    contracts: Sequence[WatchedContract], known: Mapping[_Identity, _Known]
) -> dict[_Identity, _Wanted]:
    """The sources that are asked for; a table keeps the name that the database knows it under."""
    wanted: dict[_Identity, _Wanted] = {}
    with_transactions: set[bytes] = set()
    for contract in contracts:
        names = {
            each.digest: has.table[1]
            for each, has in known.items()
            if each.contract == contract.name and each.digest and has.table
        }
        tables = tables_of_contract(contract.name, [table.event for table in contract.tables], names)
        for address in contract.addresses:
            for table in tables:
                identity = _Identity("event", contract.name, address, table.event.digest)
                wanted[identity] = _Wanted(contract.start_block, table)
            # A transaction is stored once, so an address of two contracts has one source of transactions.
            if contract.transactions and address not in with_transactions:
                with_transactions.add(address)
                identity = _Identity("transactions", contract.name, address, None)
                wanted[identity] = _Wanted(contract.start_block, None)
    _require_own_schemas(wanted, known)
    return wanted


def _require_own_schemas(wanted: Mapping[_Identity, _Wanted], known: Mapping[_Identity, _Known]) -> None:
    """Raise UserMistake where two contracts would share a schema."""
    owners = {has.table[0]: each.contract for each, has in known.items() if has.table}
    for each, want in wanted.items():
        if want.table is not None:
            owner = owners.setdefault(want.table.schema, each.contract)
            if owner != each.contract:
                raise UserMistake(
                    f"the contracts {owner} and {each.contract} would share the schema {want.table.schema}: "
                    "give one of them another name"
                )


async def _add(connection: Connection, new: Mapping[_Identity, _Wanted]) -> None:
    if not new:
        return
    columns = []
    for each, want in new.items():
        event = want.table.event if want.table else None
        columns.append((
            each.kind,
            each.contract,
            each.address,
            event.name if event else None,
            event.signature if event else None,
            event.topic0 if event else None,
            event.topic_count if event else None,
            each.digest,
            abi_text(event) if event else None,
            want.table.schema if want.table else None,
            want.table.name if want.table else None,
            want.start_block,
        ))  # fmt: skip
    await connection.execute(ADD_SOURCES, *map(list, zip(*columns, strict=True)))


async def _activate(
    connection: Connection,
    cursor: int | None,
    known: Mapping[_Identity, _Known],
    wanted: Mapping[_Identity, _Wanted],
) -> None:
    await lock_sources(connection, [has.id for has in known.values()])
    gone = [has.id for each, has in known.items() if has.active and each not in wanted]
    if gone:
        await connection.execute(coverage.CLOSE_TAILS, cursor, gone)
        await connection.execute(DEACTIVATE, gone)
    await connection.execute(
        ACTIVATE, [known[each].id for each in wanted], [want.start_block for want in wanted.values()]
    )
    if cursor is not None:
        await connection.execute(FOLLOW, cursor + 1)


async def _show_events(connection: Connection, known: Mapping[_Identity, _Known]) -> None:
    """Make the view of all events anew if its tables, or the way it shows them, changed."""
    shown: dict[tuple[str, str], tuple[str, TableSpec]] = {}
    for each, has in known.items():
        if has.table and has.table not in shown:
            event = event_of(has.abi)
            shown[has.table] = (each.contract, TableSpec(*has.table, event, columns_of(event)))
    ddl = event_view_ddl([shown[key] for key in sorted(shown)])
    checksum = hashlib.sha256(ddl.encode()).digest()
    if await connection.fetchval(VIEW_MADE_BY) != checksum:
        await connection.execute(ddl)
        await connection.execute(SET_VIEW_MADE_BY, checksum)


def _registered(known: Mapping[_Identity, _Known], wanted: Mapping[_Identity, _Wanted]) -> Registered:
    sources: list[Source] = []
    transaction_sources: dict[bytes, int] = {}
    for each, want in wanted.items():
        source_id = known[each].id
        if want.table is None:
            transaction_sources[each.address] = source_id
        else:
            sources.append(
                Source(source_id, each.contract, each.address, want.table.event, want.table, want.start_block)
            )
    return Registered(tuple(sources), transaction_sources)
