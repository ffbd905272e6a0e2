"""How missing blocks are dealt out to several hands: by the pace so far, and less and less towards the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from indexer.core.model import Span
from indexer.core.plan import Piece, Worklist, merge_gaps, missing

#: The first portion of each hand, before anything is known about the pace.
FIRST_PORTION_BLOCKS = 2_000
#: A portion takes about so long at most: longer ones would keep the others waiting at the end, shorter ones cost more
#: at their edges, where a hand has nothing left to fetch while it writes.
LONGEST_SECONDS, SHORTEST_SECONDS = 4.0, 0.25
#: How much longer than the longest one until now a portion may be: dense blocks may follow on sparse ones.
GROWTH = 4


@dataclass(frozen=True, slots=True)
class Portion:
    """What one hand fills next: pieces in ascending order."""

    pieces: tuple[Piece, ...]

    @property
    def blocks(self) -> int:
        """How many blocks it has, a block counted once per piece."""
        return sum(len(piece.span) for piece in self.pieces)

    @property
    def work(self) -> int:
        """The same as progress is counted: blocks times sources."""
        return sum(len(piece.span) * len(piece.source_ids) for piece in self.pieces)

    @property
    def span(self) -> Span:
        """From the first block to the last one, with gaps between the pieces."""
        return Span(self.pieces[0].span.first, self.pieces[-1].span.last)

    @property
    def gaps(self) -> dict[int, list[Span]]:
        """The blocks of each source."""
        gaps: dict[int, list[Span]] = {}
        for piece in self.pieces:
            for each in piece.source_ids:
                gaps.setdefault(each, []).append(piece.span)
        return gaps

    def without(self, coverage: Mapping[int, Iterable[Span]]) -> list[Piece]:
        """The pieces of it that are not covered."""
        left = {
            each: [hole for span in spans for hole in missing(span, coverage.get(each, ()))]
            for each, spans in self.gaps.items()
        }
        return merge_gaps({each: spans for each, spans in left.items() if spans})


class Dealer:
    """The blocks that nobody has been given yet, and what is known about the pace."""

    def __init__(self, pieces: Iterable[Piece], hands: int) -> None:
        self._left = Worklist(pieces)
        self._hands = hands
        #: Of one hand, by its last portion.
        self._blocks_per_second: float | None = None
        self._longest = 0

    def __bool__(self) -> bool:
        return bool(self._left)

    @property
    def seconds_left(self) -> float | None:
        """How long one hand needs for what is left; None while that is not known."""
        if not self._left:
            return 0.0
        return self._left.blocks / self._blocks_per_second if self._blocks_per_second else None

    def deal(self) -> Portion:
        """The next portion, oldest blocks first; empty when nothing is left."""
        wanted = self._portion_blocks()
        pieces: list[Piece] = []
        while wanted > 0 and (piece := self._left.take(wanted)):
            pieces.append(piece)
            wanted -= len(piece.span)
        # What was taken back may stand in any order.
        return Portion(tuple(sorted(pieces, key=lambda each: each.span.first)))

    def filled(self, portion: Portion, seconds: float) -> None:
        """A hand needed so long for the portion."""
        self._blocks_per_second = portion.blocks / max(seconds, 1e-6)
        self._longest = max(self._longest, portion.blocks)

    def take_back(self, pieces: Iterable[Piece]) -> None:
        """These have to be filled by somebody else; they are dealt next."""
        for piece in sorted(pieces, key=lambda each: each.span.first, reverse=True):
            self._left.put_back(piece)

    def _portion_blocks(self) -> int:
        left = self._left.blocks
        if self._hands == 1:
            return left
        pace = self._blocks_per_second
        if pace is None:
            return max(1, min(FIRST_PORTION_BLOCKS, left // (4 * self._hands)))
        fair = ceil(left / (2 * self._hands))
        most = min(pace * LONGEST_SECONDS, self._longest * GROWTH)
        return max(1, round(min(most, max(fair, pace * SHORTEST_SECONDS))))
