"""A range of logs is accepted as a whole, or refused with what contradicts what."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from indexer.core.errors import Inconsistent
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import Span
from indexer.core.source import LogFilter
from indexer.core.wire import WireLog, header_of
from tests.fixtures.wirelogs import (
    OTHER_TOKEN,
    TOKEN,
    block_hash,
    digest,
    hex_of,
    time_of,
    transaction_hash,
    wire_block,
    wire_log,
)

TRANSFER, APPROVAL = digest("Transfer"), digest("Approval")
SPAN = Span(5, 20)
FILTER = LogFilter((TOKEN, OTHER_TOKEN), (TRANSFER, APPROVAL))
ANY_TOPIC = LogFilter((TOKEN, OTHER_TOKEN), None)


def honest_logs(timed: bool = True) -> list[WireLog]:
    """Blocks 5, 7 and 20; two transactions each, the first with two logs."""
    return [
        wire_log(
            block,
            3 * at,
            transaction=4 * (at // 2),
            address=OTHER_TOKEN if at == 1 else TOKEN,
            topics=[APPROVAL if at == 2 else TRANSFER, *(digest(at) for _ in range(at))],
            data=bytes(range(at * 7)),
            timed=timed,
        )
        for block in (5, 7, 20)
        for at in range(3)
    ]


def test_honest_logs_keep_every_field() -> None:
    logs = check_range_logs(SPAN, FILTER, honest_logs())
    assert logs.blocks == {number: block_hash(number) for number in (5, 7, 20)}
    assert logs.times == {number: time_of(number) for number in (5, 7, 20)}
    assert not logs.untimed
    columns = logs.columns
    assert columns is not None
    assert columns.numbers.tolist() == [5, 5, 5, 7, 7, 7, 20, 20, 20]
    assert columns.indexes.tolist() == [0, 3, 6] * 3
    assert columns.transaction_indexes.tolist() == [0, 0, 4] * 3
    assert columns.transaction_hashes[5].tobytes() == transaction_hash(7, 4)
    for place, wire in enumerate(logs.logs):
        assert [hex_of(topic) for topic in columns.topics_of(place)] == wire.topics
        assert hex_of(columns.data_of(place)) == wire.data
        assert hex_of(columns.kinds[columns.kind[place]][0]) == wire.address


def test_logs_are_put_in_order() -> None:
    shuffled = honest_logs()
    random.Random(3).shuffle(shuffled)
    assert check_range_logs(SPAN, FILTER, shuffled).logs == honest_logs()


def test_no_logs_are_an_answer_too() -> None:
    logs = check_range_logs(SPAN, FILTER, [])
    assert (logs.logs, logs.blocks, logs.untimed) == ([], {}, [])


def test_capital_letters_make_no_difference() -> None:
    logs = honest_logs()
    for log in logs[::2]:
        log.address = "0x" + log.address[2:].upper()
        log.topics = ["0x" + topic[2:].upper() for topic in log.topics]
        log.block_hash = "0x" + log.block_hash[2:].upper()
    columns = check_range_logs(SPAN, FILTER, logs).columns
    assert columns is not None
    assert columns.topics_of(2) == (APPROVAL, digest(2), digest(2))


def test_a_filter_of_all_topics_lets_a_log_without_topics_pass() -> None:
    columns = check_range_logs(
        SPAN, ANY_TOPIC, [wire_log(data=b"\1"), wire_log(index=1, topics=[TRANSFER])]
    ).columns
    assert columns is not None
    assert columns.kinds == ((TOKEN, None, 0), (TOKEN, TRANSFER, 1))
    assert (columns.topics_of(0), columns.topics_of(1)) == ((), (TRANSFER,))


def change(position: int, **fields: Any) -> Callable[[list[WireLog]], None]:
    def apply(logs: list[WireLog]) -> None:
        for name, value in fields.items():
            setattr(logs[position], name, value)

    return apply


TAMPERINGS: dict[str, tuple[Callable[[list[WireLog]], None], str]] = {
    "a log twice": (lambda logs: logs.append(logs[4]), "log 3 of block 7 came twice"),
    "a log index twice": (change(1, log_index="0x0"), "log 0 of block 5 came twice"),
    "a block before the range": (change(0, block_number="0x4"), "came for the blocks 5..20"),
    "a block after the range": (change(8, block_number="0x15"), "came for the blocks 5..20"),
    "a block of two hashes": (change(4, block_hash=hex_of(block_hash(8))), "logs of block 7 name two blocks"),
    "a block of two times": (change(4, block_timestamp="0x77"), "logs of block 7 tell two times"),
    "an unknown address": (change(3, address=hex_of(bytes(20))), "not asked for"),
    "an unknown topic": (change(3, topics=[hex_of(digest("no"))]), "not asked for"),
    "no topic": (change(3, topics=[]), "no topic"),
    "five topics": (change(3, topics=[hex_of(TRANSFER)] * 5), "5 topics"),
    "a removed log": (change(6, removed=True), "removed by a reorg"),
    "a transaction of two places": (change(1, transaction_index="0x3"), "cannot follow"),
    "a place of two transactions": (change(1, transaction_hash=hex_of(digest())), "cannot follow"),
    "transactions out of order": (
        change(2, transaction_index="0x0", transaction_hash=hex_of(digest())),
        "cannot follow",
    ),
    "a short address": (change(3, address="0x" + "70" * 19), "19 bytes instead of 20"),
    "a short topic": (change(1, topics=[hex_of(TRANSFER), "0x12"]), "topic: 1 bytes instead of 32"),
    "a short transaction hash": (change(1, transaction_hash="0x12"), "1 bytes instead of 32"),
    "a short block hash": (change(1, block_hash="0x12"), "1 bytes instead of 32"),
    "data that is no hexadecimal": (change(1, data="0xzz"), "data: not hexadecimal"),
    "data of half a byte": (change(1, data="0x123"), "data: not hexadecimal"),
    "two halves that would make a byte": (
        lambda logs: (change(1, data="0x123")(logs), change(2, data="0x4")(logs))[0],
        "data: not hexadecimal",
    ),
    "data without prefix": (change(1, data="1234"), "does not begin with 0x"),
    "data with two prefixes": (
        lambda logs: (change(1, data="0x0x12")(logs), change(2, data="34567812")(logs))[0],
        "hexadecimal|begin with 0x",
    ),
    "data of two prefixes": (change(1, data="0x0x"), "data: not hexadecimal"),
    "data beyond ASCII": (change(1, data="0xéé"), "data: not hexadecimal"),
    "a topic with a line break": (
        change(1, topics=[hex_of(TRANSFER), hex_of(TRANSFER)[:-1] + "\n"]),
        "topic: not hexadecimal",
    ),
    "a number that is none": (change(1, log_index="3"), "logIndex: not a hexadecimal quantity"),
    "an index that no column holds": (change(8, log_index=hex(2**31)), "logIndex: 2147483648 is more"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_contradiction_is_refused(name: str) -> None:
    tamper, message = TAMPERINGS[name]
    logs = honest_logs()
    tamper(logs)
    with pytest.raises(Inconsistent, match=message):
        check_range_logs(SPAN, FILTER, logs)


@pytest.mark.parametrize("length", [0, 32])
def test_equally_long_data_with_wrong_prefixes_is_refused(length: int) -> None:
    logs = [wire_log(index=at, topics=[TRANSFER], data=bytes(length)) for at in range(2)]
    logs[1].data = "00" + logs[1].data[2:]
    with pytest.raises(Inconsistent, match="begin with 0x"):
        check_range_logs(SPAN, FILTER, logs)


def test_times_that_logs_do_not_tell_come_from_headers() -> None:
    logs = check_range_logs(SPAN, FILTER, honest_logs(timed=False))
    assert logs.untimed == [5, 7, 20]
    timed = logs.with_headers(header_of(wire_block(number)) for number in (5, 6, 7))
    assert timed.untimed == [20]
    assert timed.times == {5: time_of(5), 7: time_of(7)}
    assert logs.untimed == [5, 7, 20]


def test_one_log_that_tells_the_time_is_enough_for_its_block() -> None:
    logs = honest_logs(timed=False)
    logs[1].block_timestamp = hex(time_of(5))
    assert check_range_logs(SPAN, FILTER, logs).untimed == [7, 20]


def test_a_header_of_another_fork_is_refused() -> None:
    logs = check_range_logs(SPAN, FILTER, honest_logs(timed=False))
    with pytest.raises(Inconsistent, match="is not the one whose logs came"):
        logs.with_headers([replace(header_of(wire_block(7)), hash=digest("fork"))])


def test_a_header_of_another_time_is_refused() -> None:
    logs = check_range_logs(SPAN, FILTER, honest_logs())
    with pytest.raises(Inconsistent, match="its logs say"):
        logs.with_headers([replace(header_of(wire_block(7)), timestamp=1)])


def test_unchecked_logs_cannot_become_range_logs() -> None:
    with pytest.raises(TypeError):
        RangeLogs(SPAN, honest_logs(), {}, {}, None, object())
