"""Indexes that the configuration declares on event tables: which columns may be in them, their names, their SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from indexer.core.abitype import Bytes
from indexer.core.errors import UserMistake
from indexer.core.keccak import keccak256
from indexer.core.naming import LONGEST_NAME, quoted, shortened
from indexer.core.schema import TableSpec

#: Ends the name of each index that was declared; before it stand 8 digits that no event's name ends with.
SUFFIX = "_declared"
#: What the names look like, as a regular expression of PostgreSQL.
NAME_PATTERN = f"_[0-9a-f]{{8}}{SUFFIX}$"


@dataclass(frozen=True, slots=True)
class Declaration:
    """Columns of an event's table that are to be indexed together, in this order."""

    #: Of the event.
    digest: bytes
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeclaredIndex:
    """A declaration on the table that the database has for the event."""

    table: TableSpec
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """Table and columns, as much as fits in 63 bytes, and 8 digits of their hash: always the same one."""
        words = [self.table.name, *self.columns]
        ending = f"_{keccak256(chr(0).join(words).encode())[:4].hex()}{SUFFIX}"
        return shortened("_".join(words), LONGEST_NAME - len(ending)) + ending

    @property
    def qualified(self) -> str:
        """Schema and name as SQL."""
        return f"{quoted(self.table.schema)}.{quoted(self.name)}"

    @property
    def ddl(self) -> str:
        """The statement that builds it while others write; to be run outside of a transaction."""
        by_hash = self.columns[0] in unbounded_columns(self.table)
        return (
            f"create index concurrently {quoted(self.name)} on {quoted(self.table.schema)}.{quoted(self.table.name)}"
            f"{' using hash' if by_hash else ''} ({', '.join(map(quoted, self.columns))})"
        )


def unbounded_columns(table: TableSpec) -> frozenset[str]:
    """The columns whose values may be of any length.

    An entry of a B-tree has a greatest size (a third of a page), and a row that exceeds it is refused. So a log with a
    long text would stop the indexing; a hash index has no such limit.
    """
    params = table.event.params
    return frozenset(
        column.name
        for column in table.columns
        if column.pg_type in {"text", "jsonb"}
        or (isinstance(params[column.param].type, Bytes) and not params[column.param].is_hashed)
    )


def declarations(
    contract: str, tables: Sequence[TableSpec], wanted: Mapping[str, Iterable[tuple[str, ...]]]
) -> tuple[Declaration, ...]:
    """The declarations on these tables.

    Args:
        wanted: lists of columns by the name of an event, which means all events of that name, or by a signature.

    Raises:
        UserMistake: no event is called so, or its table has not such a column, or one that cannot be indexed so.
    """
    found: list[Declaration] = []
    for called, lists in wanted.items():
        meant = [table for table in tables if called in {table.event.name, table.event.signature}]
        if not meant:
            names = ", ".join(sorted(table.event.signature for table in tables))
            raise UserMistake(f"contract {contract}: indexes name the event {called}; indexed are {names}")
        for table in meant:
            for columns in lists:
                _require_indexable(contract, table, columns)
                found.append(Declaration(table.event.digest, columns))
    if len(set(found)) < len(found):
        raise UserMistake(f"contract {contract}: indexes declare the same columns of an event twice")
    return tuple(found)


def _require_indexable(contract: str, table: TableSpec, columns: tuple[str, ...]) -> None:
    what = f"contract {contract}: an index of {table.event.name}"
    if unknown := [column for column in columns if column not in table.column_names]:
        raise UserMistake(
            f"{what} names the column {', '.join(unknown)}; the table has {', '.join(table.column_names)}"
        )
    if len(set(columns)) < len(columns):
        raise UserMistake(f"{what} names a column twice: {', '.join(columns)}")
    if len(columns) > 1 and (long := unbounded_columns(table).intersection(columns)):
        raise UserMistake(
            f"{what} joins {', '.join(sorted(long))} with other columns; values of any length can be indexed alone only"
        )


def resolved(declared: Iterable[Declaration], known: Mapping[bytes, TableSpec]) -> tuple[DeclaredIndex, ...]:
    """The declarations on the tables that the database has for their events; those without one are left out."""
    return tuple(DeclaredIndex(known[each.digest], each.columns) for each in declared if each.digest in known)
