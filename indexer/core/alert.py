"""Alerts as Alertmanager's webhook tells them, read and checked.

Source: Prometheus documentation, "Alerting configuration", webhook_config (message version 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

from indexer.core.errors import UserMistake

AlertStatus = Literal["firing", "resolved"]

#: PostgreSQL stores no NUL in a text.
_NUL, _REPLACEMENT = "\0", "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a message: it began to fire, or it is over."""

    #: Of its labels, as Alertmanager computes it.
    fingerprint: str
    status: AlertStatus
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    #: None while it fires.
    ends_at: datetime | None
    generator_url: str

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")


@dataclass(frozen=True, slots=True)
class Message:
    """What one call of the webhook says."""

    #: The receiver of Alertmanager's configuration that led here.
    receiver: str
    alerts: tuple[Alert, ...]
    #: Alerts of the group that were left out, because the receiver has a limit.
    truncated: int


class _WireAlert(msgspec.Struct, rename="camel"):
    status: AlertStatus
    labels: dict[str, str]
    fingerprint: str
    starts_at: datetime
    ends_at: datetime | None = None
    annotations: dict[str, str] = {}
    generator_url: str = msgspec.field(default="", name="generatorURL")


class _WireMessage(msgspec.Struct, rename="camel"):
    version: Literal["4"]
    alerts: list[_WireAlert]
    receiver: str = ""
    truncated_alerts: int = 0


_READ = msgspec.json.Decoder(_WireMessage).decode


def read_message(body: bytes) -> Message:
    """The message of a call of the webhook.

    Raises:
        UserMistake: it is not one of version 4; says where it differs.
    """
    try:
        wire = _READ(body)
        alerts = tuple(map(_alert, wire.alerts))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise UserMistake(f"not a message of Alertmanager, version 4: {error}") from error
    return Message(_storable(wire.receiver), alerts, wire.truncated_alerts)


def _alert(wire: _WireAlert) -> Alert:
    return Alert(
        fingerprint=_storable(wire.fingerprint),
        status=wire.status,
        labels=_all_storable(wire.labels),
        annotations=_all_storable(wire.annotations),
        starts_at=_in_utc(wire.starts_at),
        # While it fires this is the year 1, or when Prometheus would stop repeating it.
        ends_at=None if wire.status == "firing" or wire.ends_at is None else _in_utc(wire.ends_at),
        generator_url=_storable(wire.generator_url),
    )


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _storable(text: str) -> str:
    return text.replace(_NUL, _REPLACEMENT)


def _all_storable(texts: Mapping[str, str]) -> dict[str, str]:
    return {_storable(name): _storable(value) for name, value in texts.items()}
