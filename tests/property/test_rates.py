"""The limiter against providers that count in different ways, in a time that the test makes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.limits import CallCounter, Counting
from indexer.rpc.callrate import CallRate
from indexer.rpc.callwindow import CallWindow, Sent
from indexer.rpc.limiter import Limiter

COUNTINGS: tuple[Counting, ...] = ("sliding", "fixed", "bucket")
WAY_SECONDS = 0.02
REST_SECONDS = 1.0


@dataclass
class Story:
    """Calls that are sent as soon as they may be, and a provider that counts them when they arrive."""

    counting: Counting
    allowed: int
    rate: CallRate
    random: Random
    #: How much longer than the shortest a request may be on its way.
    jitter_seconds: float
    now: float = 0.0
    arrival: float = 0.0
    taken: int = 0
    #: When calls were refused.
    limited_at: list[float] = field(default_factory=list)
    window: CallWindow = field(default_factory=CallWindow)
    _sent: int = 0
    _resting_until: float = 0.0
    _counter: CallCounter = field(init=False)
    _under_way: deque[tuple[float, Sent, bool]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._counter = CallCounter(self.allowed, self.counting, lambda: self.arrival)

    def send(self, calls: int) -> None:
        """Wait until so many calls may be sent, and send them."""
        while True:
            self._hear()
            assert self.rate.per_second is not None
            wait = max(
                self.window.wait(calls, self.rate.per_second, self.now), self._resting_until - self.now
            )
            if wait <= 0:
                break
            self.rate.pressed(self.now)
            self.now = min([self.now + wait, *(at for at, _, _ in list(self._under_way)[:1])])
        sent = self.window.send(calls, self.rate.per_second, self.now)
        self._sent += 1
        # The way is seen at its shortest before it is seen longer.
        late = self.random.uniform(0, self.jitter_seconds) if self._sent > 8 else 0.0
        arrival = self.now + WAY_SECONDS + late
        # Requests of one connection after another: none overtakes.
        self.arrival = max(self.arrival, arrival)
        refused = self._counter.allowed(calls) < calls
        if not refused:
            self._counter.let_in(calls)
        self._under_way.append((self.arrival + WAY_SECONDS, sent, refused))

    def _hear(self) -> None:
        while self._under_way and self._under_way[0][0] <= self.now:
            at, sent, refused = self._under_way.popleft()
            self.window.answered(sent, at)
            self.rate.taken(0 if refused else sent.calls, at)
            self.taken += 0 if refused else sent.calls
            if refused:
                self.limited_at.append(at)
                self.rate.limited(sent.at, at)
                self._resting_until = at + REST_SECONDS


def story(counting: Counting, allowed: int, configured: float | None, *, seed: int, jitter: float) -> Story:
    return Story(counting, allowed, CallRate(configured), Random(seed), jitter)


@given(
    st.sampled_from(COUNTINGS),
    st.integers(3, 200),
    st.lists(st.integers(1, 4), max_size=10),
    st.integers(0, 2**32),
    st.floats(0, 0.24),
)
@settings(deadline=None, max_examples=60)
def test_a_configured_rate_is_never_broken_however_it_is_counted(
    counting: Counting, allowed: int, others: list[int], seed: int, jitter: float
) -> None:
    told = story(counting, allowed, allowed, seed=seed, jitter=jitter)
    batch = Limiter(allowed).batch_calls()
    assert batch is not None
    for turn in range(40 + 5 * allowed // batch):
        # Questions of other sizes come between the batches.
        told.send(min(others[turn % len(others)], allowed) if others and turn % 3 == 0 else batch)
    assert told.limited_at == []


@pytest.mark.parametrize("counting", COUNTINGS)
@pytest.mark.parametrize("allowed", [4, 25, 33, 100])
def test_a_configured_rate_is_used_to_within_a_few_percent(counting: Counting, allowed: int) -> None:
    told = story(counting, allowed, allowed, seed=1, jitter=0.01)
    batch = Limiter(allowed).batch_calls()
    assert batch is not None
    for _ in range(60 * allowed // batch):
        told.send(batch)
    assert told.now < 60 * 1.03
    assert told.limited_at == []


@pytest.mark.parametrize("counting", ["sliding", "fixed"])
@pytest.mark.parametrize("taken", [3, 12, 60])
@pytest.mark.parametrize("allowed", [10, 25, 100])
def test_an_unknown_rate_is_found_in_seconds_and_kept(counting: Counting, taken: int, allowed: int) -> None:
    told = story(counting, allowed, None, seed=2, jitter=0.01)
    told.rate.taken(taken, 0.0)
    told.rate.limited(0.0, 0.1)
    told.now = 1.1
    while told.now < 60:
        told.send(1)
    learned, before = told.taken, told.now
    while told.now < 160:
        told.send(1)
    assert [at for at in told.limited_at if at > before] == []
    assert (told.taken - learned) / (told.now - before) > 0.88 * allowed
    # Requests on their way are refused together.
    assert sum(later - sooner > 0.5 for sooner, later in pairwise(told.limited_at)) < 20


def test_a_rate_that_is_counted_by_a_bucket_is_approached_from_above() -> None:
    told = story("bucket", 25, None, seed=3, jitter=0.01)
    told.rate.taken(12, 0.0)
    told.rate.limited(0.0, 0.1)
    told.now = 1.1
    while told.now < 300:
        told.send(1)
    assert told.rate.per_second is not None and 22 < told.rate.per_second < 26
    gaps = [later - sooner for sooner, later in pairwise(told.limited_at)]
    assert len(told.limited_at) < 25 and gaps[-1] > 3 * gaps[len(gaps) // 2]
