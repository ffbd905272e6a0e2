"""What is stored against what the chain says: missing, extra and altered rows, named by block and source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from indexer.core.logs import RangeLogs
from indexer.core.model import Span, Transaction, UndecodedLog
from indexer.core.plan import Piece
from indexer.core.wire import WireLog


class Kind(StrEnum):
    """In which way the database is wrong."""

    #: The chain has it, the database does not.
    MISSING = "missing"
    #: The database has it, the chain does not.
    EXTRA = "extra"
    #: Both have it, with other contents.
    ALTERED = "altered"


class Part(StrEnum):
    """Where the difference is."""

    EVENT = "event"
    UNDECODED = "undecoded"
    TRANSACTION = "transaction"
    #: The block's hash or time in `indexer.block`.
    BLOCK = "block"


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One row that is not as it should be."""

    block: int
    part: Part
    #: Log index, or transaction index; 0 for a block.
    position: int
    kind: Kind
    #: None: of no source, as a block, or a row with an address that nobody watches.
    source_id: int | None


def compare_undecoded(
    truth: Iterable[UndecodedLog],
    stored: Iterable[UndecodedLog],
    source_ids: frozenset[int],
    logs: RangeLogs,
) -> list[Difference]:
    """How the stored undecoded logs differ from what the decoder makes of the chain's logs.

    Which source reports a log with an unfitting number of topics depends on what was configured at the time,
    so any entry for it will do; and one of a log that belongs to a source added later is only outdated.

    Args:
        stored: those of the sources, and all others of their addresses, in the same blocks.
        source_ids: the sources that are compared.
        logs: from which the truth was made.
    """
    wanted = {_key(log): log for log in truth}
    found = {_key(log): log for log in stored}
    miscounted = {key[:2] for key, log in found.items() if log.reason == "topic_count"}
    differences = []
    for key, log in wanted.items():
        if key not in found:
            if log.reason != "topic_count" or key[:2] not in miscounted:
                differences.append(_undecoded(log, Kind.MISSING))
        elif found[key] != log:
            differences.append(_undecoded(log, Kind.ALTERED))
    left = [log for key, log in found.items() if key not in wanted and log.source_id in source_ids]
    if left:
        places = _places(logs)
        differences += [
            _undecoded(log, Kind.EXTRA)
            for log in left
            if log.reason != "topic_count" or (log.block_number, log.log_index) not in places
        ]
    return sorted(differences)


def _key(log: UndecodedLog) -> tuple[int, int, int]:
    return log.block_number, log.log_index, log.source_id


def _undecoded(log: UndecodedLog, kind: Kind) -> Difference:
    return Difference(log.block_number, Part.UNDECODED, log.log_index, kind, log.source_id)


def _places(logs: RangeLogs) -> frozenset[tuple[int, int]]:
    """Block number and log index of every log."""
    columns = logs.columns
    if columns is None:
        return frozenset()
    return frozenset(zip(columns.numbers.tolist(), columns.indexes.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A row of `indexer.transaction`; what cannot be wrong by itself is left out."""

    block: int
    index: int
    #: All columns but those below, in an order of their own.
    values: tuple[object, ...]
    recipient: bytes | None
    contract: str | None
    source_ids: frozenset[int]


def transaction_values(transaction: Transaction) -> tuple[object, ...]:
    """The columns of a transaction that are the chain's: what `StoredTransaction.values` must be."""
    return (
        transaction.hash,
        transaction.block_time,
        transaction.sender,
        transaction.created,
        transaction.selector,
        transaction.success,
        transaction.failure,
        transaction.gas_used,
        transaction.gas_limit,
        transaction.effective_gas_price_wei,
        transaction.value_wei,
    )


def compare_transactions(
    truth: Iterable[Transaction],
    stored: Iterable[StoredTransaction],
    sources: Mapping[bytes, tuple[int, str]],
) -> list[Difference]:
    """How the stored transactions of these sources differ from the chain's.

    Args:
        stored: all that belong to one of the sources, in the same blocks.
        sources: id and contract's name by address.
    """
    ids = frozenset(source_id for source_id, _ in sources.values())
    found = {(row.block, row.index): row for row in stored}
    differences: list[Difference] = []

    def note(block: int, index: int, kind: Kind, some: Iterable[int]) -> None:
        differences.extend(Difference(block, Part.TRANSACTION, index, kind, each) for each in some)

    for transaction in truth:
        touched = {transaction.recipient, transaction.created, *transaction.emitters}
        wanted = {sources[each][0] for each in touched if each is not None and each in sources}
        row = found.pop((transaction.block_number, transaction.index), None)
        held = row.source_ids & ids if row else frozenset()
        note(transaction.block_number, transaction.index, Kind.MISSING, wanted - held)
        note(transaction.block_number, transaction.index, Kind.EXTRA, held - wanted)
        if row is not None and not _same(transaction, row, sources):
            note(transaction.block_number, transaction.index, Kind.ALTERED, wanted & held)
    for row in found.values():
        note(row.block, row.index, Kind.EXTRA, row.source_ids & ids)
    return sorted(differences)


def _same(transaction: Transaction, row: StoredTransaction, sources: Mapping[bytes, tuple[int, str]]) -> bool:
    if row.values != transaction_values(transaction) or row.recipient != transaction.recipient:
        return False
    sent_to = sources.get(transaction.recipient) if transaction.recipient else None
    return sent_to is None or row.contract == sent_to[1]


def same_logs(ours: Sequence[WireLog], theirs: Sequence[WireLog]) -> bool:
    """Whether two answers of a node tell the same logs, whatever the case of the letters."""
    return list(map(_content, ours)) == list(map(_content, theirs))


def _content(log: WireLog) -> tuple[object, ...]:
    return (
        int(log.block_number, 16),
        int(log.log_index, 16),
        int(log.transaction_index, 16),
        log.block_hash.lower(),
        log.transaction_hash.lower(),
        log.address.lower(),
        [topic.lower() for topic in log.topics],
        log.data.lower(),
    )


def by_block(differences: Iterable[Difference]) -> dict[int, list[Difference]]:
    """The differences of each block, ascending."""
    found: dict[int, list[Difference]] = defaultdict(list)
    for difference in sorted(differences):
        found[difference.block].append(difference)
    return dict(found)


def sample(pieces: Iterable[Piece], count: int, blocks: int, seed: int) -> list[Piece]:
    """So many of the pieces' parts of so many blocks, chosen at random, ascending; all, if there are no more.

    The same seed chooses the same parts of the same pieces.
    """
    parts = [
        Piece(Span(first, min(first + blocks - 1, piece.span.last)), piece.source_ids)
        for piece in pieces
        for first in range(piece.span.first, piece.span.last + 1, blocks)
    ]
    if count >= len(parts):
        return parts
    chosen = Random(seed).sample(range(len(parts)), count)
    return [parts[place] for place in sorted(chosen)]
