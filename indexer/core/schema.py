"""The table that holds an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from indexer.core.abi import EventSpec, Param
from indexer.core.abitype import AbiType, Address, Bool, Bytes, FixedBytes, FunctionPointer, Int, String, Uint
from indexer.core.errors import UserMistake
from indexer.core.naming import (
    FIXED_COLUMNS,
    column_name,
    overload_table_name,
    plain_table_name,
    schema_name,
)

#: How PostgreSQL stores the columns that each event table has before those of the arguments.
FIXED_COLUMN_TYPES: Mapping[str, str] = MappingProxyType(
    dict(zip(FIXED_COLUMNS, ("int8", "int4", "timestamptz", "bytea", "int4", "bytea"), strict=True))
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column for one argument."""

    name: str
    #: ``int8``, ``numeric(78,0)``, ``bytea``, ``bool``, ``text`` or ``jsonb``.
    pg_type: str
    #: Index into the event's params.
    param: int


@dataclass(frozen=True, slots=True)
class TableSpec:
    """Where the rows of one event of one contract (all its addresses) are."""

    schema: str
    name: str
    event: EventSpec
    #: Of the arguments only, in the ABI's order.
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """All columns in the order of the table, which is that of COPY."""
        return FIXED_COLUMNS + tuple(column.name for column in self.columns)


def tables_of_contract(
    contract: str, events: Sequence[EventSpec], known: Mapping[bytes, str] = MappingProxyType({})
) -> tuple[TableSpec, ...]:
    """A table for each event, in the order of the events.

    The name of an event's table never changes once rows may be in it: ``known`` says by digest which names
    the database already has for this contract. Of several new events whose names come out the same, one gets
    the plain name if it is still free: the one with most arguments, then with fewest topics, then the one
    whose signature sorts first. So the order in an ABI does not matter. The others carry a part of their
    digest.

    Raises:
        UserMistake: a log could belong to two of the events, and nothing in it tells which; or even the name
            with the digest is taken.
    """
    _refuse_twins(contract, events)
    names = {event.digest: known[event.digest] for event in events if event.digest in known}
    taken = set(known.values())
    for event in sorted(events, key=_seniority):
        if event.digest not in names:
            name = plain_table_name(event.name)
            if name in taken:
                name = overload_table_name(event.name, event.digest)
            if name in taken:
                raise UserMistake(
                    f"contract {contract}: the table name {name} of {event.signature} is taken by another "
                    "event; rename one of them in the ABI, or list the wanted ones under 'events'"
                )
            names[event.digest] = name
            taken.add(name)
    schema = schema_name(contract)
    return tuple(TableSpec(schema, names[event.digest], event, columns_of(event)) for event in events)


def _seniority(event: EventSpec) -> tuple[int, int, str, bytes]:
    return -len(event.params), event.topic_count, event.signature, event.digest


def _refuse_twins(contract: str, events: Sequence[EventSpec]) -> None:
    seen: dict[tuple[bytes | None, int], EventSpec] = {}
    for event in events:
        twin = seen.setdefault((event.topic0, event.topic_count), event)
        if twin is not event:
            what = "are anonymous" if event.anonymous else "have the same signature"
            raise UserMistake(
                f"contract {contract}: the events {twin.signature} and {event.signature} {what} and have "
                f"{event.topic_count} topics each, so nothing in a log tells which of them it is; "
                "remove one of them from the ABI, or list the wanted ones under 'events'"
            )


def columns_of(event: EventSpec) -> tuple[Column, ...]:
    """The columns of an event's arguments."""
    taken: set[str] = set()
    made: list[Column] = []
    for position, param in enumerate(event.params):
        name = column_name(param.name, position, param.is_hashed, taken)
        taken.add(name)
        made.append(Column(name, column_type(param), position))
    return tuple(made)


def column_type(param: Param) -> str:
    """How PostgreSQL stores the argument."""
    return "bytea" if param.is_hashed else _stored_as(param.type)


def _stored_as(type_: AbiType) -> str:
    match type_:
        case Address() | FixedBytes() | FunctionPointer() | Bytes():
            return "bytea"
        case Bool():
            return "bool"
        case String():
            return "text"
        case Uint(bits=bits):
            # An 8-byte integer of SQL is signed, so that uint64 does not fit.
            return "int8" if bits < 64 else "numeric(78,0)"
        case Int(bits=bits):
            return "int8" if bits <= 64 else "numeric(78,0)"
    return "jsonb"
