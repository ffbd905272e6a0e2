"""The verdict on the indexer's health, from facts alone, and how those facts come about."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from indexer.core.health import EndpointFacts, Facts, Halted, Lagging, Limits, Role, Status, judge
from indexer.metrics.lagged import STRETCHES, Lagged
from indexer.metrics.observed import Observed
from indexer.metrics.standstill import Standstill

LIMITS = Limits(
    stalled_seconds=120, silent_chain_seconds=300, backfill_stalled_seconds=600, early_seconds=900
)
ONE = EndpointFacts("rpc-1", up=True, head=500, head_changed_at=9_999)
TWO = EndpointFacts("rpc-2", up=True, head=500, head_changed_at=9_999)
AWAY = EndpointFacts("rpc-2", up=False, head=400, head_changed_at=5_000)
WELL = Facts(
    now=10_000,
    started_at=0,
    role=Role.LEADER,
    head=500,
    head_changed_at=9_999,
    head_read_at=9_999,
    head_early_seconds=None,
    cursor=500,
    stuck_seconds=0,
    backfill_stuck_seconds=0,
    backfill_left=0,
    lagging=None,
    database_problem=None,
    endpoints=(ONE, TWO),
    halted=None,
    tail_error=None,
    backfill_error=None,
)
SILENT: dict[str, Any] = {"head_changed_at": 9_000}

#: Every way to stop or to stand still: what is known then, the verdict, and what it says.
CASES: list[tuple[str, dict[str, Any], Status, str | None]] = [
    ("all is well", {}, Status.OK, None),
    ("catching up", {"cursor": 10, "stuck_seconds": 10}, Status.OK, None),
    (
        "the cursor stands still while the head moves",
        {"cursor": 400, "stuck_seconds": 200},
        Status.UNHEALTHY,
        "the cursor stands at 400 for 200 s, with the head at 500",
    ),
    (
        "the node lies, a block always fails, the disk is full: the reason is told",
        {"cursor": 400, "stuck_seconds": 200, "tail_error": "inconsistent: block 401 lacks a log"},
        Status.UNHEALTHY,
        "with the head at 500; last error: inconsistent: block 401 lacks a log",
    ),
    ("at the limit", {"cursor": 400, "stuck_seconds": 120}, Status.OK, None),
    (
        "nothing was ever indexed",
        {"cursor": None, "stuck_seconds": 1_000},
        Status.UNHEALTHY,
        "nothing is indexed yet for 1000 s, with the head at 500",
    ),
    (
        "the tables cannot be prepared",
        {"role": Role.STARTING, "cursor": None, "stuck_seconds": 1_000, "tail_error": "unavailable: locked"},
        Status.UNHEALTHY,
        "nothing is indexed yet for 1000 s, with the head at 500; last error: unavailable: locked",
    ),
    (
        "the chain halted, as two endpoints say",
        SILENT,
        Status.DEGRADED,
        "the chain has halted, as 2 endpoints say: block 500 is the head for 1000 s",
    ),
    (
        "a frozen node cannot be told from a halted chain by itself",
        {**SILENT, "endpoints": (ONE,)},
        Status.DEGRADED,
        "the chain has halted, or the only node that tells of it stands still: block 500 is the head",
    ),
    (
        "the other endpoint is away and says nothing about the chain",
        {**SILENT, "endpoints": (ONE, AWAY)},
        Status.DEGRADED,
        "or the only node that tells of it stands still",
    ),
    (
        "one endpoint is frozen and the other goes on",
        {"endpoints": (ONE, dataclasses.replace(TWO, head=400, head_changed_at=9_000))},
        Status.DEGRADED,
        "endpoint rpc-2 stands still: 400 is its head for 1000 s, the chain is at 500",
    ),
    (
        "one endpoint is a little behind the other",
        {"endpoints": (ONE, dataclasses.replace(TWO, head=498, head_changed_at=9_990))},
        Status.OK,
        None,
    ),
    (
        "the chain halted with us behind it",
        {**SILENT, "cursor": 499, "stuck_seconds": 1_000},
        Status.UNHEALTHY,
        "the cursor stands at 499 for 1000 s",
    ),
    (
        "the node is down",
        {"endpoints": (dataclasses.replace(ONE, up=False), AWAY), "cursor": 400, "stuck_seconds": 130},
        Status.DEGRADED,
        "none of 2 endpoints answers",
    ),
    ("one endpoint is down", {"endpoints": (ONE, AWAY)}, Status.DEGRADED, "only 1 of 2 endpoints answer"),
    (
        "a node that comes and goes is no excuse: the time in between adds up",
        {"cursor": 400, "stuck_seconds": 130},
        Status.UNHEALTHY,
        "the cursor stands at 400",
    ),
    (
        "all endpoints ask us to wait, though none is down",
        {"head_read_at": 9_000, "head_changed_at": 9_000},
        Status.DEGRADED,
        "no endpoint has told its newest block for 1000 s",
    ),
    (
        "nobody was asked yet",
        {"endpoints": (), "head": None},
        Status.DEGRADED,
        "no endpoint has answered yet",
    ),
    ("no head yet", {"head": None}, Status.DEGRADED, "no head has been seen yet"),
    (
        "the node fell behind",
        {"head": 499, "endpoints": ()},
        Status.DEGRADED,
        "the node's head 499 is below the cursor 500",
    ),
    (
        "the clocks differ",
        {"head_early_seconds": 3_600.0},
        Status.DEGRADED,
        "block 500 is dated 3600 s ahead of our clock",
    ),
    ("a block that is a little early", {"head_early_seconds": 12.0}, Status.OK, None),
    (
        "slower than the chain",
        {"cursor": 300, "lagging": Lagging(before=150, lately=200, seconds=2_400.0)},
        Status.DEGRADED,
        "slower than the chain: 200 blocks behind at best, 150 before; the cursor is 2400 s behind the head",
    ),
    (
        "far behind, and catching up",
        {"cursor": 300, "lagging": Lagging(before=250, lately=200, seconds=2_400.0)},
        Status.OK,
        None,
    ),
    (
        "as always a few blocks behind a fast chain",
        {"cursor": 490, "lagging": Lagging(before=8, lately=10, seconds=2.5)},
        Status.OK,
        None,
    ),
    (
        "the backfill brings nothing while the tail goes on",
        {"backfill_stuck_seconds": 700, "backfill_left": 1_234, "backfill_error": "too_much: one block"},
        Status.UNHEALTHY,
        "the backfill brings nothing for 700 s, with 1234 blocks × sources missing; "
        "last error: too_much: one block",
    ),
    ("a slow backfill", {"backfill_stuck_seconds": 500, "backfill_left": 1_234}, Status.OK, None),
    (
        "the database is down",
        {"database_problem": "no answer within 2 s"},
        Status.UNHEALTHY,
        "the database: no answer within 2 s",
    ),
    (
        "the database takes reads only",
        {"cursor": 400, "stuck_seconds": 200, "tail_error": "unavailable: read-only transaction"},
        Status.UNHEALTHY,
        "last error: unavailable: read-only transaction",
    ),
    (
        "below finality",
        {"halted": Halted("block 17 is another one", waits=False)},
        Status.UNHEALTHY,
        "halted until a person looks: block 17 is another one",
    ),
    (
        "below finality, told to wait",
        {"halted": Halted("block 17 is another one", waits=True)},
        Status.UNHEALTHY,
        "halted until the node's chain agrees with what is stored: block 17 is another one",
    ),
    ("a standby does not move the cursor", {"role": Role.STANDBY, "cursor": None}, Status.OK, None),
    (
        "a standby without a node will be of no use",
        {"role": Role.STANDBY, "cursor": None, "endpoints": (AWAY,)},
        Status.DEGRADED,
        "none of 1 endpoints answers",
    ),
    (
        "a standby without the database will be of no use",
        {"role": Role.STANDBY, "cursor": None, "database_problem": "no answer within 2 s"},
        Status.UNHEALTHY,
        "the database: no answer within 2 s",
    ),
    ("starting", {"role": Role.STARTING, "cursor": None, "stuck_seconds": 1}, Status.OK, None),
]


@pytest.mark.parametrize(("name", "changes", "status", "reason"), CASES, ids=[case[0] for case in CASES])
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
    facts = dataclasses.replace(
        WELL, endpoints=(ONE, AWAY), halted=Halted("x", waits=False), database_problem="not connected yet"
    )
    verdict = judge(facts, LIMITS)
    assert (verdict.blockchain, verdict.indexer) == (Status.DEGRADED, Status.UNHEALTHY)
    assert len(verdict.reasons) == 3


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    def step(self, seconds: float = 10) -> float:
        self.now += seconds
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seen(clock: Clock) -> Observed:
    return Observed(clock, clock)


def test_we_are_stuck_from_when_the_head_passed_the_cursor_until_the_cursor_moves(
    seen: Observed, clock: Clock
) -> None:
    seen.head_seen(5, b"5", 0)
    clock.step()
    assert seen.tail.seconds == 10, "nothing is indexed at all"
    seen.cursor_at(5, 0)
    clock.step()
    assert seen.tail.seconds == 0, "there is nothing to do"
    seen.head_seen(6, b"6", 0)
    clock.step()
    seen.head_seen(7, b"7", 0)
    clock.step()
    assert seen.tail.seconds == 20, "another head is no progress"
    seen.cursor_at(6, 0)
    assert seen.tail.seconds == 0
    clock.step()
    seen.cursor_at(6, 0)
    assert seen.tail.seconds == 10, "telling the same cursor again is no progress"


def test_time_without_a_node_does_not_count_and_time_between_two_outages_does(
    seen: Observed, clock: Clock
) -> None:
    seen.endpoint_state("rpc-1", True, 5)
    seen.head_seen(5, b"5", 0)
    for _ in range(3):
        clock.step(10)
        seen.endpoint_state("rpc-1", False, 5)
        clock.step(1_000)
        seen.endpoint_state("rpc-1", True, 5)
    assert seen.tail.seconds == 30
    seen.endpoint_state("rpc-2", False)
    clock.step(10)
    assert seen.tail.seconds == 40, "one endpoint is enough"


def test_leading_again_and_again_without_success_is_being_stuck(seen: Observed, clock: Clock) -> None:
    seen.head_seen(5, b"5", 0)
    for leader in (True, None, True, None):
        seen.leads(leader)
        clock.step()
    assert seen.tail.seconds == 40
    seen.leads(False)
    clock.step()
    assert seen.tail.seconds == 0, "another process writes"
    seen.leads(True)
    clock.step()
    assert seen.tail.seconds == 10, "time as a standby does not count"


def test_a_standby_does_not_show_the_numbers_of_when_it_led(seen: Observed) -> None:
    seen.leads(True)
    seen.head_seen(9, b"9", 0)
    seen.cursor_at(5, 0)
    assert (seen.lag, seen.delay_seconds) == (4, 100)
    seen.leads(None)
    assert seen.lag == 4, "the database is away: what we know still grows old"
    seen.leads(False)
    known = [each for each in (seen.lag, seen.delay_seconds) if each is not None]
    assert known == []


def test_a_backfill_is_stuck_until_a_range_is_written_however_often_it_begins_anew(
    seen: Observed, clock: Clock
) -> None:
    seen.backfill_at(100)
    for left in (100, 100, 120):
        clock.step()
        seen.backfill_at(left)
    assert seen.backfill.seconds == 30
    seen.backfill_at(110)
    assert seen.backfill.seconds == 0
    clock.step()
    assert seen.backfill.seconds == 10
    seen.backfill_at(0)
    clock.step()
    assert seen.backfill.seconds == 0


def test_an_error_is_told_of_what_it_holds_up_until_that_moves(seen: Observed, clock: Clock) -> None:
    def told() -> list[str | None]:
        found = [seen.open_error(of_backfill=each) for each in (False, True)]
        return [None if each is None else each.text for each in found]

    assert told() == [None, None]
    for doing, expected in (
        ("backfilling", [None, "backfilling"]),
        ("following", ["following", "backfilling"]),
        ("indexing", ["indexing", "indexing"]),
    ):
        clock.step()
        seen.failed(doing, "unavailable", doing)
        assert told() == expected
    clock.step()
    seen.cursor_at(5, 0)
    assert told() == [None, "indexing"], "the tail goes on, the backfill does not"
    seen.backfill_at(0)
    assert told() == [None, None]
    last = seen.last_error
    assert last is not None and last.text == "indexing"


def test_the_head_counts_as_changed_only_when_it_is_another_block(seen: Observed, clock: Clock) -> None:
    seen.head_seen(5, b"5", 0)
    first = clock.now
    clock.step()
    seen.head_seen(5, b"5", 0)
    assert (seen.head_changed_at, seen.head_read_at) == (first, clock.now)
    read = clock.step()
    seen.head_read()
    assert (seen.head_changed_at, seen.head_read_at) == (first, read)
    other = clock.step()
    seen.head_seen(5, b"fork", 0)
    assert seen.head_changed_at == other


def test_a_head_from_the_future_is_noted_when_it_comes(seen: Observed, clock: Clock) -> None:
    seen.head_seen(5, b"5", int(clock.now) + 7)
    assert seen.head_early_seconds == 7
    seen.head_seen(6, b"6", int(clock.now) - 7)
    assert seen.head_early_seconds is None


def test_an_endpoints_head_keeps_the_time_at_which_it_became_that(seen: Observed, clock: Clock) -> None:
    seen.endpoint_state("rpc-1", True, 5)
    first = clock.now
    for up, head, at in ((False, 5, first), (True, 5, first), (True, 6, first + 30)):
        clock.step()
        seen.endpoint_state("rpc-1", up, head)
        assert seen.endpoints["rpc-1"] == EndpointFacts("rpc-1", up, head, at)


def test_a_standstill_counts_only_the_time_in_which_it_could_have_moved(clock: Clock) -> None:
    still = Standstill(clock)
    clock.step()
    assert still.seconds == 0
    for possible in (True, False, True, True):
        still.possible(possible)
        clock.step()
    assert still.seconds == 30
    still.moved()
    clock.step(5)
    assert still.seconds == 5
    still.possible(False)
    still.moved()
    assert still.seconds == 0


def test_the_lowest_lag_of_two_stretches_tells_catching_up_from_falling_behind(clock: Clock) -> None:
    lagged = Lagged(clock)
    for lag in (50, 40, 45, 60, 55, 70):
        lagged.at(lag)
        clock.step(100)
    assert lagged.lowest(600, 300) == 40
    assert lagged.lowest(290, 0) == 55
    assert lagged.lowest(1_000, 0) is None, "so long ago nothing was known"
    clock.step(1_000)
    assert lagged.lowest(500, 0) == 70, "a lag lasts until another one is told"
    lagged.at(None)
    assert lagged.lowest(10, 0) is None


def test_lags_of_long_ago_are_forgotten(clock: Clock) -> None:
    lagged = Lagged(clock)
    for lag in range(2 * STRETCHES):
        lagged.at(lag)
        clock.step(20)
    assert lagged.lowest(20 * STRETCHES * 1.5, 0) is None
    assert lagged.lowest(20 * STRETCHES / 2, 0) is not None
