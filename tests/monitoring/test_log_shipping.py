"""Copies of the journal's lines on their way to Logstash: whole and once, or counted as dropped; never in the way."""

from __future__ import annotations

import io
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from indexer import journal
from indexer.core.redaction import Redactor
from indexer.shipping import Pace, Room, ship, stop_shipping
from tests.fixtures.logstash import LineReceiver, receiver
from tests.fixtures.program import PATIENCE_SECONDS, POLL_SECONDS

SECRET = "sk-live-0123456789abcdef"
QUICK = Pace(
    connect=5.0, stall=60.0, first_pause=0.02, longest_pause=0.05, announce=0.0, flush=PATIENCE_SECONDS
)
#: Together more than the system takes for a connection that nobody reads.
MANY, LONG = 600, "x" * 50_000
log = journal.get("indexer.test")


def as_is(text: str) -> str:
    """Hides nothing: looking for secrets in megabytes takes its time."""
    return text


@pytest.fixture
def journalled() -> Iterator[io.StringIO]:
    """Standard error of one test; the process's own logging is put back afterwards, and shipping stopped."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook
    stream = io.StringIO()
    journal.setup(as_is, style="json", stream=stream, chain="сеть-1")
    yield stream
    stop_shipping()
    left = threads()
    root.handlers, root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)
    journal.marks.chain = None
    assert not left, "the thread should have ended"


def threads() -> list[threading.Thread]:
    """Those that carry lines."""
    return [each for each in threading.enumerate() if each.name == "log shipping"]


@pytest.fixture
def logstash() -> Iterator[LineReceiver]:
    with receiver() as made:
        yield made


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return when it is true; nobody announces it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true that {what}"
        threading.Event().wait(POLL_SECONDS)


def said(stream: io.StringIO, message: str) -> list[dict[str, Any]]:
    """The records with this message, of which there is soon at least one."""
    wait_until(lambda: f'"message": "{message}"' in stream.getvalue(), f"it said {message!r}")
    return [each for each in records(stream) if each["message"] == message]


def memory_bytes() -> int:
    """What the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_every_line_arrives_once_in_order_and_as_standard_error_has_it(
    journalled: io.StringIO, logstash: LineReceiver
) -> None:
    redact = Redactor([SECRET])
    journal.setup(redact, style="json", stream=journalled, chain="сеть-1")
    shipped = ship(logstash.address, redact, pace=QUICK)
    for number in range(2_000):
        with journal.batch():
            log.info("written", number=number, text=f"ünïcode ☃ {SECRET}", note="𝄞")
    stop_shipping()
    logstash.until(lines=2_000)
    own = [each for each in records(journalled) if not each["logger"].startswith("indexer.shipping")]
    assert logstash.records == own
    assert [each["number"] for each in own] == list(range(2_000))
    assert own[0]["chain"] == "сеть-1"
    assert own[0]["text"] == "ünïcode ☃ ***"
    assert "☃".encode() in logstash.lines[0]
    assert SECRET.encode() not in b"".join(logstash.lines)
    assert (shipped.sent, shipped.queued, sum(shipped.dropped.values())) == (2_000, 0, 0)


def test_a_line_is_json_for_logstash_also_where_a_person_reads_standard_error(
    journalled: io.StringIO, logstash: LineReceiver
) -> None:
    text = io.StringIO()
    journal.setup(Redactor(), style="text", stream=text)
    ship(logstash.address, as_is, pace=QUICK)
    log.warning("reorg", depth=2)
    stop_shipping()
    logstash.until(lines=1)
    assert logstash.records[0]["depth"] == 2
    assert "reorg  depth=2" in text.getvalue()


def test_lines_of_an_outage_wait_and_those_without_room_are_counted_and_told(journalled: io.StringIO) -> None:
    port = free_port()
    shipped = ship(("127.0.0.1", port), as_is, room=Room(lines=10), pace=QUICK)
    for number in range(25):
        log.info("written", number=number)
    assert "refused" in said(journalled, "no log lines go to Logstash")[0]["reason"]
    dropped = "log lines were not shipped"
    wait_until(lambda: said(journalled, dropped)[-1]["in_all"] == 15, "all that was dropped is told")
    assert sum(each["lines"] for each in said(journalled, dropped)) == 15
    assert said(journalled, dropped)[-1]["reasons"] == {"queue_full": 15}
    assert (shipped.queued, shipped.dropped["queue_full"]) == (10, 15)
    with receiver(port) as logstash:
        logstash.until(lines=10)
        assert [each["number"] for each in logstash.records] == list(range(10)), "the oldest are kept"
        wait_until(lambda: shipped.queued == 0, "there is room again")
        log.info("written", number=25)
        logstash.until(lines=11)
        stop_shipping()
        assert logstash.records[-1]["number"] == 25
    # An outage is told once, however often it was tried to end it.
    assert len(said(journalled, "no log lines go to Logstash")) == 1
    assert len(said(journalled, "log lines go to Logstash")) == 1
    assert shipped.sent == 11


@pytest.mark.parametrize("away", [True, False], ids=["nobody listens", "it accepts and does not read"])
def test_memory_is_bounded_whatever_is_written_while_nobody_reads(
    journalled: io.StringIO, away: bool
) -> None:
    lines, text = 200_000, "x" * 1_000
    quiet = logging.getLogger("indexer.test")
    with receiver(reads=False) as hanging:
        address = ("127.0.0.1", free_port()) if away else hanging.address
        room = Room(lines=1_000_000, bytes=4 << 20)
        shipped = ship(address, as_is, room=room, pace=Pace(flush=0.2, first_pause=0.02, longest_pause=0.05))
        # Standard error's part in it is not what is measured here.
        root = logging.getLogger()
        root.handlers = [shipped]
        before = memory_bytes()
        for number in range(lines):
            quiet.info("pressed", extra={"fields": {"number": number, "text": text}})
        grown = memory_bytes() - before
        queued, dropped = shipped.queued, dict(shipped.dropped)
        assert queued * len(text) <= room.bytes
        assert dropped["queue_full"] > lines - 50_000
        assert shipped.sent + queued + sum(dropped.values()) == lines
        assert grown < 40 << 20, f"{grown:,} bytes more, with {lines * len(text):,} written"
        stop_shipping()
        assert shipped.queued == 0
        assert shipped.sent + sum(shipped.dropped.values()) == lines
        assert away == (shipped.sent == 0)


def test_who_reads_late_gets_all_that_waited(journalled: io.StringIO) -> None:
    with receiver(reads=False) as late:
        shipped = ship(late.address, as_is, room=Room(bytes=64 << 20), pace=QUICK)
        for number in range(MANY):
            log.info("written", number=number, text=LONG)
        late.until(accepted=1)
        assert shipped.queued > 0, "more than the system holds should have been written"
        late.read_on()
        stop_shipping()
        late.until(lines=MANY)
        assert [each["number"] for each in late.records] == list(range(MANY))
        assert late.accepted == 1
        assert sum(shipped.dropped.values()) == 0


def test_a_connection_that_takes_nothing_for_too_long_is_made_anew(journalled: io.StringIO) -> None:
    pace = Pace(stall=0.3, first_pause=0.02, longest_pause=0.05, flush=PATIENCE_SECONDS)
    with receiver(reads=False) as hanging:
        ship(hanging.address, as_is, room=Room(bytes=64 << 20), pace=pace)
        for number in range(MANY):
            log.info("written", number=number, text=LONG)
        hanging.until(accepted=2)
        hanging.read_on()
        stop_shipping()
        hanging.until(lines=MANY)
    numbers = [each["number"] for each in hanging.records]
    assert sorted(numbers) == list(range(MANY)), "each line once, over either connection"
    assert "it took nothing for" in said(journalled, "no log lines go to Logstash")[0]["reason"]


def test_a_line_after_the_other_side_hung_up_goes_over_a_new_connection(
    journalled: io.StringIO, logstash: LineReceiver
) -> None:
    ship(logstash.address, as_is, pace=QUICK)
    for number in range(20):
        log.info("written", number=number)
        logstash.until(lines=number + 1)
        logstash.hang_up()
    stop_shipping()
    assert [each["number"] for each in logstash.records] == list(range(20))
    assert logstash.accepted == 20
    assert logstash.fragments == []


def test_a_line_that_went_in_part_is_sent_again_as_a_whole(journalled: io.StringIO) -> None:
    with receiver(reads=False) as broken:
        shipped = ship(broken.address, as_is, room=Room(bytes=64 << 20), pace=QUICK)
        for number in range(MANY):
            log.info("written", number=number, text=LONG)
        broken.until(accepted=1)
        wait_until(lambda: shipped.sent > 0, "some lines are on their way")
        broken.hang_up(reset=True)
        broken.read_on()
        stop_shipping()
        broken.until(accepted=2)
        numbers = [each["number"] for each in broken.records]
    # What the system had taken and not delivered is lost with the connection: nobody can know how much that is.
    assert numbers == list(range(numbers[0], MANY))
    assert broken.fragments == []
    assert shipped.sent == MANY


def test_to_end_takes_no_longer_than_the_limit_and_what_is_left_is_counted(journalled: io.StringIO) -> None:
    pace = Pace(stall=600.0, flush=0.3, first_pause=0.02, longest_pause=0.05)
    with receiver(reads=False) as hanging:
        shipped = ship(hanging.address, as_is, room=Room(bytes=64 << 20), pace=pace)
        for _ in range(MANY):
            log.info("written", text=LONG)
        stop_shipping()
        log.info("after")
        wait_until(lambda: not threads(), "nobody carries lines any more")
    assert shipped.dropped["shutdown"] == MANY - shipped.sent > 0
    told = said(journalled, "log lines were not shipped")[-1]
    assert told["reasons"] == {"shutdown": shipped.dropped["shutdown"]}


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


def test_a_line_that_is_too_long_or_cannot_be_written_is_counted_and_the_next_one_goes(
    journalled: io.StringIO, logstash: LineReceiver
) -> None:
    shipped = ship(logstash.address, as_is, room=Room(line_bytes=1_000), pace=QUICK)
    log.info("too long", text="x" * 1_000)
    log.info("broken", value=_Unprintable())
    log.info("half a pair", text="\ud83d")
    log.info("fine")
    stop_shipping()
    logstash.until(lines=2)
    assert [each["message"] for each in logstash.records] == ["half a pair", "fine"]
    assert (shipped.dropped["too_large"], shipped.dropped["not_writable"]) == (1, 1)


def test_nobody_to_ship_to_is_no_trouble_at_the_end(journalled: io.StringIO) -> None:
    # A name that no resolver knows: RFC 6761 keeps it so.
    ship(("logstash.invalid", 5000), as_is, pace=Pace(flush=5.0))
    log.info("written")
    stop_shipping()
    stop_shipping()
    assert said(journalled, "log lines were not shipped")[0]["reasons"] == {"shutdown": 1}
