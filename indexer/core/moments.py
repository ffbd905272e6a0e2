"""Points in time as people write them: so long ago, or a date."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from indexer.core.errors import UserMistake

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_since(text: str, now: float) -> datetime:
    """The moment that `24h` (so long before now, in Unix seconds) or an ISO 8601 time means; without zone: UTC.

    Raises:
        UserMistake: it is neither.
    """
    try:
        if ago := _AGO.fullmatch(text):
            return datetime.fromtimestamp(now, UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UserMistake(
            f"{text[:40]!r} is no time: write 30m, 24h or 7d, or 2026-01-31T12:00:00Z"
        ) from error
