"""`indexer alerts test`: one alert through Alertmanager, and which channels took it."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from indexer import journal
from indexer.alertmanager import Alertmanager, Routed, Sent, reaching
from indexer.core.errors import IndexerError
from indexer.core.redaction import Redactor
from indexer.leading import existing_database
from indexer.settings import Settings
from indexer.store.alerts import AlertJournal

#: The routes send alerts of this name at once.
NAME = "AlertTest"
#: What tells this test's alert from those of others.
MARK = "test"
#: How often Alertmanager is asked how far it is.
_POLL_SECONDS = 0.5
#: Should we be killed, the alert is over after this all the same.
_LONGEST = timedelta(minutes=15)
#: How many entries of the history are looked through for ours.
_RECENT = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command was asked for."""

    severity: str
    service: str
    #: None: the configured one.
    alertmanager_url: str | None
    #: How long channels may take.
    seconds: float


class ChannelLine(msgspec.Struct, kw_only=True):
    """What became of one kind of channel, as it is printed."""

    #: As Alertmanager calls it: slack, pagerduty, email, webhook …
    channel: str
    receivers: list[str]
    expected: int
    delivered: int
    failed: int
    #: ``delivered``, ``failed`` or ``silent``.
    result: str


class Report(msgspec.Struct, kw_only=True):
    """Everything that is printed."""

    test: str
    severity: str
    service: str
    receivers: list[str]
    channels: list[ChannelLine]
    #: Whether our own webhook stored it; None: that could not be told.
    stored: bool | None
    #: Why nobody was told, or what is missing.
    problems: list[str]


async def test(settings: Settings, redact: Redactor, wanted: Wanted, *, as_json: bool) -> int:
    """Send a test alert, wait for every channel of its receivers, print what became of it; then it is over.

    Returns: 0: every channel took it, 1: one did not, or there is none that reaches a person.

    Raises:
        Unavailable, Inconsistent: Alertmanager does not answer.
    """
    journal.setup(redact, style=settings.journal.format, level="error")
    url = wanted.alertmanager_url or settings.alerts.alertmanager_url
    async with reaching(url.rstrip("/")) as alertmanager:
        report = await _tried(alertmanager, settings, wanted)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    else:
        sys.stdout.write(text_of(report))
    return 1 if report.problems else 0


async def _tried(alertmanager: Alertmanager, settings: Settings, wanted: Wanted) -> Report:
    mark = secrets.token_hex(4)
    labels = {
        "alertname": NAME,
        "severity": wanted.severity,
        "service": wanted.service,
        "team": "platform",
        # Of its own: a critical test must not mute the test of a warning.
        "group": f"alert_test_{mark}",
        MARK: mark,
    }
    annotations = {
        "summary": f"Test of the alert channels, severity {wanted.severity}",
        "description": f"Somebody ran `indexer alerts test`; nothing is wrong. Mark {mark}.",
    }
    integrations = await alertmanager.integrations()
    before = await alertmanager.sent()
    try:
        await alertmanager.post(labels, annotations, datetime.now(UTC) + _LONGEST)
        deadline = time.monotonic() + wanted.seconds
        routed = await _routed(alertmanager, mark, deadline)
        expected = _expected(integrations, routed)
        after = await _settled(alertmanager, before, expected, deadline)
        stored = await _stored(settings, mark, deadline) if "webhook" in expected else False
    finally:
        await alertmanager.post(labels, annotations, datetime.now(UTC))
    channels = [
        _line(name, integrations, routed, number, before, after) for name, number in sorted(expected.items())
    ]
    report = Report(
        test=mark,
        severity=wanted.severity,
        service=wanted.service,
        receivers=[] if routed is None else list(routed.receivers),
        channels=channels,
        stored=stored,
        problems=[],
    )
    report.problems = _problems(report, routed)
    return report


async def _routed(alertmanager: Alertmanager, mark: str, deadline: float) -> Routed | None:
    """What Alertmanager made of the alert, None if nothing in time."""
    while (routed := await alertmanager.routed(MARK, mark)) is None and time.monotonic() < deadline:  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(_POLL_SECONDS)
    return routed


def _expected(integrations: Mapping[str, Mapping[str, int]], routed: Routed | None) -> Counter[str]:
    """How many messages of each integration the alert should make."""
    expected: Counter[str] = Counter()
    if routed is not None and routed.muted is None:
        for receiver in routed.receivers:
            expected.update(integrations.get(receiver, {}))
    return expected


async def _settled(
    alertmanager: Alertmanager, before: Sent, expected: Mapping[str, int], deadline: float
) -> Sent:
    """The counts once every channel took the alert or failed to; or at the deadline."""

    def settled(after: Sent) -> bool:
        return all(
            _delivered(name, before, after) >= number or _failed(name, before, after)
            for name, number in expected.items()
        )

    while not settled(after := await alertmanager.sent()) and time.monotonic() < deadline:  # noqa: ASYNC110 - as above
        await asyncio.sleep(_POLL_SECONDS)
    return after


async def _stored(settings: Settings, mark: str, deadline: float) -> bool | None:
    """Whether the alert came back to us through the webhook; None: the database does not tell."""
    try:
        async with existing_database(settings, read_only=True) as store:
            alerts = AlertJournal(store)
            while True:
                if any(each.alert.labels.get(MARK) == mark for each in await alerts.read(_RECENT)):
                    return True
                if time.monotonic() >= deadline:
                    return False
                await asyncio.sleep(_POLL_SECONDS)
    except IndexerError:
        return None


def _failed(integration: str, before: Sent, after: Sent) -> int:
    return after.failures.get(integration, 0) - before.failures.get(integration, 0)


def _delivered(integration: str, before: Sent, after: Sent) -> int:
    attempts = after.attempts.get(integration, 0) - before.attempts.get(integration, 0)
    return attempts - _failed(integration, before, after)


def _line(
    name: str,
    integrations: Mapping[str, Mapping[str, int]],
    routed: Routed | None,
    expected: int,
    before: Sent,
    after: Sent,
) -> ChannelLine:
    delivered, failed = _delivered(name, before, after), _failed(name, before, after)
    return ChannelLine(
        channel=name,
        receivers=[
            each for each in (routed.receivers if routed else ()) if name in integrations.get(each, {})
        ],
        expected=expected,
        delivered=min(delivered, expected),
        failed=failed,
        result="failed" if failed else "delivered" if delivered >= expected else "silent",
    )


def _problems(report: Report, routed: Routed | None) -> list[str]:
    if routed is None:
        return ["Alertmanager took the alert and then did not show it"]
    if routed.muted is not None:
        return [f"the alert is {routed.muted}: nobody was told"]
    problems = [
        f"{each.channel}: {each.failed} requests failed; Alertmanager's own log says why"
        if each.failed
        else f"{each.channel}: {each.delivered} of {each.expected} messages sent in time"
        for each in report.channels
        if each.result != "delivered"
    ]
    if not any(each.channel != "webhook" for each in report.channels):
        problems.append(f"no channel reaches a person for severity {report.severity}")
    if report.stored is False and any(each.channel == "webhook" for each in report.channels):
        problems.append(
            "the indexer's history has not got it: is ALERT_WEBHOOK_TOKEN the same on both sides?"
        )
    return problems


def text_of(report: Report) -> str:
    """The report for people."""
    lines = [f"test alert {report.test}, severity {report.severity}, service {report.service}"]
    lines.append(f"  receivers  {', '.join(report.receivers) or 'none'}")
    lines += [
        f"  {each.channel:9}  {each.result} ({each.delivered} of {each.expected}, for {', '.join(each.receivers)})"
        for each in report.channels
    ]
    stored = {True: "stored", False: "not stored", None: "cannot tell: the database does not answer"}
    lines.append(f"  history    {stored[report.stored]}")
    lines += [f"problem: {each}" for each in report.problems] or ["every channel took it; it is resolved now"]
    return "\n".join(lines) + "\n"
