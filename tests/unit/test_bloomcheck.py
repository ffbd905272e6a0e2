"""What a range's bloom filters say about logs that came and logs that did not."""

from __future__ import annotations

from random import Random

import pytest

from indexer.core.bloom import BloomProbe, Pair, logs_bloom, may_contain
from indexer.core.bloomcheck import require_in_bloom, unexplained
from indexer.core.errors import Inconsistent
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import Header, Span
from indexer.core.source import LogFilter
from indexer.core.wire import WireLog
from tests.fixtures.wirelogs import OTHER_TOKEN, TOKEN, block_hash, digest, time_of, wire_log

TRANSFER, APPROVAL = digest("Transfer"), digest("Approval")
FIRST, LAST = 10, 19
SPAN = Span(FIRST, LAST)
PAIRS: tuple[Pair, ...] = ((TOKEN, TRANSFER), (OTHER_TOKEN, APPROVAL))
WANTED = LogFilter((TOKEN, OTHER_TOKEN), (TRANSFER, APPROVAL), PAIRS)
#: For anonymous events: any topic.
ANY = LogFilter((TOKEN, OTHER_TOKEN), None, ((TOKEN, None),))


def header(number: int, bloom: bytes) -> Header:
    return Header(
        number, block_hash(number), block_hash(number - 1), time_of(number), None, 0, 0, bloom, bytes(32)
    )


def a_log(block: int, index: int, address: bytes = TOKEN, topic: bytes | None = TRANSFER) -> WireLog:
    return wire_log(block, index, address=address, topics=[] if topic is None else [topic])


def octets(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def headers_of(logs: list[WireLog]) -> list[Header]:
    """The headers of the span's blocks if these are all logs that they have."""
    found = []
    for number in range(FIRST, LAST + 1):
        of_block = [log for log in logs if int(log.block_number, 16) == number]
        bloom = logs_bloom((octets(log.address), [octets(topic) for topic in log.topics]) for log in of_block)
        found.append(header(number, bloom))
    return found


def checked(logs: list[WireLog], wanted: LogFilter = WANTED) -> RangeLogs:
    return check_range_logs(SPAN, wanted, logs)


def numbers(headers: list[Header]) -> list[int]:
    return [each.number for each in headers]


ALL = [
    a_log(11, 0),
    a_log(11, 1, OTHER_TOKEN, APPROVAL),
    a_log(13, 0),
    a_log(13, 1),
    a_log(17, 4, OTHER_TOKEN, APPROVAL),
]


def test_nothing_is_doubted_when_every_log_came() -> None:
    assert unexplained(headers_of(ALL), checked(ALL), WANTED) == []
    assert unexplained(headers_of([]), checked([]), WANTED) == []


@pytest.mark.parametrize("left_out", [0, 1, 4])
def test_the_block_is_doubted_whose_only_log_of_a_kind_did_not_come(left_out: int) -> None:
    came = [log for log in ALL if log is not ALL[left_out]]
    doubtful = unexplained(headers_of(ALL), checked(came), WANTED)
    assert numbers(doubtful) == [int(ALL[left_out].block_number, 16)]


def test_a_block_whose_every_log_is_gone_is_doubted_too() -> None:
    assert numbers(unexplained(headers_of(ALL), checked([]), WANTED)) == [11, 13, 17]


def test_one_of_two_logs_of_a_kind_is_beyond_what_a_filter_can_tell() -> None:
    came = [log for log in ALL if log is not ALL[3]]
    assert unexplained(headers_of(ALL), checked(came), WANTED) == []


def test_address_and_topic_of_different_logs_cost_a_question() -> None:
    theirs = [a_log(12, 0, TOKEN, digest("Other")), a_log(12, 1, digest("stranger")[:20], TRANSFER)]
    assert numbers(unexplained(headers_of(theirs), checked([]), WANTED)) == [12]


def test_pairs_that_nobody_means_are_not_looked_for() -> None:
    # The filter is a product, and lets through the one contract's address with the other one's topic.
    crossed = [a_log(12, 0, TOKEN, APPROVAL)]
    headers = headers_of(crossed)
    assert unexplained(headers, checked(crossed), WANTED) == []
    assert unexplained(headers, checked([]), WANTED) == []
    product = LogFilter(WANTED.addresses, WANTED.topic0s)
    assert numbers(unexplained(headers, checked([], product), product)) == [12]


def test_any_log_of_the_address_explains_an_anonymous_event() -> None:
    logs = [a_log(14, 0, topic=None), a_log(15, 0, topic=TRANSFER)]
    assert unexplained(headers_of(logs), checked(logs, ANY), ANY) == []
    assert numbers(unexplained(headers_of(logs), checked([], ANY), ANY)) == [14, 15]


@pytest.mark.parametrize("position", range(len(ALL)))
def test_a_log_that_the_filter_excludes_is_a_contradiction(position: int) -> None:
    number = int(ALL[position].block_number, 16)
    headers = [header(each.number, bytes(256)) if each.number == number else each for each in headers_of(ALL)]
    with pytest.raises(Inconsistent, match=f"block {number}, log"):
        unexplained(headers, checked(ALL), WANTED)


def test_every_topic_of_a_log_has_to_be_in_the_filter() -> None:
    log = wire_log(12, 0, topics=[TRANSFER, digest("from"), digest("to")])
    told = header(12, logs_bloom([(TOKEN, [TRANSFER, digest("from"), digest("to")])]))
    require_in_bloom(told, [log])
    less = header(12, logs_bloom([(TOKEN, [TRANSFER, digest("from")])]))
    with pytest.raises(Inconsistent, match=r"block 12 .*log 0x0.*logs_bloom = false is the way out"):
        require_in_bloom(less, [log])


def test_many_filters_at_once_say_what_each_says_alone() -> None:
    random = Random(5)
    addresses = [random.randbytes(20) for _ in range(12)]
    topics = [random.randbytes(32) for _ in range(9)]
    pairs: list[Pair] = [(address, random.choice((None, *topics))) for address in addresses for _ in range(3)]
    blooms = [
        logs_bloom(
            (random.choice(addresses), random.sample(topics, random.randrange(5)))
            for _ in range(random.choice((0, 1, 5, 80)))
        )
        for _ in range(60)
    ]
    probe = BloomProbe(pairs)
    found = probe.found(blooms)
    assert found.shape == (60, len(probe.pairs))
    assert found.tolist() == [[may_contain(bloom, *pair) for pair in probe.pairs] for bloom in blooms]
    assert 0.05 < found.mean() < 0.95, "both answers occur"
