"""Columns read straight from an answer's text equal those made of its logs one by one, or there are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.core.answeredlogs import SCANNED_BYTES, AnsweredLogs, LogsDecoder
from indexer.core.errors import Inconsistent
from indexer.core.logcolumns import BlockColumns, LogColumns, block_columns, log_columns, log_indexes
from indexer.core.logs import check_range_logs
from indexer.core.logscan import FEWEST_PER_TEMPLATE, Scanned, scan
from indexer.core.model import Span
from indexer.core.source import LogFilter
from indexer.core.wire import WireLog

SETTINGS = settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
ADDRESSES = ["0x" + digit * 40 for digit in "aB1"]
LOGS = msgspec.json.Decoder(list[WireLog])
#: Names that a node may add, or leave out, for all of its logs.
MORE = {"l1Fee": "0x1b4", "status": "ok", "extra": None, "count": 17}


def honest(random: Random, count: int) -> list[dict[str, Any]]:
    """Logs in chain order as a node might tell them, of any kinds and lengths."""
    timed = random.choice(["always", "never", "null", "zero"])
    more = {name: MORE[name] for name in random.sample(sorted(MORE), random.randrange(3))}
    removed = random.random() < 0.8
    order = random.random() < 0.5
    logs: list[dict[str, Any]] = []
    block, index, transaction = random.randrange(300), -1, 0
    for _ in range(count):
        if random.random() < 0.2:
            block, index, transaction = block + random.choice([1, 1, 17, 5_000]), -1, 0
        index += random.choice([1, 1, 1, 9])
        transaction += random.choice([0, 0, 1, 30])
        log: dict[str, Any] = {
            "address": random.choice(ADDRESSES),
            "topics": [word(random.randrange(3)) for _ in range(random.choice([0, 1, 2, 3, 3, 4]))],
            "data": "0x" + random.randbytes(random.choice([0, 1, 32, 32, 64])).hex(),
            "blockNumber": hex(block),
            "transactionHash": word(1_000_000 * block + transaction),
            "transactionIndex": hex(transaction),
            "blockHash": word(block),
            "logIndex": hex(index),
        }
        if removed:
            log["removed"] = False
        if timed != "never":
            log["blockTimestamp"] = {"always": hex(1_000 + block), "null": None, "zero": "0x0"}[timed]
        log |= more
        logs.append(dict(reversed(log.items())) if order else log)
    return logs


def word(value: int) -> str:
    """A topic or a hash."""
    return f"0x{value:064x}"


def text_of(logs: Sequence[dict[str, Any]]) -> bytes:
    """The logs as a node writes them."""
    return json.dumps(logs, separators=(",", ":")).encode()


def one_by_one(text: bytes) -> tuple[BlockColumns, LogColumns] | None:
    """What the other way makes of the text, where all is right with it and it is in chain order."""
    try:
        logs = LOGS.decode(text)
        if not logs or any(log.removed for log in logs):
            return None
        blocks, indexes = block_columns(logs), log_indexes(logs)
        places = list(zip(blocks.numbers.tolist(), indexes.tolist(), strict=True))
        if places != sorted(set(places)):
            return None
        return blocks, log_columns(logs, blocks.numbers, indexes)
    except (msgspec.DecodeError, UnicodeDecodeError, Inconsistent):
        return None


def require_equal(scanned: Scanned, expected: tuple[BlockColumns, LogColumns]) -> None:
    """All columns are the same."""
    blocks, columns = expected
    assert scanned.blocks.hashes == blocks.hashes
    assert scanned.blocks.times == blocks.times
    assert np.array_equal(scanned.blocks.numbers, blocks.numbers)
    assert len(scanned.columns) == len(columns)
    for name in ("numbers", "indexes", "transaction_indexes", "transaction_hashes", "data_starts"):
        assert np.array_equal(getattr(scanned.columns, name), getattr(columns, name)), name
    assert scanned.columns.data == columns.data
    kinds = [[each.kinds[code] for code in each.kind.tolist()] for each in (scanned.columns, columns)]
    assert kinds[0] == kinds[1]
    for log in range(len(columns)):
        assert scanned.columns.topics_of(log) == columns.topics_of(log)
        assert scanned.columns.data_of(log) == columns.data_of(log)


@SETTINGS
@given(st.randoms(use_true_random=False), st.sampled_from([1, 2, 7, 40, 150]))
def test_what_a_node_writes_is_read_as_it_is_log_by_log(random: Random, count: int) -> None:
    text = text_of(honest(random, count))
    expected = one_by_one(text)
    scanned = scan(text, fewest=1)
    # A log whose transactions contradict each other may be among them; then neither way has a result.
    assert (scanned is None) == (expected is None)
    if scanned is not None and expected is not None:
        require_equal(scanned, expected)


def flipped(text: bytes, random: Random) -> bytes:
    place = random.randrange(len(text))
    return text[:place] + bytes([random.choice(b'0fF"x}{,:[]\\ \x00\xff')]) + text[place + 1 :]


def cut(text: bytes, random: Random) -> bytes:
    first = random.randrange(len(text))
    return text[:first] + text[first + random.choice([1, 2, 10, 700]) :]


def doubled(text: bytes, random: Random) -> bytes:
    first = random.randrange(len(text))
    last = first + random.choice([1, 2, 10, 700])
    return text[:last] + text[first:]


def exchanged(text: bytes, random: Random) -> bytes:
    """One log with two names or values exchanged: as long as before."""
    logs = text.split(b"},{")
    at = random.randrange(len(logs))
    one, other = random.choice([
        (b"transactionHash", b"blockHash"),
        (b"blockNumber", b"logIndex"),
        (b"address", b"data"),
        (b"false", b"true"),
        (b"transactionIndex", b"logIndex"),
        (b'"0x', b'"0X'),
        (b'":"', b'": "'),
        (b"null", b'"0x1"'),
    ])  # fmt: skip
    logs[at] = logs[at].replace(one, b"\0").replace(other, one).replace(b"\0", other)
    return b"},{".join(logs)


def smuggled(text: bytes, random: Random) -> bytes:
    """One value replaced by text of the same length that ends the value and begins others."""
    logs = text.split(b"},{")
    at = random.randrange(len(logs))
    inside = b'","address":"0x' + b"9" * 40
    place = logs[at].find(b"transactionHash") + len(b'transactionHash":"0x')
    logs[at] = logs[at][:place] + inside + logs[at][place + len(inside) :]
    return b"},{".join(logs)


def reordered(text: bytes, random: Random) -> bytes:
    logs = json.loads(text)
    random.shuffle(logs)
    return text_of(logs)


CHANGES: list[Callable[[bytes, Random], bytes]] = [flipped, cut, doubled, exchanged, smuggled, reordered]


@SETTINGS
@given(
    st.randoms(use_true_random=False),
    st.sampled_from([3, 12, 40]),
    st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3),
)
def test_a_changed_answer_is_read_as_it_is_log_by_log_or_not_at_all(
    random: Random, count: int, changes: list[Callable[[bytes, Random], bytes]]
) -> None:
    text = text_of(honest(random, count))
    for change in changes:
        try:
            text = change(text, random)
        except ValueError:
            break  # it is no JSON any more, and cannot be shuffled
    scanned = scan(text, fewest=1)
    if scanned is not None:
        expected = one_by_one(text)
        assert expected is not None, "it was read, though something is wrong with it"
        require_equal(scanned, expected)


@pytest.mark.parametrize("change", [smuggled, exchanged])
def test_a_log_that_only_looks_like_the_others_is_noticed(change: Callable[[bytes, Random], bytes]) -> None:
    seen = 0
    for seed in range(80):
        random = Random(seed)
        text = text_of(honest(random, 15))
        changed = change(text, random)
        scanned, expected = scan(changed, fewest=1), one_by_one(changed)
        seen += changed != text and expected is None
        if scanned is not None:
            assert expected is not None
            require_equal(scanned, expected)
    assert seen > 20


def test_a_long_answer_is_scanned_and_its_logs_are_read_when_they_are_asked_for() -> None:
    logs = [
        log | {"blockNumber": "0x100", "blockHash": word(256), "logIndex": hex(at), "topics": [word(at)] * 3}
        | {"transactionIndex": hex(at), "transactionHash": word(at), "blockTimestamp": "0x10"}
        for at, log in enumerate(honest(Random(3), 1_000))
    ]  # fmt: skip
    text = text_of(logs)
    assert len(text) >= SCANNED_BYTES
    answered = LogsDecoder().decode(msgspec.Raw(text))
    assert isinstance(answered, AnsweredLogs)
    assert len(answered) == len(logs)
    assert list(answered) == LOGS.decode(text)
    assert answered[3:5] == LOGS.decode(text)[3:5]
    span = Span(0, 256)
    wanted = LogFilter(tuple(bytes.fromhex(each[2:]) for each in ADDRESSES), None)
    assert len(check_range_logs(span, wanted, answered).logs) == len(logs)
    with pytest.raises(Inconsistent, match="came for the blocks"):
        check_range_logs(Span(0, 1), wanted, answered)
    with pytest.raises(Inconsistent, match="was not asked for"):
        check_range_logs(span, LogFilter(wanted.addresses[:1], None), answered)


def test_logs_of_too_many_forms_are_left_to_the_other_way() -> None:
    text = text_of(honest(Random(1), 2 * FEWEST_PER_TEMPLATE))
    assert scan(text) is None
    assert len(LogsDecoder().decode(msgspec.Raw(text))) == 2 * FEWEST_PER_TEMPLATE


def test_values_beyond_what_is_stored_are_left_to_the_other_way() -> None:
    for name, value in [
        ("logIndex", "0x80000000"),
        ("transactionIndex", "0x80000000"),
        ("blockTimestamp", "0x3afff44180"),
        ("blockNumber", "0x8000000000000000"),
        ("logIndex", "0x" + "0" * 60 + "1"),
        ("logIndex", "0x"),
        ("data", "0x1"),
        ("address", "0x" + "1" * 42),
        ("topics", [word(1)] * 5),
        ("topics", ["0x01"]),
        ("topics", None),
        ("removed", True),
        ("blockHash", None),
    ]:
        log = honest(Random(5), 1)[0] | {name: value}
        assert scan(text_of([log]), fewest=1) is None, name
    log.pop("blockHash")
    assert scan(text_of([log]), fewest=1) is None
