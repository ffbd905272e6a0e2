"""Calls per second: what is let through, and what refusals teach."""

from __future__ import annotations

import pytest

from indexer.rpc.callrate import BACK_OFF, CEILING, LEAST_PER_SECOND, PATIENCE_SECONDS, CallRate
from indexer.rpc.callwindow import AHEAD_SECONDS, LONGEST_LATENESS_SECONDS, CallWindow
from indexer.rpc.limiter import Limiter


@pytest.mark.parametrize(
    ("per_second", "calls"),
    [(0.5, 1), (1, 1), (3, 1), (25, 5), (29, 1), (33, 3), (100, 25), (2.5, 1), (1_000, 250)],
)
def test_batches_fill_a_second_as_evenly_as_they_can(per_second: float, calls: int) -> None:
    limiter = Limiter(per_second)
    assert limiter.batch_calls() == calls
    most = limiter.most_at_once()
    assert most is not None and most % calls <= 0.02 * most


async def test_after_a_refusal_nothing_is_sent_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = 50.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    monkeypatch.setattr("indexer.rpc.limiter.asyncio.sleep", sleep)
    limiter = Limiter(None, lambda: now)
    limiter.ended(await limiter.take(40), limited=30, answered=True)
    assert limiter.per_second == 10
    await limiter.take(1)
    assert sum(slept) == pytest.approx(1.0)


async def test_without_a_limit_nothing_waits() -> None:
    limiter = Limiter(None, lambda: 0.0)
    assert [(await limiter.take(1_000)).calls for _ in range(10)] == [1_000] * 10
    assert limiter.batch_calls() is limiter.most_at_once() is limiter.per_second is None


async def test_what_an_unlimited_endpoint_took_in_a_second_is_where_its_limit_begins() -> None:
    now = 100.0
    limiter = Limiter(None, lambda: now)
    for calls in (8, 4):
        limiter.ended(await limiter.take(calls), limited=0, answered=True)
    flood = [await limiter.take(100) for _ in range(5)]
    now = 100.1
    assert [limiter.ended(sent, limited=100, answered=True) for sent in flood] == [True, *[False] * 4]
    assert limiter.per_second == 12


def test_a_refused_rate_is_not_reached_again_for_long() -> None:
    rate = CallRate(None)
    rate.taken(20, 0.0)
    assert rate.limited(0.0, 0.1)
    now = 1.0
    while rate.per_second is not None and rate.per_second < 40:
        rate.pressed(now)
        now += 0.2
    rate.taken(10, now)
    refused = rate.per_second
    assert refused is not None and rate.limited(now, now)
    for _ in range(200):
        now += 1.0
        rate.pressed(now)
        assert (rate.per_second or 0) <= refused * CEILING
    assert rate.per_second == pytest.approx(refused * CEILING)
    now += PATIENCE_SECONDS
    for _ in range(10):
        now += 1.0
        rate.pressed(now)
    assert (rate.per_second or 0) > refused, "it is tried again when much time has passed"


def test_the_configured_rate_is_never_exceeded_and_refusals_below_it_are_heeded() -> None:
    rate = CallRate(25)
    rate.pressed(1.0)
    assert rate.per_second == 25
    rate.taken(20, 1.9)
    rate.limited(1.5, 2.0)
    assert rate.per_second == 25 * BACK_OFF
    for now in range(3, 3_000):
        rate.pressed(float(now))
        assert rate.per_second <= 25


def test_a_quota_that_is_used_up_says_nothing_about_the_rate() -> None:
    rate = CallRate(None)
    for now in range(100):
        rate.limited(float(now), now + 0.1)
    assert rate.per_second == LEAST_PER_SECOND
    rate = CallRate(25)
    for now in range(100):
        assert not rate.limited(float(now), now + 0.1)
    assert rate.per_second == 25


def test_calls_whose_answers_came_late_are_counted_for_as_much_longer() -> None:
    window = CallWindow()
    for before in range(1, 5):
        window.answered(window.send(1, 10.0, -10.0 * before), -10.0 * before + 0.05)
    window.answered(window.send(1, 10.0, 0.0), 0.05)
    assert window.wait(10, 10.0, 0.06) == pytest.approx(1.0 - 0.06, abs=0.01)
    window.answered(window.send(9, 10.0, 0.06), 0.31)  # 0.2 s later than the other
    assert window.wait(10, 10.0, 1.1) == pytest.approx(1.06 + 0.2 - 1.1, abs=0.01)
    unanswered = CallWindow()
    unanswered.send(10, 10.0, 0.0)
    assert unanswered.wait(10, 10.0, 1.1) == pytest.approx(LONGEST_LATENESS_SECONDS - 0.1, abs=0.01)
    assert unanswered.wait(10, 10.0, 2.0) == 0


def test_no_more_than_a_moments_calls_run_ahead_of_an_even_pace() -> None:
    window, at_once = CallWindow(), 0
    while not window.wait(1, 100.0, 0.0):
        window.send(1, 100.0, 0.0)
        at_once += 1
    assert AHEAD_SECONDS * 100 <= at_once <= AHEAD_SECONDS * 100 + 1
    assert window.wait(1, 100.0, 0.0) <= 0.01


def test_more_calls_than_a_seconds_worth_go_when_nothing_else_is_counted() -> None:
    window = CallWindow()
    assert window.wait(3, 2.0, 0.0) == 0
    window.send(3, 2.0, 0.0)
    assert window.wait(1, 2.0, 0.1) > 0.9
    assert window.wait(3, 2.0, 1.3) == 0
