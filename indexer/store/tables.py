"""The event tables in the database: compared with what they should be, and made where they are missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from indexer.core.ddl import hex_view_ddl, table_ddl
from indexer.core.errors import UserMistake
from indexer.core.schema import FIXED_COLUMN_TYPES, TableSpec
from indexer.store.database import Connection

COLUMNS_OF_TABLES = """
    select namespace.nspname as schema, class.relname as name,
        array_agg(attname || ' ' || format_type(atttypid, atttypmod) order by attnum) as columns
    from pg_catalog.pg_class as class
    join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    join pg_catalog.pg_attribute as attribute on attribute.attrelid = class.oid
    where namespace.nspname = any($1::text[]) and class.relkind in ('r', 'p')
        and attnum > 0 and not attisdropped
    group by 1, 2
"""


#: Types that PostgreSQL's catalogue writes differently from the DDL.
CATALOGUE_NAMES: Mapping[str, str] = {
    "int8": "bigint",
    "int4": "integer",
    "bool": "boolean",
    "timestamptz": "timestamp with time zone",
}


async def make_tables(
    connection: Connection, tables: Iterable[TableSpec], held: Collection[tuple[str, str]]
) -> None:
    """Make the tables that are missing, with their views, in one round trip; a restart changes nothing.

    Args:
        held: schema and name of the tables of sources that cover blocks already.

    Raises:
        UserMistake: a table is there with other columns, or was dropped though its rows count as stored.
    """
    wanted = {(table.schema, table.name): table for table in tables}
    found = {
        (row["schema"], row["name"]): row["columns"]
        for row in await connection.fetch(COLUMNS_OF_TABLES, sorted({table.schema for table in tables}))
    }
    for key, table in wanted.items():
        name = f"{table.schema}.{table.name}"
        if key not in found and key in held:
            raise UserMistake(
                f"the table {name} was dropped, but its blocks count as indexed: restore it from a backup, "
                "or have it indexed again: update indexer.source set backfilled = '{}', "
                "followed_from = null, rows = 0 "
                f"where table_schema = '{table.schema}' and table_name = '{table.name}'"
            )
        if key in found and found[key] != _columns(table):
            raise UserMistake(
                f"the table {name} does not fit {table.event.signature}: its columns are "
                f"{', '.join(found[key])}; they should be {', '.join(_columns(table))}; "
                "rename it, or the contract"
            )
    missing = [table for key, table in wanted.items() if key not in found]
    if missing:
        await connection.execute("".join(table_ddl(table) + hex_view_ddl(table) for table in missing))


def _columns(table: TableSpec) -> list[str]:
    """The columns as PostgreSQL's catalogue writes them."""
    pairs = [*FIXED_COLUMN_TYPES.items(), *((column.name, column.pg_type) for column in table.columns)]
    return [f"{name} {CATALOGUE_NAMES.get(pg_type, pg_type)}" for name, pg_type in pairs]
