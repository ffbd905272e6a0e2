"""Judge from facts whether the indexer is well: a pure verdict, with its reasons.

Unhealthy means that this process does not do its work; degraded means that it cannot, through no fault of its
own, or may not be able to for long. A node that is down, or a chain that stands still, is not cured by
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

    STARTING = "starting"
    LEADER = "leader"
    #: Another process writes; this one takes over when it ends.
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at one moment; times are readings of one clock, in seconds."""

    now: float
    started_at: float
    role: Role
    #: Since when it has been the leader; None: it is not.
    leader_since: float | None
    #: The node's newest block, and when it became that one.
    head: int | None
    head_changed_at: float | None
    #: The newest block in the database.
    cursor: int | None
    #: Since when there has been something to index without the cursor moving; None: there is nothing.
    behind_since: float | None
    database_ok: bool
    #: Endpoints that are used, of those that are configured; none are known until the first was asked.
    endpoints_up: int
    endpoints: int
    #: Since when at least one endpoint has been up; None: none is.
    node_up_since: float | None
    #: Why writing stopped until a person looks.
    halted: str | None


@dataclass(frozen=True, slots=True)
class Limits:
    """How long it may take until somebody should know, in seconds."""

    #: The cursor may stand still below the head for so long.
    stalled_seconds: float
    #: The head may stand still for so long.
    silent_chain_seconds: float


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


def judge(facts: Facts, limits: Limits) -> Verdict:
    """The verdict on these facts; the gravest finding decides."""
    chain = list(_of_chain(facts, limits))
    indexing = list(_of_indexer(facts, limits))
    database = [] if facts.database_ok else [(Status.UNHEALTHY, "the database does not answer")]
    findings = indexing + database + chain
    return Verdict(
        _gravest(findings),
        tuple(reason for _, reason in findings),
        _gravest(chain),
        _gravest(indexing),
    )


def _of_chain(facts: Facts, limits: Limits) -> Iterator[tuple[Status, str]]:
    if facts.endpoints_up == 0 and (facts.endpoints or facts.head is None):
        configured = f"none of {facts.endpoints}" if facts.endpoints else "no"
        plural = "endpoints answers" if facts.endpoints else "endpoint has answered yet"
        yield Status.DEGRADED, f"{configured} {plural}"
        return
    if facts.endpoints_up < facts.endpoints:
        yield Status.DEGRADED, f"only {facts.endpoints_up} of {facts.endpoints} endpoints answer"
    if facts.head is None:
        yield Status.DEGRADED, "no head has been seen yet"
        return
    still = facts.now - (facts.started_at if facts.head_changed_at is None else facts.head_changed_at)
    if still > limits.silent_chain_seconds:
        yield Status.DEGRADED, f"the chain has halted: block {facts.head} is the head for {still:.0f} s"
    if facts.cursor is not None and facts.head < facts.cursor:
        yield Status.DEGRADED, f"the node's head {facts.head} is below the cursor {facts.cursor}"


def _of_indexer(facts: Facts, limits: Limits) -> Iterator[tuple[Status, str]]:
    if facts.halted is not None:
        yield Status.UNHEALTHY, f"halted until a person looks: {facts.halted}"
        return
    # Only the leader moves the cursor, and nobody can while no endpoint answers.
    if facts.leader_since is None or facts.behind_since is None or facts.node_up_since is None:
        return
    stuck = facts.now - max(facts.behind_since, facts.leader_since, facts.node_up_since)
    if stuck > limits.stalled_seconds:
        where = "nothing is indexed yet" if facts.cursor is None else f"the cursor stands at {facts.cursor}"
        yield Status.UNHEALTHY, f"{where} for {stuck:.0f} s, with the head at {facts.head}"


def _gravest(findings: list[tuple[Status, str]]) -> Status:
    order = list(Status)
    return max((status for status, _ in findings), key=order.index, default=Status.OK)
