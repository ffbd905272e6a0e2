"""The journal's lines on failed transactions: each while they are few, a count when they are many."""

from __future__ import annotations

from typing import Any

import pytest

from indexer.core.model import Transaction
from indexer.sync import failedtransactions
from indexer.sync.failedtransactions import SHOWN, WINDOW_SECONDS, FailedTransactions

PROFILE, TOKEN = b"\x01" * 20, b"\x02" * 20


class Lines:
    """Takes the place of the module's journal."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def info(self, message: str, /, **fields: object) -> None:
        self.written.append({"message": message, **fields})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    taken = Lines()
    monkeypatch.setattr(failedtransactions, "log", taken)
    return taken.written


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failed(clock: Clock) -> FailedTransactions:
    return FailedTransactions({PROFILE: "Profile", TOKEN: "Token"}, clock)


def transaction(block: int, recipient: bytes | None = PROFILE, **changes: Any) -> Transaction:
    fields: dict[str, Any] = {
        "block_number": block,
        "block_time": 1,
        "index": 0,
        "hash": block.to_bytes(32),
        "sender": b"\x04" * 20,
        "recipient": recipient,
        "created": None,
        "selector": b"\xaa\xbb\xcc\xdd",
        "success": False,
        "gas_limit": 100,
        "gas_used": 10,
        "effective_gas_price_wei": 1,
        "value_wei": 0,
        "emitters": frozenset(),
    }
    return Transaction(**{**fields, **changes})


def test_each_failed_transaction_to_a_watched_contract_has_a_line(
    failed: FailedTransactions, lines: list[dict[str, Any]]
) -> None:
    failed.tell(
        [
            transaction(7, gas_used=100),
            transaction(8, success=True),
            transaction(9, b"\x09" * 20),
            transaction(10, None, created=TOKEN),
        ]
    )
    assert [(each["contract"], each["block"], each["reason"]) for each in lines] == [
        ("Profile", 7, "out_of_gas"),
        ("Token", 10, "reverted"),
    ]
    assert {(each["event_type"], each["status"]) for each in lines} == {("contract_tx", "failed")}
    assert lines[0]["tx_hash"] == (7).to_bytes(32)


def test_a_flood_of_failures_is_shown_in_part_and_counted_whole(
    failed: FailedTransactions, lines: list[dict[str, Any]], clock: Clock
) -> None:
    for block in range(100, 200):
        failed.tell([transaction(block) for _ in range(10)])
    failed.tell([transaction(200, TOKEN)])
    assert [each["contract"] for each in lines] == ["Profile"] * SHOWN + ["Token"], (
        "each contract has its own"
    )
    clock.now += WINDOW_SECONDS
    failed.tell([])
    (told,) = lines[SHOWN + 1 :]
    assert told["not_shown"] == 1_000 - SHOWN
    assert (told["from_block"], told["to_block"]) == (100 + SHOWN // 10, 199)
    assert (told["event_type"], told["status"], told["contract"]) == ("contract_tx", "failed", "Profile")
    failed.tell([transaction(201)])
    assert lines[-1]["block"] == 201


def test_what_was_held_back_is_told_at_the_end(
    failed: FailedTransactions, lines: list[dict[str, Any]]
) -> None:
    failed.tell([transaction(block) for block in range(SHOWN + 3)])
    failed.tell_rest()
    failed.tell_rest()
    assert lines[-1]["not_shown"] == 3
    assert len(lines) == SHOWN + 1
