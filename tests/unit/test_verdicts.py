"""What is concluded from a node's refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.core.verdicts import Judgement, Refusal, Verdict, judge, seconds_to_wait

KNOWN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "provider_errors.json").read_text(encoding="utf-8")
)
NEW_YEAR_2024 = 1_704_067_200.0


def said(message: str, code: int | None = -32000, status: int | None = 200, **more: Any) -> Judgement:
    return judge(Refusal(status, code, message, **more))


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known["provider"])
def test_every_known_message_gets_its_verdict_and_its_number(known: dict[str, Any]) -> None:
    found = said(known["message"], known["code"])
    assert (found.verdict, found.limit) == (known["verdict"], known.get("limit"))


NAMED_CAPS = {
    "Alchemy (free tier)": 10, "QuickNode": 10_000, "QuickNode discover": 5, "Ankr/tac": 10_000, "Cloudflare": 800,
    "BlockPI": 1_024, "Blast paid": 3_000, "PublicNode": 50_000, "PublicNode (alt)": 2_000, "reth range": 100_000,
    "avalanche cap": 2_048, "Moonbeam/Frontier": 1_024, "Aurora": 2_000, "Merkle/llama BSC": 10_000, "Somnia": 1_000,
    "Swell": 10_000, "Tron": 5_000,
}  # fmt: skip
NAMED_LOGS = {
    "Infura (classic)": 10_000, "Infura (no hint)": 10_000, "Alchemy (size)": 10_000, "Arbitrum nitro": 10_000,
    "zkSync": 10_000, "HyperRPC": 50_000,
}  # fmt: skip


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known["provider"])
def test_a_plans_longest_range_is_told_from_a_range_that_holds_too_much(known: dict[str, Any]) -> None:
    found = said(known["message"], known["code"])
    assert (found.limit if found.is_cap else None) == NAMED_CAPS.get(known["provider"])
    assert found.logs == NAMED_LOGS.get(known["provider"])


def test_a_range_that_is_suggested_in_plain_numbers_is_understood() -> None:
    found = said("query exceeds max results 20000, retry with the range 100-200")
    assert (found.limit, found.logs, found.is_cap) == (101, 20_000, False)


def test_one_code_means_two_things_and_the_text_decides() -> None:
    assert said("query returned more than 10000 results", -32005).verdict is Verdict.NARROW
    assert said("rate limit exceeded", -32005).verdict is Verdict.BACK_OFF


@pytest.mark.parametrize(
    "message",
    [
        "Too Many Requests",
        "You've exceeded the RPS limit available on the current plan",
        "monthly quota reached",
    ],
)
def test_too_fast_is_never_a_reason_to_ask_for_less(message: str) -> None:
    assert said(message).verdict is Verdict.BACK_OFF


def test_a_rate_limit_by_status_wins_over_any_text() -> None:
    found = said("block range too large", None, 429, retry_after=7.0)
    assert found == Judgement(Verdict.BACK_OFF, retry_after=7.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("retry in 250ms", 0.25),
        ("try again in 10 seconds", 10.0),
        ("retry after 2 minutes", 120.0),
        ("later", None),
    ],
)
def test_the_text_of_a_rate_limit_may_say_how_long(text: str, seconds: float | None) -> None:
    assert said(f"rate limit reached, {text}").retry_after == seconds


@pytest.mark.parametrize(
    ("message", "code", "limit"),
    [("batch limit 50 exceeded", -32600, 50), ("Batch requests are not supported", -32600, None)],
)
def test_a_batch_that_is_too_large_wants_fewer_calls(message: str, code: int, limit: int | None) -> None:
    assert said(message, code, batch=True) == Judgement(Verdict.FEWER_CALLS, limit)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Method not found", -32601),
        ("", -32601),
        ("the method eth_getBlockReceipts does not exist/is not available", -32000),
        ("Method eth_getBlockReceipts is not supported", -32004),
    ],
)
def test_a_missing_method_is_told_apart(message: str, code: int) -> None:
    assert said(message, code).verdict is Verdict.UNSUPPORTED


@pytest.mark.parametrize(
    "message",
    [
        "BlockOutOfRangeError: block height is 100 but requested was 101",
        "unknown block",
        "header not found",
        "requested from block 12 after last accepted block 11",
    ],
)
def test_a_block_that_is_not_there_yet_is_waited_for(message: str) -> None:
    assert said(message).verdict is Verdict.WAIT_FOR_HEAD


@pytest.mark.parametrize(
    ("status", "code", "batch", "verdict"),
    [
        (500, None, False, Verdict.ELSEWHERE),
        (401, -32000, False, Verdict.ELSEWHERE),
        (504, None, False, Verdict.NARROW),
        (413, None, False, Verdict.NARROW),
        (413, None, True, Verdict.FEWER_CALLS),
        (400, None, True, Verdict.FEWER_CALLS),
        (200, -32603, False, Verdict.UNKNOWN),
        (None, -32603, False, Verdict.UNKNOWN),
    ],
)
def test_without_a_known_text_the_numbers_decide(
    status: int | None, code: int | None, batch: bool, verdict: Verdict
) -> None:
    assert said("something went wrong", code, status, batch=batch).verdict is verdict


def test_a_wait_without_a_reason_is_kept() -> None:
    assert said("", None, 503, retry_after=3.0) == Judgement(Verdict.BACK_OFF, retry_after=3.0)


@given(st.text(max_size=300), st.sampled_from([None, 0, -32000, -32005, -32602]), st.booleans())
def test_any_text_gets_a_verdict_and_a_usable_limit(message: str, code: int | None, batch: bool) -> None:
    found = said(message, code, batch=batch)
    assert found.limit is None or found.limit > 0


@pytest.mark.parametrize("number", ["9" * 400, "0x" + "f" * 400, "1." + "9" * 400])
def test_absurd_numbers_are_no_limits(number: str) -> None:
    assert said(f"block range too large, max is {number}, retry in {number} s").limit is None
    assert said(f"block range too large [0x0, {number}]").limit is None
    assert said(f"rate limit, retry in {number} s").retry_after is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("Mon, 01 Jan 2024 00:00:30 GMT", 30.0),
        ("Sun, 31 Dec 2023 23:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(header, NEW_YEAR_2024) == seconds
