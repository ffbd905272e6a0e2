"""Judge from facts whether the indexer is well: a pure verdict, with its reasons.

Unhealthy means that this process does not do its work though it could; degraded means that something outside
keeps it from its work, or may do so soon. A node that is down, or a chain that stands still, is not cured by
restarting the indexer, hence only degrades.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class Role(StrEnum):
    """What the process does about writing."""

    #: Not yet, or not at this moment, the one that writes, though nobody else is known to.
    STARTING = "starting"
    LEADER = "leader"
    #: Another process writes; this one takes over when it ends.
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """One endpoint of the node."""

    name: str
    #: Whether it is being used.
    up: bool
    #: The newest block that it has shown, and when that last became another one.
    head: int | None
    head_changed_at: float | None


@dataclass(frozen=True, slots=True)
class Halted:
    """Why writing has stopped."""

    reason: str
    #: Whether it goes on by itself once the chain agrees with us again.
    waits: bool


@dataclass(frozen=True, slots=True)
class Lagging:
    """How far the cursor was behind, at best, in two stretches of time that follow each other."""

    #: Blocks, in the earlier stretch and in the one until now.
    before: int
    lately: int
    #: The chain's time between the cursor's block and the head.
    seconds: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at one moment; times are readings of one clock, in seconds."""

    now: float
    started_at: float
    role: Role
    #: The node's newest block, and when it became that one.
    head: int | None
    head_changed_at: float | None
    #: When an endpoint last told its newest block, be it a new one or not; None: never.
    head_read_at: float | None
    #: How far the head's time was ahead of our clock when it came; None where it was not.
    head_early_seconds: float | None
    #: The newest block in the database.
    cursor: int | None
    #: How long the cursor has not moved while it could have: there was a newer block, a node that answered, and
    #: nobody else to do it. 0: it moves, or there is nothing to do.
    stuck_seconds: float
    #: The same of the backfill: how long nothing of what is missing came.
    backfill_stuck_seconds: float
    #: Blocks times sources that the running backfill still has to bring.
    backfill_left: int
    #: None: not known for long enough, or not behind.
    lagging: Lagging | None
    #: What keeps the database from its work, in words; None: nothing.
    database_problem: str | None
    #: All that were asked until now, in no order.
    endpoints: tuple[EndpointFacts, ...]
    halted: Halted | None
    #: What went wrong last for the tail, and for the backfill, if it has written nothing since.
    tail_error: str | None
    backfill_error: str | None

    @property
    def endpoints_up(self) -> int:
        """How many endpoints are being used."""
        return sum(each.up for each in self.endpoints)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long it may take until somebody should know, in seconds."""

    #: The cursor may stand still below the head for so long.
    stalled_seconds: float
    #: The head may stand still for so long.
    silent_chain_seconds: float
    #: A backfill may bring nothing for so long.
    backfill_stalled_seconds: float = 600.0
    #: The head may be dated so far ahead of our clock.
    early_seconds: float = 900.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole and its parts, with what is wrong in words and numbers."""

    status: Status
    reasons: tuple[str, ...]
    blockchain: Status
    indexer: Status

    @property
    def http_status(self) -> int:
        """200 for as long as restarting us or asking another instance would change nothing."""
        return 503 if self.status is Status.UNHEALTHY else 200


Finding = tuple[Status, str]


def judge(facts: Facts, limits: Limits) -> Verdict:
    """The verdict on these facts; the gravest finding decides."""
    chain = list(_of_chain(facts, limits))
    indexing = list(_of_indexer(facts, limits))
    database = []
    if facts.database_problem is not None:
        database.append((Status.UNHEALTHY, f"the database: {facts.database_problem}"))
    findings = indexing + database + chain
    return Verdict(
        _gravest(findings),
        tuple(reason for _, reason in findings),
        _gravest(chain),
        _gravest(indexing),
    )


def _of_chain(facts: Facts, limits: Limits) -> Iterator[Finding]:
    up, of = facts.endpoints_up, len(facts.endpoints)
    if up == 0 and (of or facts.head is None):
        yield Status.DEGRADED, (f"none of {of} endpoints answers" if of else "no endpoint has answered yet")
        return
    if up < of:
        yield Status.DEGRADED, f"only {up} of {of} endpoints answer"
    yield from _of_head(facts, limits)


def _of_head(facts: Facts, limits: Limits) -> Iterator[Finding]:
    if facts.head is None:
        yield Status.DEGRADED, "no head has been seen yet"
        return
    unread = facts.now - (facts.started_at if facts.head_read_at is None else facts.head_read_at)
    still = facts.now - (facts.started_at if facts.head_changed_at is None else facts.head_changed_at)
    if unread > limits.stalled_seconds:
        yield Status.DEGRADED, f"no endpoint has told its newest block for {unread:.0f} s"
    elif still > limits.silent_chain_seconds:
        yield Status.DEGRADED, f"{_who_stands_still(facts)}: block {facts.head} is the head for {still:.0f} s"
    else:
        yield from _of_single_heads(facts, facts.head, limits)
    if facts.cursor is not None and facts.head < facts.cursor:
        yield Status.DEGRADED, f"the node's head {facts.head} is below the cursor {facts.cursor}"
    if facts.head_early_seconds is not None and facts.head_early_seconds > limits.early_seconds:
        yield (
            Status.DEGRADED,
            f"block {facts.head} is dated {facts.head_early_seconds:.0f} s ahead of our clock: "
            "either is wrong, and with it the delay",
        )


def _who_stands_still(facts: Facts) -> str:
    """The chain, as far as that can be told: one node alone may be what stands still."""
    agreeing = sum(each.up and each.head == facts.head for each in facts.endpoints)
    if agreeing > 1:
        return f"the chain has halted, as {agreeing} endpoints say"
    return "the chain has halted, or the only node that tells of it stands still"


def _of_single_heads(facts: Facts, head: int, limits: Limits) -> Iterator[Finding]:
    """Endpoints that stand still while the chain goes on."""
    for each in facts.endpoints:
        if each.up and each.head is not None and each.head_changed_at is not None and each.head < head:
            still = facts.now - each.head_changed_at
            if still > limits.silent_chain_seconds:
                yield (
                    Status.DEGRADED,
                    f"endpoint {each.name} stands still: {each.head} is its head for {still:.0f} s, "
                    f"the chain is at {head}",
                )


def _of_indexer(facts: Facts, limits: Limits) -> Iterator[Finding]:
    if facts.halted is not None:
        until = "the node's chain agrees with what is stored" if facts.halted.waits else "a person looks"
        yield Status.UNHEALTHY, f"halted until {until}: {facts.halted.reason}"
        return
    if facts.role is Role.STANDBY or (facts.endpoints and not facts.endpoints_up):
        # Only the leader writes, and nobody can while no endpoint answers.
        return
    if facts.stuck_seconds > limits.stalled_seconds:
        where = "nothing is indexed yet" if facts.cursor is None else f"the cursor stands at {facts.cursor}"
        yield (
            Status.UNHEALTHY,
            f"{where} for {facts.stuck_seconds:.0f} s, with the head at {facts.head}{_last(facts.tail_error)}",
        )
    elif facts.lagging is not None and _falls_behind(facts.lagging, limits):
        yield (
            Status.DEGRADED,
            f"slower than the chain: {facts.lagging.lately} blocks behind at best, "
            f"{facts.lagging.before} before; the cursor is {facts.lagging.seconds:.0f} s behind the head",
        )
    if facts.backfill_stuck_seconds > limits.backfill_stalled_seconds:
        yield (
            Status.UNHEALTHY,
            f"the backfill brings nothing for {facts.backfill_stuck_seconds:.0f} s, "
            f"with {facts.backfill_left} blocks × sources missing{_last(facts.backfill_error)}",
        )


def _last(error: str | None) -> str:
    return f"; last error: {error}" if error else ""


def _falls_behind(lagging: Lagging, limits: Limits) -> bool:
    return lagging.seconds > limits.stalled_seconds and lagging.lately >= lagging.before > 0


def _gravest(findings: list[Finding]) -> Status:
    order = list(Status)
    return max((status for status, _ in findings), key=order.index, default=Status.OK)
