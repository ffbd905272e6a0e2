"""The generated codecs agree with eth-abi in verdict and value, for honest logs and for broken ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from indexer.core.abi import EventSpec
from indexer.core.codec import EventCodec
from indexer.core.malformed import REASONS, Malformed
from tests.property.random_abi import events, log_of, random_value
from tests.property.second_opinion import broken, check_agreement, eth_abi_reads, head_is_miscounted

EVENTS = 600
HONEST_LOGS = 50  # per event
BROKEN_LOGS = 40  # per event
#: Reasons that are not about the data, or only about much more of it.
BEYOND_CHANGES = {"topic_count", "topic_size", "topic0", "amplified", "too_large", "lossy_text"}
LEAST_CASES = 20_000  # different ones, honest and broken ones each

SETTINGS = settings(
    max_examples=EVENTS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    # Each example is many logs, so that shrinking would take minutes; the events are small as they are.
    phases=[Phase.explicit, Phase.generate],
)


def test_every_honest_log_is_read_as_eth_abi_reads_it() -> None:
    cases: set[int] = set()

    @SETTINGS
    @given(event=events(), seed=st.integers(0, 2**64))
    def check(event: EventSpec, seed: int) -> None:
        random, codec = Random(seed), EventCodec(event)
        for _ in range(HONEST_LOGS):
            topics, data = log_of(event, [random_value(param.type, random) for param in event.params])
            answer = eth_abi_reads(event, topics, data)
            assert answer is not None
            check_agreement(codec, topics, data, *answer)
            cases.add(hash((event.digest, *topics, data)))

    check()
    assert len(cases) >= LEAST_CASES


def test_a_broken_log_is_refused_exactly_when_eth_abi_refuses_it() -> None:
    cases: set[int] = set()
    verdicts: Counter[str] = Counter()

    @SETTINGS
    @given(event=events().filter(lambda event: event.params), seed=st.integers(0, 2**64))
    def check(event: EventSpec, seed: int) -> None:
        random, codec = Random(seed), EventCodec(event)
        miscounted = head_is_miscounted([param.type for param in event.params if not param.indexed])
        for _ in range(BROKEN_LOGS):
            honest = log_of(event, [random_value(param.type, random) for param in event.params])
            topics, data = broken(event, *honest, random)
            answer = eth_abi_reads(event, topics, data)
            cases.add(hash((event.digest, *topics, data)))
            try:
                codec.columns(topics, data)
            except Malformed as refusal:
                verdicts[refusal.reason] += 1
                excused = refusal.reason == "offset_out_of_range" and miscounted
                assert answer is None or excused
                for function in (codec.decode, codec.args):
                    _check_refusal(function, topics, data, refusal.reason)
            else:
                verdicts["accepted"] += 1
                assert answer is not None
                check_agreement(codec, topics, data, *answer)

    check()
    assert len(cases) >= LEAST_CASES
    # The changes reach every kind of refusal that is about data.
    assert set(verdicts) >= REASONS - BEYOND_CHANGES
    assert verdicts["accepted"] > LEAST_CASES / 20


def _check_refusal(
    function: Callable[[Sequence[bytes], bytes], object], topics: Sequence[bytes], data: bytes, reason: str
) -> None:
    with pytest.raises(Malformed) as refusal:
        function(topics, data)
    assert refusal.value.reason == reason
