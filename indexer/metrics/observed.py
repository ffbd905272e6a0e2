"""Where the chain and we are, as last seen, and since when: what lag, delay and health are computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


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
    finalized_number: int | None = None
    finalized_timestamp: int | None = None
    cursor_number: int | None = None
    #: Time of the cursor's block, None where it is not known.
    cursor_timestamp: int | None = None
    #: When the cursor last moved, also as Unix seconds.
    cursor_changed_at: float | None = None
    cursor_changed_wall: float | None = None
    #: Since when there has been something to index without the cursor moving; None: there is nothing.
    behind_since: float | None = None
    #: Endpoints by name, and whether they are up.
    endpoints: dict[str, bool] = field(default_factory=dict)
    #: Since when at least one endpoint has been up; None: none is.
    node_up_since: float | None = None
    #: None: neither leader nor standby yet.
    leader: bool | None = None
    leader_since: float | None = None
    #: Why writing stopped until a person looks.
    halted: str | None = None

    def __post_init__(self) -> None:
        self.started_at = self.clock()

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

    def head_seen(self, number: int, block_hash: bytes, timestamp: int) -> None:
        if block_hash != self.head_hash:
            self.head_changed_at = self.clock()
        self.head_number, self.head_hash, self.head_timestamp = number, block_hash, timestamp
        if self.node_up_since is None and not self.endpoints:
            # Somebody answered, though no endpoint has been told of by name yet.
            self.node_up_since = self.clock()
        self._look_behind()

    def cursor_at(self, number: int, timestamp: int | None) -> None:
        if (number, timestamp) != (self.cursor_number, self.cursor_timestamp):
            self.cursor_changed_at, self.cursor_changed_wall = self.clock(), self.wall()
            self.behind_since = None
        self.cursor_number, self.cursor_timestamp = number, timestamp
        self._look_behind()

    def endpoint_state(self, endpoint: str, up: bool) -> None:
        self.endpoints[endpoint] = up
        if not any(self.endpoints.values()):
            self.node_up_since = None
        elif self.node_up_since is None:
            self.node_up_since = self.clock()

    def leads(self, leader: bool) -> None:
        if leader and not self.leader:
            self.leader_since = self.clock()
        self.leader = leader

    def _look_behind(self) -> None:
        cursor = -1 if self.cursor_number is None else self.cursor_number
        if self.head_number is None or self.head_number <= cursor:
            self.behind_since = None
        elif self.behind_since is None:
            self.behind_since = self.clock()
