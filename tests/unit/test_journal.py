"""The journal: one JSON object a line, with fields, batch ids, causes, and without secrets."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from indexer import journal
from indexer.core.redaction import Redactor

SECRET = "sk-live-0123456789abcdef"
log = journal.get("indexer.test")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The journal of one test; the process's own logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook
    stream = io.StringIO()
    journal.setup(Redactor([f"https://node.example/{SECRET}"]), style="json", stream=stream)
    yield stream
    root.handlers, root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)
    journal.marks.chain = None


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_with_its_fields_flat(lines: io.StringIO) -> None:
    log.info(
        "caught up", head=17, cursor=16, hash=b"\xab\xcd", text='a "b"\nc', none=None, big=2**64, on=True
    )
    (record,) = records(lines)
    moment = datetime.fromisoformat(record.pop("@timestamp"))
    assert moment.tzinfo == UTC
    assert moment.microsecond % 1000 == 0
    assert record == {
        "level": "info",
        "logger": "indexer.test",
        "service": "evm-indexer",
        "message": "caught up",
        "head": 17,
        "cursor": 16,
        "hash": "0xabcd",
        "text": 'a "b"\nc',
        "none": None,
        "big": "18446744073709551616",
        "on": True,
    }


def test_a_field_cannot_take_the_place_of_the_lines_own_keys(lines: io.StringIO) -> None:
    log.warning(
        "reorg", level="deep", message="m", service="other", odd=float("nan"), nested={"a": [b"\x01"]}
    )
    (record,) = records(lines)
    assert (record["level"], record["level_"]) == ("warning", "deep")
    assert (record["message"], record["message_"]) == ("reorg", "m")
    assert (record["service"], record["service_"]) == ("evm-indexer", "other")
    assert (record["odd"], record["nested"]) == ("nan", {"a": ["0x01"]})


def test_an_error_comes_with_its_text_its_stack_and_its_causes(lines: io.StringIO) -> None:
    def fail() -> None:
        try:
            raise ConnectionError(f"refused by https://node.example/{SECRET}")
        except ConnectionError as error:
            raise RuntimeError("no head") from error

    try:
        fail()
    except RuntimeError as caught:
        log.exception("failed", endpoint="rpc-1")
        log.error("failed again", error=caught)
    first, second = records(lines)
    assert (first["error"], first["level"]) == ("RuntimeError: no head", "error")
    assert "ConnectionError: refused by ***" in first["stack"]
    assert second["error"] == "RuntimeError: no head"
    assert "stack" not in second


def test_no_secret_gets_through_in_any_part_of_a_record(lines: io.StringIO) -> None:
    log.info(f"phrase {SECRET}", field=SECRET, deep={"k": [SECRET], SECRET: 1}, error=ValueError(SECRET))
    logging.getLogger("somebody.else").warning("to %s", SECRET, extra={"fields": {"url": SECRET}})
    warnings.showwarning(UserWarning(SECRET), UserWarning, "file", 1)
    try:
        raise KeyError(SECRET)
    except KeyError:
        log.critical("failed", exc_info=True, stack_info=True)
    assert SECRET not in lines.getvalue()
    assert len(records(lines)) == 4


async def test_all_that_happens_in_a_batch_carries_its_id(lines: io.StringIO) -> None:
    async def work(phrase: str) -> None:
        with journal.batch():
            log.info(phrase)
            await asyncio.sleep(0)
            await asyncio.to_thread(log.info, phrase)

    await asyncio.gather(work("one"), work("two"))
    log.info("outside")
    found = records(lines)
    ids = {
        phrase: {r["correlation_id"] for r in found if r["message"] == phrase} for phrase in ("one", "two")
    }
    assert [len(each) for each in ids.values()] == [1, 1]
    assert ids["one"] != ids["two"]
    assert "correlation_id" not in found[-1]


def test_every_line_names_the_chain_as_soon_as_it_is_known(lines: io.StringIO) -> None:
    log.info("unknown")
    journal.chain_is("31337")
    log.info("known")
    first, second = records(lines)
    assert "chain" not in first
    assert second["chain"] == "31337"


def test_the_lines_of_each_level_are_counted(lines: io.StringIO) -> None:
    levels: list[str] = []
    journal.setup(Redactor(), style="json", stream=io.StringIO(), counted=levels.append)
    log.debug("not written")
    log.info("one")
    logging.getLogger("somebody.else").error("two")
    assert levels == ["info", "error"]


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


def test_a_record_that_cannot_be_written_leaves_a_line_that_says_so(lines: io.StringIO) -> None:
    # The test runner's own handlers would raise what ours has to survive.
    root = logging.getLogger()
    root.handlers = [each for each in root.handlers if type(each).__module__ == journal.__name__]
    log.error("broken", value=_Unprintable())
    logging.getLogger("other").error("%d", "no number")
    first, second = records(lines)
    assert (first["message"], first["failure"]) == ("journal record not writable", "RuntimeError")
    assert (second["logger"], second["failure"]) == ("other", "TypeError")
    assert SECRET not in lines.getvalue()


def test_what_nobody_caught_is_journalled(lines: io.StringIO) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)

    def fail() -> None:
        raise ValueError("in a thread")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    first, second = records(lines)
    assert (first["level"], first["error"]) == ("critical", "ValueError: ***")
    assert (second["message"], second["error"]) == (
        "a thread ended by an unforeseen error",
        "ValueError: in a thread",
    )


def test_setting_it_up_again_replaces_the_former_setup(lines: io.StringIO) -> None:
    log.debug("not written")
    again = io.StringIO()
    journal.setup(Redactor(["other-secret"]), style="auto", level="debug", stream=again)
    log.debug("written", value="other-secret")
    assert lines.getvalue() == ""
    assert [(r["message"], r["value"]) for r in records(again)] == [("written", "***")]


def test_for_a_person_it_writes_text(lines: io.StringIO) -> None:
    text = io.StringIO()
    text.isatty = lambda: True  # type: ignore[method-assign]
    journal.setup(Redactor([SECRET]), stream=text)
    with journal.batch("abc"):
        log.warning("reorg", depth=2, note=f"two words {SECRET}", name="one")
    line = text.getvalue()
    assert line.endswith(
        'warning reorg  depth=2  note="two words ***"  name=one  correlation=abc  (indexer.test)\n'
    )
