"""Undecoded logs again, with the ABIs of today: each portion in one transaction of the writer.

Two cases. An event whose ABI was corrected is a new source; where the old one never made a row, all its logs
are undecoded ones, so that with them the new source takes over the old one's blocks, too, and the node need
not be asked (`take_over`). Everything else (`redecode`) concerns blocks that the log's source covers: there a
log without a row gets one, and an entry that only an outdated configuration made goes away. Blocks that the
new source does not cover are left to the backfill, which brings the same log again; until then the old entry
stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from indexer.core.batch import Decoder
from indexer.core.model import Encoded, Span, UndecodedLog
from indexer.core.naming import quoted
from indexer.core.relogged import Owners, as_logs
from indexer.core.source import Source
from indexer.core.spans import multirange, overlap, without
from indexer.store import rows, undecoded
from indexer.store.database import Connection
from indexer.store.sources import StoredSource, read_sources
from indexer.store.writer import Writer

MOVE_COVERAGE = """
    update indexer.source set
        backfilled = case when id = $1 then backfilled - $3::text::int8multirange
            else backfilled + $4::text::int8multirange end
    where id in ($1, $2)
"""


@dataclass(slots=True)
class Redecoded:
    """What came of it."""

    #: Rows written per source id.
    rows: Counter[int] = field(default_factory=Counter)
    #: Entries whose log has a row of a newer source, removed.
    outdated: int = 0
    #: Entries that a newer source took over, and the blocks that it covers with them.
    taken_over: int = 0
    blocks_taken_over: int = 0
    #: Entries whose block the log's source does not cover yet.
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class _Today:
    """The sources as they are in the transaction."""

    everyone: tuple[StoredSource, ...]
    by_id: Mapping[int, StoredSource]
    active: tuple[Source, ...]
    owners: Owners

    def decoder_of(self, source: Source) -> Decoder:
        """Makes rows of that source only, and knows the logs of all other active ones."""
        return Decoder((source,), tuple(each for each in self.active if each.id != source.id))


async def _today(connection: Connection) -> _Today:
    everyone = await read_sources(connection)
    active = tuple(each.as_source() for each in everyone if each.active and each.table is not None)
    return _Today(everyone, {each.id: each for each in everyone}, active, Owners(active))


async def redecode_all(writer: Writer, contracts: frozenset[str]) -> Redecoded:
    """Read every undecoded log of these contracts' sources again; doing it twice changes nothing more.

    Raises:
        LostLeadership: another writer took over; portions that were done stay so.
    """
    done = Redecoded()
    async with writer.transaction() as connection:
        pairs = [(old.id, new.id) for old, new in _successors(await _today(connection), contracts)]
    for old, new in pairs:
        after: int | None = -1
        while after is not None:
            async with writer.transaction() as connection:
                after = await _take_over(connection, old, new, after, done)
    key: undecoded.Key | None = undecoded.START
    while key is not None:
        async with writer.transaction() as connection:
            key = await _redecode(connection, key, contracts, done)
    return done


def _successors(today: _Today, contracts: frozenset[str]) -> list[tuple[StoredSource, StoredSource]]:
    """The sources that never made a row and are no longer configured, each with the one that reads its logs now.

    Only where it is certain that the undecoded logs of the old one are all logs that the new one has in
    the old one's blocks: with the same number of topics they are its own; with another number they were
    reported by it as long as no other event of this first topic, and no anonymous one, was there to do so.
    """
    found = []
    for old in today.everyone:
        if old.active or old.table is None or old.rows or old.contract not in contracts:
            continue
        event = old.table.event
        alike = [each for each in today.everyone if _has_topic(each, old.address, event.topic0)]
        now = [each for each in alike if each.active]
        if event.topic0 is None or len(now) != 1 or now[0].contract != old.contract:
            continue
        assert now[0].table is not None
        new = now[0].table.event
        nameless = [
            each
            for each in today.everyone
            if _has_topic(each, old.address, None)
            and each.table
            and each.table.event.topic_count == new.topic_count
        ]
        if new.topic_count == event.topic_count or (len(alike) == 2 and not nameless):
            found.append((old, now[0]))
    return found


def _has_topic(source: StoredSource, address: bytes, topic0: bytes | None) -> bool:
    return source.table is not None and source.address == address and source.table.event.topic0 == topic0


async def _take_over(
    connection: Connection, old_id: int, new_id: int, after: int, done: Redecoded
) -> int | None:
    """Move the next blocks with their entries from the old source to the new one; None: it was the last part."""
    today = await _today(connection)
    await rows.lock_sources(connection, [old_id, new_id])
    old, new = today.by_id[old_id], today.by_id[new_id]
    entries, last = await undecoded.next_blocks(connection, after, old_id)
    if not entries:
        last = max((span.last for span in old.covered), default=after)
    moved = overlap(old.covered, [Span(after + 1, last)]) if last > after else ()
    gained = without(moved, new.covered)
    fresh = [each for each in entries if _inside(each, gained)]
    encoded = _encoded(today, new.as_source(), fresh)
    await undecoded.remove(connection, entries)
    await _write(connection, encoded, done)
    await connection.execute(MOVE_COVERAGE, old_id, new_id, multirange(moved), multirange(gained))
    done.taken_over += len(entries)
    done.blocks_taken_over += sum(map(len, gained))
    return last if entries else None


async def _redecode(
    connection: Connection, after: undecoded.Key, contracts: frozenset[str], done: Redecoded
) -> undecoded.Key | None:
    """Look at the next portion of entries; where to go on, or None at the end."""
    entries = await undecoded.next_portion(connection, after)
    if not entries:
        return None
    today = await _today(connection)
    owned: dict[int, list[UndecodedLog]] = defaultdict(list)
    for entry in entries:
        for source in today.owners.of(entry):
            owned[source.id].append(entry)
    for source_id, some in owned.items():
        if today.by_id[source_id].contract in contracts:
            await _complete(connection, today, source_id, some, done)
    stale = [each for each in entries if _is_stale(today, each, contracts)]
    waiting = [each for each in stale if not _is_covered(today, each)]
    done.waiting += len(waiting)
    gone = [each for each in stale if _is_covered(today, each)]
    done.outdated += len(gone)
    await undecoded.remove(connection, gone)
    last = entries[-1]
    return last.block_number, last.log_index, last.source_id


async def _complete(
    connection: Connection,
    today: _Today,
    source_id: int,
    entries: Sequence[UndecodedLog],
    done: Redecoded,
) -> None:
    """Give the source what is missing in the blocks that it covers: a row of each log, or an entry of its own."""
    stored = today.by_id[source_id]
    assert stored.table is not None
    inside = [each for each in entries if _inside(each, stored.covered)]
    if not inside:
        return
    name = f"{quoted(stored.table.schema)}.{quoted(stored.table.name)}"
    have = await undecoded.with_row(connection, name, inside)
    reported = await undecoded.present(connection, source_id, inside)
    own = [each for each in inside if each.source_id == source_id]
    missing = [each for each in inside if each.source_id != source_id and _place(each) not in reported]
    again = [each for each in [*own, *missing] if _place(each) not in have]
    encoded = _encoded(today, stored.as_source(), again)
    unchanged = set(encoded.undecoded).intersection(own)
    # An entry of ours whose log has a row was left behind by something that is gone.
    await undecoded.remove(connection, [each for each in own if each not in unchanged])
    new = tuple(each for each in encoded.undecoded if each not in unchanged)
    await _write(connection, Encoded(encoded.tables, new, encoded.counts, encoded.blocks), done)


def _is_stale(today: _Today, entry: UndecodedLog, contracts: frozenset[str]) -> bool:
    """Whether the log belongs to other sources by now, so that this entry is one too many."""
    owners = today.owners.of(entry)
    reporter = today.by_id[entry.source_id]
    if not owners or any(each.id == entry.source_id for each in owners):
        return False
    if not all(each.contract in contracts for each in owners):
        return False
    return reporter.active or any(each.contract == reporter.contract for each in owners)


def _is_covered(today: _Today, entry: UndecodedLog) -> bool:
    """Whether every source of the log has it: as a row, or as an entry of its own."""
    return all(_inside(entry, today.by_id[each.id].covered) for each in today.owners.of(entry))


def _encoded(today: _Today, source: Source, entries: Sequence[UndecodedLog]) -> Encoded:
    if not entries:
        return Encoded((), (), {}, {})
    return today.decoder_of(source).encode(as_logs(entries))


async def _write(connection: Connection, encoded: Encoded, done: Redecoded) -> None:
    await rows.copy_tables(connection, encoded.tables)
    await rows.add_blocks_with_rows(connection, encoded.blocks)
    await rows.add_undecoded(connection, encoded.undecoded)
    await rows.add_counts(connection, encoded.counts)
    done.rows.update(encoded.counts)


def _inside(entry: UndecodedLog, spans: Iterable[Span]) -> bool:
    return any(span.first <= entry.block_number <= span.last for span in spans)


def _place(entry: UndecodedLog) -> tuple[int, int]:
    return entry.block_number, entry.log_index
