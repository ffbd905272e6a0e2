"""Where the chain and we are, as last seen, and since when: what lag, delay and health are computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from indexer.core.health import EndpointFacts, Halted
from indexer.metrics.lagged import Lagged
from indexer.metrics.standstill import Standstill


@dataclass(frozen=True, slots=True)
class LastError:
    """An error that reached a loop; its text may repeat what others wrote."""

    #: What the loop does.
    doing: str
    #: As in the label `error_type`.
    type: str
    text: str
    at: float
    #: Unix seconds.
    wall: float


@dataclass(slots=True)
class Observed:
    """Facts in memory; recording one costs no more than a few assignments.

    ``…_at`` and ``…_since`` are readings of the clock, which never goes back (Unix seconds are for people).
    """

    clock: Callable[[], float]
    wall: Callable[[], float]
    started_at: float = field(init=False)
    head_number: int | None = None
    head_hash: bytes | None = None
    head_timestamp: int | None = None
    #: When the head last became another block.
    head_changed_at: float | None = None
    #: When an endpoint last told its newest block, be it another one or not.
    head_read_at: float | None = None
    #: How far the head's time was ahead of our clock when it came; None: it was not.
    head_early_seconds: float | None = None
    finalized_number: int | None = None
    finalized_timestamp: int | None = None
    cursor_number: int | None = None
    #: Time of the cursor's block, None where it is not known.
    cursor_timestamp: int | None = None
    #: When the cursor last moved, also as Unix seconds.
    cursor_changed_at: float | None = None
    cursor_changed_wall: float | None = None
    #: How long there has been something to index, and a node to read it from, without the cursor moving.
    tail: Standstill = field(init=False)
    #: The same of what the backfill has to bring.
    backfill: Standstill = field(init=False)
    #: Blocks times sources that the running backfill still has to bring.
    backfill_left: int = 0
    backfill_changed_at: float | None = None
    lagged: Lagged = field(init=False)
    #: Endpoints by name.
    endpoints: dict[str, EndpointFacts] = field(default_factory=dict)
    #: True: this process writes. False: another one does. None: neither is known.
    leader: bool | None = None
    halted: Halted | None = None
    #: The last error of each loop.
    errors: dict[str, LastError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started_at = self.clock()
        self.tail, self.backfill = Standstill(self.clock), Standstill(self.clock)
        self.lagged = Lagged(self.clock)

    @property
    def lag(self) -> int | None:
        """Blocks from the cursor up to the head, 0 when it is not above; None while either is unknown."""
        if self.head_number is None or self.cursor_number is None:
            return None
        return max(0, self.head_number - self.cursor_number)

    @property
    def delay_seconds(self) -> float | None:
        """Age of the cursor's block."""
        if self.cursor_timestamp is None:
            return None
        return max(0.0, self.wall() - self.cursor_timestamp)

    def since(self, at: float | None) -> float:
        """Seconds since that reading of the clock, or since the start."""
        return self.clock() - (self.started_at if at is None else at)

    def head_seen(self, number: int, block_hash: bytes, timestamp: int) -> None:
        if block_hash != self.head_hash:
            self.head_changed_at = self.clock()
            early = timestamp - self.wall()
            self.head_early_seconds = early if early > 0 else None
        self.head_read_at = self.clock()
        self.head_number, self.head_hash, self.head_timestamp = number, block_hash, timestamp
        self._reckon()

    def head_read(self) -> None:
        self.head_read_at = self.clock()

    def cursor_at(self, number: int, timestamp: int | None) -> None:
        moved = (number, timestamp) != (self.cursor_number, self.cursor_timestamp)
        self.cursor_number, self.cursor_timestamp = number, timestamp
        if moved:
            self.cursor_changed_at, self.cursor_changed_wall = self.clock(), self.wall()
            self.tail.moved()
        self._reckon()

    def backfill_at(self, left: int) -> None:
        """So many blocks times sources are left; fewer than before is progress, as is none."""
        moved = left < self.backfill_left or left == 0
        self.backfill_left = left
        self._reckon()
        if moved:
            self.backfill_changed_at = self.clock()
            self.backfill.moved()

    def endpoint_state(self, endpoint: str, up: bool, head: int | None = None) -> None:
        before = self.endpoints.get(endpoint)
        changed_at = self.clock()
        if before is not None and before.head == head:
            changed_at = before.head_changed_at or changed_at
        self.endpoints[endpoint] = EndpointFacts(endpoint, up, head, changed_at)
        self._reckon()

    def leads(self, leader: bool | None) -> None:
        self.leader = leader
        if leader is False:
            # What another process writes is not known here, and old numbers would look like ours.
            self.cursor_number = self.cursor_timestamp = None
            self.cursor_changed_at = self.cursor_changed_wall = None
            self.backfill_left = 0
        self._reckon()
        if leader is False:
            self.tail.moved()
            self.backfill.moved()

    @property
    def last_error(self) -> LastError | None:
        """The newest error of all loops."""
        return max(self.errors.values(), key=lambda each: each.at, default=None)

    def open_error(self, *, of_backfill: bool) -> LastError | None:
        """The newest error that keeps the tail, or the backfill, from what it has not done since."""
        moved_at = self.backfill_changed_at if of_backfill else self.cursor_changed_at
        others = "following" if of_backfill else "backfilling"
        found = [
            each
            for each in self.errors.values()
            if each.doing != others and (moved_at is None or each.at > moved_at)
        ]
        return max(found, key=lambda each: each.at, default=None)

    def failed(self, doing: str, error_type: str, text: str) -> None:
        self.errors[doing] = LastError(doing, error_type, text, self.clock(), self.wall())

    def _reckon(self) -> None:
        """Take stock after any change: is there something to do, and can it be done?"""
        cursor = -1 if self.cursor_number is None else self.cursor_number
        behind = self.head_number is not None and self.head_number > cursor
        up = not self.endpoints or any(each.up for each in self.endpoints.values())
        self.tail.possible(behind and up and self.leader is not False)
        if not behind:
            self.tail.moved()
        self.backfill.possible(self.backfill_left > 0 and up and self.leader is not False)
        self.lagged.at(self.lag)
