"""When a declared index may be built: once nothing is missing in its table, for it slows down what fills it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from indexer.core.declaredindex import DeclaredIndex, resolved
from indexer.core.model import Span
from indexer.core.plan import missing
from indexer.core.source import Source
from indexer.core.watched import WatchedContract
from indexer.store.database import Database
from indexer.store.indexes import make_indexes
from indexer.store.reading import State


def declared_indexes(
    watched: Sequence[WatchedContract], sources: Sequence[Source]
) -> tuple[DeclaredIndex, ...]:
    """The indexes that the contracts declare, on the tables that their sources have."""
    found: list[DeclaredIndex] = []
    for contract in watched:
        tables = {each.event.digest: each.table for each in sources if each.contract == contract.name}
        found += resolved(contract.indexes, tables)
    return tuple(found)


class Indexing:
    """The declared indexes of one database."""

    def __init__(
        self,
        store: Database,
        read_state: Callable[[], Awaitable[State]],
        watched: Sequence[WatchedContract],
        sources: Sequence[Source],
    ) -> None:
        self._store = store
        self._read_state = read_state
        self._sources = sources
        self._declared = declared_indexes(watched, sources)

    async def make(self) -> bool:
        """Build what can be built now and drop what is declared no longer; True when nothing has to wait.

        Raises:
            Unavailable: another session builds, or the database does not answer.
        """
        state = await self._read_state()
        filled = {each for each in self._declared if self._is_filled(each, state)}
        tables = {(source.table.schema, source.table.name) for source in self._sources}
        await make_indexes(
            self._store, [each for each in self._declared if each in filled], self._declared, tables
        )
        return len(filled) == len(set(self._declared))

    def _is_filled(self, index: DeclaredIndex, state: State) -> bool:
        """Whether no final block is missing for any source of the index's table."""
        if state.finalized is None:
            return False
        last = state.finalized.number
        return not any(
            missing(Span(source.start_block, last), state.coverage.get(source.id, ()))
            for source in self._sources
            if source.table == index.table and source.start_block <= last
        )
