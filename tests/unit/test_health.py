"""The verdict on the indexer's health, from facts alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from indexer.core.health import Facts, Limits, Role, Status, judge
from indexer.metrics.observed import Observed

LIMITS = Limits(stalled_seconds=120, silent_chain_seconds=300)
WELL = Facts(
    now=10_000,
    started_at=0,
    role=Role.LEADER,
    leader_since=1,
    head=500,
    head_changed_at=9_999,
    cursor=500,
    behind_since=None,
    database_ok=True,
    endpoints_up=2,
    endpoints=2,
    node_up_since=1,
    halted=None,
)


@pytest.mark.parametrize(
    ("name", "changes", "status", "reason"),
    [
        ("all is well", {}, Status.OK, None),
        ("catching up", {"cursor": 10, "behind_since": 9_990}, Status.OK, None),
        (
            "the cursor stands still while the head moves",
            {"cursor": 400, "behind_since": 9_800},
            Status.UNHEALTHY,
            "the cursor stands at 400 for 200 s, with the head at 500",
        ),
        ("at the limit", {"cursor": 400, "behind_since": 9_880}, Status.OK, None),
        (
            "nothing was ever indexed",
            {"cursor": None, "behind_since": 9_000},
            Status.UNHEALTHY,
            "nothing is indexed yet for 1000 s, with the head at 500",
        ),
        (
            "the chain halted",
            {"head_changed_at": 9_000},
            Status.DEGRADED,
            "the chain has halted: block 500 is the head for 1000 s",
        ),
        (
            "the chain halted with us behind it",
            {"head_changed_at": 9_000, "cursor": 499, "behind_since": 9_000},
            Status.UNHEALTHY,
            "the cursor stands at 499 for 1000 s",
        ),
        (
            "the node is down",
            {"endpoints_up": 0, "node_up_since": None, "cursor": 400, "behind_since": 9_000},
            Status.DEGRADED,
            "none of 2 endpoints answers",
        ),
        (
            "the node has just come back",
            {"node_up_since": 9_990, "cursor": 400, "behind_since": 9_000},
            Status.OK,
            None,
        ),
        ("one endpoint is down", {"endpoints_up": 1}, Status.DEGRADED, "only 1 of 2 endpoints answer"),
        (
            "nobody was asked yet",
            {"endpoints_up": 0, "endpoints": 0, "head": None, "node_up_since": None},
            Status.DEGRADED,
            "no endpoint has answered yet",
        ),
        ("no head yet", {"head": None}, Status.DEGRADED, "no head has been seen yet"),
        (
            "the node fell behind",
            {"head": 499},
            Status.DEGRADED,
            "the node's head 499 is below the cursor 500",
        ),
        ("the database is down", {"database_ok": False}, Status.UNHEALTHY, "the database does not answer"),
        (
            "below finality",
            {"halted": "block 17 is another one"},
            Status.UNHEALTHY,
            "halted until a person looks: block 17 is another one",
        ),
        (
            "a standby does not move the cursor",
            {"role": Role.STANDBY, "leader_since": None, "cursor": None, "behind_since": 1},
            Status.OK,
            None,
        ),
        (
            "a standby that has just taken over",
            {"leader_since": 9_990, "cursor": 400, "behind_since": 1},
            Status.OK,
            None,
        ),
        ("starting", {"role": Role.STARTING, "leader_since": None, "behind_since": 1}, Status.OK, None),
    ],
)
def test_the_verdict_follows_from_the_facts(
    name: str, changes: dict[str, Any], status: Status, reason: str | None
) -> None:
    verdict = judge(dataclasses.replace(WELL, **changes), LIMITS)
    assert (verdict.status, verdict.http_status) == (status, 503 if status is Status.UNHEALTHY else 200), name
    if reason is None:
        assert verdict.reasons == ()
    else:
        assert any(reason in each for each in verdict.reasons), verdict.reasons


def test_each_part_has_a_verdict_of_its_own() -> None:
    facts = dataclasses.replace(WELL, endpoints_up=1, halted="x", database_ok=False)
    verdict = judge(facts, LIMITS)
    assert (verdict.blockchain, verdict.indexer) == (Status.DEGRADED, Status.UNHEALTHY)
    assert len(verdict.reasons) == 3


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seen(clock: Clock) -> Observed:
    return Observed(clock, clock)


def stepping(clock: Clock) -> Callable[[], float]:
    def step() -> float:
        clock.now += 10
        return clock.now

    return step


def test_we_are_behind_from_when_the_head_passed_the_cursor(seen: Observed, clock: Clock) -> None:
    step = stepping(clock)
    seen.head_seen(5, b"5", 0)
    assert seen.behind_since == clock.now
    step()
    seen.cursor_at(5, 0)
    assert seen.behind_since is None
    passed = step()
    seen.head_seen(6, b"6", 0)
    step()
    seen.head_seen(7, b"7", 0)
    assert seen.behind_since == passed
    moved = step()
    seen.cursor_at(6, 0)
    assert seen.behind_since == moved
    step()
    seen.cursor_at(6, 0)
    assert seen.behind_since == moved, "telling the same cursor again is no progress"


def test_the_head_counts_as_changed_only_when_it_is_another_block(seen: Observed, clock: Clock) -> None:
    step = stepping(clock)
    seen.head_seen(5, b"5", 0)
    first = clock.now
    step()
    seen.head_seen(5, b"5", 0)
    assert seen.head_changed_at == first
    other = step()
    seen.head_seen(5, b"fork", 0)
    assert seen.head_changed_at == other


def test_the_node_is_up_since_its_first_endpoint_came_back(seen: Observed, clock: Clock) -> None:
    step = stepping(clock)
    seen.head_seen(5, b"5", 0)
    assert seen.node_up_since == clock.now
    step()
    seen.endpoint_state("rpc-1", up=False)
    assert seen.node_up_since is None
    seen.head_seen(6, b"6", 0)
    assert seen.node_up_since is None
    back = step()
    seen.endpoint_state("rpc-2", up=True)
    step()
    seen.endpoint_state("rpc-1", up=True)
    assert seen.node_up_since == back


def test_leadership_counts_from_when_it_was_won(seen: Observed, clock: Clock) -> None:
    step = stepping(clock)
    seen.leads(False)
    before = seen.leader_since
    assert before is None
    won = step()
    seen.leads(True)
    step()
    seen.leads(True)
    assert seen.leader
    assert seen.leader_since == won
