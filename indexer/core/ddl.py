"""The SQL that makes an event's table and the views on it; every identifier is quoted."""

from __future__ import annotations

from collections.abc import Sequence

from indexer.core.abi import EventSpec
from indexer.core.abitype import Int, Uint
from indexer.core.naming import HEX_VIEW_SUFFIX, quoted, text_literal
from indexer.core.schema import FIXED_COLUMN_TYPES, Column, TableSpec

#: The role that may read all that is indexed, and nothing else.
READER = "indexer_reader"

#: Bits of the widest integer type whose every value a JSON number carries exactly (in a double, 53).
WIDEST_JSON_NUMBER = 53

# A function takes at most 100 arguments, a member of an object two. Source: PostgreSQL, FUNC_MAX_ARGS.
_MEMBERS_AT_ONCE = 50


def table_ddl(table: TableSpec) -> str:
    """Makes the schema and the table where they are missing; statements ended by semicolons."""
    name = _qualified(table)
    columns = [(column, pg_type) for column, pg_type in FIXED_COLUMN_TYPES.items()]
    columns += [(column.name, column.pg_type) for column in table.columns]
    lines = [f"    {quoted(column)} {pg_type} not null,\n" for column, pg_type in columns]
    comments = [
        f"comment on column {name}.{quoted(column.name)} is "
        f"{text_literal(_declaration(table.event, column))};\n"
        for column in table.columns
    ]
    return (
        f"create schema if not exists {quoted(table.schema)};\n"
        f"create table if not exists {name} (\n"
        + "".join(lines)
        + "    primary key (block_number, log_index)\n);\n"
        + f"comment on table {name} is {text_literal(_title(table.event))};\n"
        + "".join(comments)
        + _grant(f"usage on schema {quoted(table.schema)}", f"select on {name}")
    )


def hex_view_ddl(table: TableSpec) -> str:
    """Makes the view that shows the table's addresses, hashes and bytes as ``0x`` text."""
    columns = [(column, pg_type) for column, pg_type in FIXED_COLUMN_TYPES.items()]
    columns += [(column.name, column.pg_type) for column in table.columns]
    shown = [
        f"    {_hex(quoted(name))} as {quoted(name)}" if pg_type == "bytea" else f"    {quoted(name)}"
        for name, pg_type in columns
    ]
    view = f"{quoted(table.schema)}.{quoted(table.name + HEX_VIEW_SUFFIX)}"
    body = ",\n".join(shown)
    return (
        f"create or replace view {view} as select\n{body}\nfrom {_qualified(table)};\n"
        f"comment on view {view} is {text_literal(_title(table.event) + ', bytes as 0x text')};\n"
        + _grant(f"select on {view}")
    )


def event_view_ddl(tables: Sequence[tuple[str, TableSpec]]) -> str:
    """Makes the view ``indexer.event`` of all events of all (contract name, table), none included.

    Contract, event and signature are constants of each part, so that the planner leaves out the tables that a
    query does not ask for; conditions on blocks reach each table's primary key; the block's hash costs
    nothing where it is not selected.
    """
    parts = "\n    union all\n".join(_part(contract, table) for contract, table in tables) or _no_events()
    return (
        "create or replace view indexer.event as\n"
        "select\n"
        "    chain.chain_id,\n"
        "    emitted.contract,\n"
        f"    {_hex('emitted.address')} as address,\n"
        "    emitted.event,\n"
        "    emitted.signature,\n"
        "    emitted.block_number,\n"
        f"    {_hex('block.hash')} as block_hash,\n"
        "    emitted.block_time,\n"
        f"    {_hex('emitted.transaction_hash')} as transaction_hash,\n"
        "    emitted.transaction_index,\n"
        "    emitted.log_index,\n"
        "    emitted.args\n"
        f"from (\n{parts}\n) as emitted\n"
        "left join indexer.block on block.number = emitted.block_number\n"
        "cross join indexer.chain;\n"
        "comment on view indexer.event is 'Every indexed event, whatever its contract and type';\n"
        + _grant("select on indexer.event")
    )


def _part(contract: str, table: TableSpec) -> str:
    return (
        f"    select {text_literal(contract)}::text as contract, "
        f"{text_literal(table.event.name)}::text as event, "
        f"{text_literal(table.event.signature)}::text as signature,\n"
        "        block_number, log_index, block_time, transaction_hash, transaction_index, address,\n"
        f"        {_args(table)} as args\n"
        f"    from {_qualified(table)}"
    )


def _no_events() -> str:
    return (
        "    select null::text as contract, null::text as event, null::text as signature,\n"
        "        null::int8 as block_number, null::int4 as log_index, null::timestamptz as block_time,\n"
        "        null::bytea as transaction_hash, null::int4 as transaction_index, null::bytea as address,\n"
        "        null::jsonb as args\n"
        "    where false"
    )


def _args(table: TableSpec) -> str:
    """The arguments as one JSON object, by their names in the ABI."""
    members = [
        f"{text_literal(name)}, {_json(table, column)}"
        for name, column in zip(table.event.argument_names, table.columns, strict=True)
    ]
    chunks = [members[i : i + _MEMBERS_AT_ONCE] for i in range(0, len(members), _MEMBERS_AT_ONCE)] or [[]]
    return " || ".join(f"jsonb_build_object({', '.join(chunk)})" for chunk in chunks)


def _json(table: TableSpec, column: Column) -> str:
    name = quoted(column.name)
    if column.pg_type == "bytea":
        return _hex(name)
    type_ = table.event.params[column.param].type
    if isinstance(type_, Int | Uint) and type_.bits > WIDEST_JSON_NUMBER:
        return f"{name}::text"
    return name


def _hex(column: str) -> str:
    return f"'0x' || encode({column}, 'hex')"


def _title(event: EventSpec) -> str:
    return f"{event.signature}{' anonymous' if event.anonymous else ''}"


def _declaration(event: EventSpec, column: Column) -> str:
    param = event.params[column.param]
    words = [param.type.canonical(), "indexed" if param.indexed else "", param.name]
    return " ".join(word for word in words if word) + (", as keccak-256" if param.is_hashed else "")


def _grant(*privileges: str) -> str:
    """Lets the reading role in, where it exists: not every owner of a database may make roles."""
    grants = "".join(f"        grant {privilege} to {READER};\n" for privilege in privileges)
    return (
        "do $grant$\nbegin\n"
        f"    if exists (select from pg_catalog.pg_roles where rolname = '{READER}') then\n{grants}"
        "    end if;\nend\n$grant$;\n"
    )


def _qualified(table: TableSpec) -> str:
    return f"{quoted(table.schema)}.{quoted(table.name)}"
