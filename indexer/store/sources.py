"""The sources as the database describes them, needing neither the configuration nor the node."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from indexer.core.digest import SourceKey
from indexer.core.model import Span
from indexer.core.schema import TableSpec, columns_of
from indexer.core.source import Source
from indexer.store.abi_text import event_of
from indexer.store.database import Connection

READ_SOURCES = """
    select source.*, coverage.blocks
    from indexer.source join indexer.coverage on coverage.source_id = source.id
    order by source.id
"""
READ_FINAL = "select finalized_number from indexer.cursor"


@dataclass(frozen=True, slots=True)
class StoredSource:
    """One source, active or not, with the blocks that it covers."""

    id: int
    contract: str
    address: bytes
    #: None: its transactions.
    table: TableSpec | None
    start_block: int
    active: bool
    #: As the counter says.
    rows: int
    #: Ascending, not touching each other; the tail is included.
    covered: tuple[Span, ...]

    @property
    def key(self) -> SourceKey:
        """What it is called in another database, too."""
        event = self.table.event if self.table else None
        return SourceKey(
            self.contract,
            self.address,
            event.signature if event else "",
            event.digest if event else b"",
        )

    def as_source(self) -> Source:
        """The same for the decoder; only for a source of events."""
        assert self.table is not None
        return Source(self.id, self.contract, self.address, self.table.event, self.table, self.start_block)


async def read_sources(connection: Connection) -> tuple[StoredSource, ...]:
    """All sources by their id."""
    return tuple(_source(row) for row in await connection.fetch(READ_SOURCES))


async def read_final(connection: Connection) -> int | None:
    """The newest block that is known as final; None before any is."""
    final: int | None = await connection.fetchval(READ_FINAL)
    return final


def _source(row: asyncpg.Record) -> StoredSource:
    table = None
    if row["kind"] == "event":
        event = event_of(row["abi"])
        table = TableSpec(row["table_schema"], row["table_name"], event, columns_of(event))
    return StoredSource(
        id=row["id"],
        contract=row["contract"],
        address=row["address"],
        table=table,
        start_block=row["start_block"],
        active=row["active"],
        rows=row["rows"],
        covered=tuple(Span(each.lower, each.upper - 1) for each in row["blocks"]),
    )
