"""What to do next above finality: decided from what we hold and what the chain says.

Two regimes live side by side. Below finality a block never changes, so ranges by number are safe and
quick. Above it the same number may be another block tomorrow, so blocks are read one by one and by hash,
and every block must be the child of the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from indexer.core.errors import Inconsistent
from indexer.core.model import BlockId, Header, Span


@dataclass(frozen=True, slots=True)
class Window:
    """The stored blocks that may still be replaced, oldest first; the last one is the cursor.

    The oldest one is the newest block that we hold as final (or the one at which the tail was started):
    what lies below it is never rewound.
    """

    blocks: tuple[BlockId, ...]

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ValueError("a window holds at least the cursor")
        numbers = [block.number for block in self.blocks]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise ValueError(f"a window has no holes, this one is {numbers}")

    @property
    def cursor(self) -> BlockId:
        return self.blocks[-1]

    @property
    def base(self) -> BlockId:
        """The oldest block, below which nothing is rewound."""
        return self.blocks[0]

    def at(self, number: int) -> BlockId | None:
        """Our block of that number, None where the window does not reach."""
        offset = number - self.base.number
        return self.blocks[offset] if 0 <= offset < len(self.blocks) else None

    def holds(self, block: BlockId) -> bool:
        return self.at(block.number) == block

    def extended(self, blocks: Iterable[BlockId]) -> Window:
        """The window after these blocks were written on top of it."""
        return Window((*self.blocks, *blocks))

    def rewound(self, fork: BlockId) -> Window:
        """The window after every block above the fork was removed."""
        return Window(self.blocks[: fork.number - self.base.number + 1])

    def pruned(self, finalized: BlockId) -> Window:
        """The window after blocks below the finalized one were let go."""
        return Window(self.blocks[finalized.number - self.base.number :])


@dataclass(frozen=True, slots=True)
class Idle:
    """The head is our cursor: nothing to do until the next announcement."""


@dataclass(frozen=True, slots=True)
class Behind:
    """The node's head is one of our own older blocks: it fell behind, or the chain was rolled back.

    Both look the same from here and nothing proves our blocks wrong, so they stay until a block arrives
    that contradicts them.
    """

    head: BlockId


@dataclass(frozen=True, slots=True)
class Advance:
    """Read these blocks; they should continue the window."""

    span: Span


@dataclass(frozen=True, slots=True)
class Diverged:
    """The head, or the block after our cursor, does not build on our cursor: look for the fork."""


Step = Idle | Behind | Advance | Diverged


def next_step(window: Window, head: Header, at_most: int) -> Step:
    """The next step towards the head, reading at most that many blocks at a time."""
    cursor = window.cursor
    if head.number > cursor.number + 1:
        return Advance(Span(cursor.number + 1, min(head.number, cursor.number + at_most)))
    if head.number == cursor.number + 1:
        return Advance(Span(head.number, head.number)) if head.follows(cursor) else Diverged()
    if head.id == cursor:
        return Idle()
    ours = window.at(head.number)
    if ours is None or ours == head.id:
        # Below the window nothing is ours to compare; finality was never seen to move back.
        return Behind(head.id)
    return Diverged()


def require_linked(parent: BlockId, headers: Sequence[Header]) -> None:
    """Raise Inconsistent unless the headers are a chain that starts right above the parent."""
    for header in headers:
        if not header.follows(parent):
            raise Inconsistent(
                f"block {header.number} is not a child of block {parent}: its parent is "
                f"0x{header.parent_hash.hex()[:12]}…"
            )
        parent = header.id


def fork_among(window: Window, canonical: Iterable[Header]) -> BlockId | None:
    """The newest block that the window and these headers of the node's chain have in common."""
    shared = [header.id for header in canonical if window.holds(header.id)]
    return max(shared, default=None)


def lookback(window: Window, below: int, width: int) -> Span | None:
    """The next numbers to compare when looking for the fork, going down; None below the window."""
    last = min(below - 1, window.cursor.number)
    if last < window.base.number:
        return None
    return Span(max(window.base.number, last - width + 1), last)


#: An endpoint on our branch is stayed with while its head is at most so far below the highest. Two branches that
#: grow side by side then make one reorg, and not one a block.
STAY_WITHIN_BLOCKS = 1


@dataclass(frozen=True, slots=True)
class Branch:
    """One endpoint's chain beside our window."""

    head: BlockId
    #: Whether the oldest block of our window is part of it; None: it does not reach so far.
    has_base: bool | None
    #: Whether our cursor is part of it; None as above.
    has_cursor: bool | None


def elect(branches: Sequence[Branch]) -> int | None:
    """Which of the branches to follow, the most preferred of equals first; None where none may be.

    One without the oldest block of our window contradicts what was final and is never followed. Of the rest the
    highest is, unless one with our cursor is about as high.
    """
    possible = [at for at, branch in enumerate(branches) if branch.has_base]
    if not possible:
        return None

    def height(at: int) -> int:
        return branches[at].head.number

    highest = max(possible, key=height)
    ours = [
        at
        for at in possible
        if branches[at].has_cursor and height(at) >= height(highest) - STAY_WITHIN_BLOCKS
    ]
    return max(ours, key=height) if ours else highest
