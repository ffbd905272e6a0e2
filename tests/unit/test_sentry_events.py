"""What a report to Sentry is made of."""

from __future__ import annotations

import json

from indexer.core.redaction import Redactor
from indexer.sentry_events import LONGEST_TEXT, Quiet, Trail, block_of, scrubbed

SECRET = "s3cr3tKeyOfTheNode0123456789"


def test_every_text_is_redacted_wherever_it_stands() -> None:
    value = {SECRET: [SECRET, (f"x{SECRET}y", {SECRET})], "error": ValueError(SECRET), "deep": [[[[SECRET]]]]}
    assert SECRET not in json.dumps(scrubbed(value, Redactor([SECRET])))


def test_a_text_is_cut_only_when_its_secrets_are_out() -> None:
    text = "." * (LONGEST_TEXT - 10) + SECRET
    assert scrubbed(text, Redactor([SECRET])) == "." * (LONGEST_TEXT - 10) + "***"
    assert len(scrubbed("." * LONGEST_TEXT * 2, Redactor())) == LONGEST_TEXT


def test_what_json_cannot_hold_becomes_text() -> None:
    value = {"nan": float("nan"), "large": 2**53 + 1, "bytes": b"\x00\xff", "safe": 2**53, "kind": int}
    assert json.loads(json.dumps(scrubbed(value, Redactor()), allow_nan=False)) == {
        "nan": "nan",
        "large": str(2**53 + 1),
        "bytes": "0x00ff",
        "safe": 2**53,
        "kind": "<class 'int'>",
    }
    endless: list[object] = []
    endless.append(endless)
    assert "[...]" in json.dumps(scrubbed(endless, Redactor()))


def test_the_block_is_the_most_telling_field() -> None:
    assert block_of({"head": 9, "first": 5, "last": 7}) == 5
    assert block_of({"head": 9, "block": 0}) == 0
    assert block_of({"block": "17", "rows": 3}) is None


def test_the_trail_keeps_the_newest_and_counts_what_is_equal() -> None:
    times = iter(range(100))
    trail = Trail(2, wall=lambda: float(next(times)))
    trail.add("rpc", "first", {})
    for size in (1, 2, 3):
        trail.add("rpc", "again", {"size": size})
    trail.add("query", "again", {})
    kept = [(each["category"], each["timestamp"], each["data"]) for each in trail.all()]
    assert kept == [("rpc", 3.0, {"size": 3, "times": 3}), ("query", 4.0, {})]


def test_equal_reports_are_held_back_for_a_while_and_counted() -> None:
    now = 0.0
    quiet = Quiet(10.0, clock=lambda: now)
    assert quiet.pass_on("a", "b") == 0
    assert quiet.pass_on("a", "b") is None
    assert quiet.pass_on("a", "c") == 0
    now = 9.9
    assert quiet.pass_on("a", "b") is None
    now = 10.0
    assert quiet.pass_on("a", "b") == 2
    assert quiet.pass_on("a", "b") is None
