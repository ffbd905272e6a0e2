"""Messages of Alertmanager's webhook, times as people write them, and the receivers of a printed configuration."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from indexer.alertmanager import receivers_of
from indexer.core.alert import read_message
from indexer.core.errors import UserMistake
from indexer.core.moments import read_since

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def message(**changes: Any) -> dict[str, Any]:
    alert = {
        "status": "firing",
        "labels": {"alertname": "IndexerLag", "severity": "warning"},
        "annotations": {"summary": "late"},
        "startsAt": "2026-01-31T11:59:59.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "8a326423347e30af",
    }
    return {
        "version": "4",
        "receiver": "webhook",
        "status": "firing",
        "truncatedAlerts": 3,
        "groupKey": "{}:{}",
        "alerts": [alert | changes],
    }


def test_a_firing_alert_has_no_end_whatever_stands_in_the_message() -> None:
    read = read_message(json.dumps(message()).encode())
    (alert,) = read.alerts
    assert (read.receiver, read.truncated) == ("webhook", 3)
    assert (alert.name, alert.status, alert.ends_at) == ("IndexerLag", "firing", None)
    assert alert.starts_at == datetime(2026, 1, 31, 11, 59, 59, 123457, tzinfo=UTC)


def test_an_alert_that_is_over_has_its_end_in_utc() -> None:
    over = message(status="resolved", endsAt="2026-01-31T13:00:00+01:00")
    (alert,) = read_message(json.dumps(over).encode()).alerts
    assert (alert.status, alert.ends_at) == ("resolved", NOW)


def test_what_the_database_cannot_hold_is_replaced() -> None:
    (alert,) = read_message(json.dumps(message(annotations={"a\0": "b\0c"})).encode()).alerts
    assert alert.annotations == {"a\ufffd": "b\ufffdc"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"\xff"',
        b"[" * 100_000,
        json.dumps({"version": "3", "alerts": []}).encode(),
        json.dumps({"version": "4"}).encode(),
        json.dumps(message(status="waiting")).encode(),
        json.dumps(message(labels={"a": 1})).encode(),
        json.dumps(message(startsAt="yesterday")).encode(),
        json.dumps(message(startsAt="0001-01-01T00:00:00+05:00")).encode(),
        json.dumps(message(fingerprint=None)).encode(),
    ],
)
def test_what_is_no_message_of_alertmanager_is_refused(body: bytes) -> None:
    with pytest.raises(UserMistake, match="not a message of Alertmanager, version 4"):
        read_message(body)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", datetime(2026, 1, 31, 11, 58, 30, tzinfo=UTC)),
        ("30m", datetime(2026, 1, 31, 11, 30, tzinfo=UTC)),
        ("24h", datetime(2026, 1, 30, 12, tzinfo=UTC)),
        ("7d", datetime(2026, 1, 24, 12, tzinfo=UTC)),
        ("2w", datetime(2026, 1, 17, 12, tzinfo=UTC)),
        ("2026-01-31T13:00:00+01:00", NOW),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_time_is_so_long_ago_or_a_date(text: str, moment: datetime) -> None:
    assert read_since(text, NOW.timestamp()) == moment


@pytest.mark.parametrize(
    "text", ["", "24", "h", "-1h", "999999w", "1.5h", "yesterday", "0001-01-01T00:00:00+05:00"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UserMistake, match="is no time"):
        read_since(text, NOW.timestamp())


def test_the_receivers_of_a_printed_configuration_are_told_with_what_each_has() -> None:
    printed = """\
route:
  receiver: warning
receivers:
- name: critical
  slack_configs:
  - send_resolved: true
    fields:
    - title: a
  - send_resolved: true
  pagerduty_configs:
  - send_resolved: true
- name: "quoted"
  webhook_configs:
  - send_resolved: true
- name: nobody
templates:
- /etc/alertmanager/templates/*.tmpl
"""
    assert receivers_of(printed) == {
        "critical": {"slack": 2, "pagerduty": 1},
        "quoted": {"webhook": 1},
        "nobody": {},
    }
