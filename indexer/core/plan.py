"""Which blocks to ask for next: gaps in the coverage, cut into ranges that the node answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from indexer.core.errors import TooMuch
from indexer.core.model import Span

#: The range to begin with, before anything is known about a node.
FIRST_RANGE_BLOCKS = 2_000
#: Answers near this many logs are not wasteful.
TARGET_LOGS = 20_000
#: Answers near this many bytes are not too large to hold several of them in memory, whatever the logs carry.
TARGET_BYTES = 8 * 1024 * 1024
#: How much a range may grow after one good answer.
GROWTH = 2.0


def missing(wanted: Span, covered: Iterable[Span]) -> list[Span]:
    """The parts of the wanted blocks that are not covered, ascending."""
    gaps: list[Span] = []
    first = wanted.first
    for span in sorted(covered, key=lambda each: each.first):
        if span.last < first:
            continue
        if span.first > wanted.last:
            break
        if span.first > first:
            gaps.append(Span(first, span.first - 1))
        first = span.last + 1
    if first <= wanted.last:
        gaps.append(Span(first, wanted.last))
    return gaps


@dataclass(frozen=True, slots=True)
class Piece:
    """Blocks that are missing for all of these sources."""

    span: Span
    source_ids: frozenset[int]


def merge_gaps(gaps: Mapping[int, Sequence[Span]]) -> list[Piece]:
    """The gaps of all sources as pieces that do not overlap, ascending.

    Sources that miss the same blocks share a piece, so one request serves them all. Every missing block of
    every source is in exactly one piece that names this source, and no other block is.
    """
    edges: dict[int, list[tuple[bool, int]]] = {}
    for source_id, spans in gaps.items():
        for span in spans:
            edges.setdefault(span.first, []).append((True, source_id))
            edges.setdefault(span.last + 1, []).append((False, source_id))
    pieces: list[Piece] = []
    open_ids: set[int] = set()
    begun = 0
    for number in sorted(edges):
        if open_ids:
            pieces.append(Piece(Span(begun, number - 1), frozenset(open_ids)))
        for _, source_id in (edge for edge in edges[number] if not edge[0]):
            open_ids.remove(source_id)
        for _, source_id in (edge for edge in edges[number] if edge[0]):
            open_ids.add(source_id)
        begun = number
    return _joined(pieces)


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last and last.span.last + 1 == piece.span.first and last.source_ids == piece.source_ids:
            joined[-1] = Piece(Span(last.span.first, piece.span.last), piece.source_ids)
        else:
            joined.append(piece)
    return joined


def halves(piece: Piece) -> tuple[Piece, Piece]:
    """A piece of at least two blocks as two, the later blocks first."""
    first, last = piece.span.first, piece.span.last
    middle = (first + last) // 2
    return Piece(Span(middle + 1, last), piece.source_ids), Piece(Span(first, middle), piece.source_ids)


#: Good answers at the ceiling before more is tried; doubled each time that this was refused.
FIRST_PATIENCE, LONGEST_PATIENCE = 16, 4_096
#: An answer this many times smaller than wanted counts for as many good ones.
SPARSE_WEIGHT = 8
#: What part of the logs that an endpoint gives at most is aimed at: blocks are not alike.
LOGS_AIM = 0.9
#: The largest range that is answered is found as exactly as this part of it.
PRECISION = 0.03


@dataclass(slots=True)
class RangeSize:
    """How many blocks to ask for at once, learned from what came back.

    Grows by at most a factor of two while answers are small and shrinks in proportion when they are large.
    What a refusal teaches depends on what it said:

    * so many blocks wherever they are: the endpoint keeps that in mind itself, and here the size is at most that;
    * so many logs: from now on answers of fewer are aimed at, and the next ranges are shorter;
    * anything else leaves a ceiling: the blocks that it named, else half. It may have been about this one dense
      range or about the plan's limit, so more is tried again after a while: first half of the way to what was
      refused, sooner where answers have become small, and ever more rarely where it is refused again.
    """

    blocks: int = FIRST_RANGE_BLOCKS
    most: int = 1_000_000_000
    target_logs: int = TARGET_LOGS
    ceiling: int | None = None
    #: The shortest range that was refused without a number; a ceiling lies below it.
    _too_long: int | None = None
    _patience: int = FIRST_PATIENCE
    _good_at_ceiling: int = 0

    def answered(self, span: Span, logs: int, size_bytes: int = 0) -> None:
        """Learn from a complete answer with that many logs, whose text had about so many bytes."""
        fullness = max(logs / self.target_logs, size_bytes / TARGET_BYTES)
        grown = len(span) * min(1 / fullness if fullness else GROWTH, GROWTH)
        # A short range at the end of a gap says nothing about longer ones.
        if grown < self.blocks and len(span) < self.blocks and fullness < 1:
            return
        if self.ceiling is not None and grown > self.ceiling:
            self._good_at_ceiling += SPARSE_WEIGHT if logs * SPARSE_WEIGHT < self.target_logs else 1
            if self._good_at_ceiling >= self._patience:
                self.ceiling = min(self._dared(self.ceiling), self.most)
                self._good_at_ceiling = 0
        self.blocks = max(1, min(round(grown), self.ceiling or self.most, self.most))

    def refused(self, span: Span, error: TooMuch) -> None:
        """Learn from a refusal; the next range is smaller than the refused one."""
        allowed = narrower(span, error)
        self.blocks = max(1, min(self.blocks, allowed))
        if error.is_cap:
            return
        if error.logs is not None:
            self.target_logs = max(1, min(self.target_logs, int(error.logs * LOGS_AIM)))
            return
        if error.blocks is None:
            self._too_long = min(len(span), self._too_long or len(span))
        elif self.ceiling is not None and len(span) <= self.ceiling:
            self._patience = min(self._patience * 2, LONGEST_PATIENCE)
        # Ranges asked before an earlier refusal may still come back refused: the ceiling only goes down here.
        self.ceiling = min(allowed, self.ceiling or allowed)
        self._good_at_ceiling = 0

    def _dared(self, ceiling: int) -> int:
        """What to try after many good answers at the ceiling."""
        if self._too_long is None or self._too_long <= ceiling:
            return ceiling * 2
        if self._too_long - ceiling > max(1, PRECISION * ceiling):
            return (ceiling + self._too_long) // 2
        # As long as it gets, for now. Whether it is for good the words did not say.
        self._too_long = None
        self._patience = LONGEST_PATIENCE
        return ceiling


def narrower(span: Span, error: TooMuch) -> int:
    """How many blocks to ask for instead of the refused span: the node's own word, else half."""
    half = max(1, len(span) // 2)
    if error.blocks is not None and 0 < error.blocks < len(span):
        return error.blocks
    return half


class Worklist:
    """The pieces still to be fetched, cut to the learned size as they are taken."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = deque(pieces)

    def __bool__(self) -> bool:
        return bool(self._pieces)

    @property
    def blocks(self) -> int:
        """How many blocks are still in the list, a block counted once per piece."""
        return sum(len(piece.span) for piece in self._pieces)

    def take(self, at_most: int) -> Piece | None:
        """The next piece of at most so many blocks, oldest first; None when the list is empty."""
        if not self._pieces:
            return None
        piece = self._pieces.popleft()
        if len(piece.span) <= at_most:
            return piece
        cut = piece.span.first + at_most - 1
        self._pieces.appendleft(Piece(Span(cut + 1, piece.span.last), piece.source_ids))
        return Piece(Span(piece.span.first, cut), piece.source_ids)

    def put_back(self, piece: Piece) -> None:
        """Return a piece that could not be fetched at this size."""
        self._pieces.appendleft(piece)
