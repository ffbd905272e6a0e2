"""A contract as the configuration asks for it, with the tables that its events go to."""

from __future__ import annotations

from dataclasses import dataclass

from indexer.core.declaredindex import Declaration
from indexer.core.schema import TableSpec


@dataclass(frozen=True, slots=True)
class WatchedContract:
    """A named contract: its addresses share its tables."""

    name: str
    addresses: tuple[bytes, ...]
    #: One for each event that is to be indexed. A database that knows an event under another table
    #: name keeps that name; see `indexer.store.catalog.register`.
    tables: tuple[TableSpec, ...]
    #: The first block that is wanted, inclusive.
    start_block: int
    #: Whether the transactions to it, creating it, or emitting from it are wanted too.
    transactions: bool
    #: Indexes on its tables, to be built once their gaps are filled.
    indexes: tuple[Declaration, ...] = ()
