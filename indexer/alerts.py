"""`indexer alerts`: what Alertmanager told us, newest first."""

from __future__ import annotations

import sys
import time

import msgspec

from indexer import journal
from indexer.core.moments import read_since
from indexer.core.redaction import Redactor
from indexer.http.alerts import entry_as_json
from indexer.leading import existing_database
from indexer.settings import Settings
from indexer.store.alerts import AlertJournal, StoredAlert


async def show(
    settings: Settings, redact: Redactor, limit: int, since: str | None, *, firing: bool, as_json: bool
) -> int:
    """Print the newest so many entries received since then, or only the alerts that fire.

    Raises:
        UserMistake: `since` is no time.
        Unavailable: the database does not answer, or there is none yet.
    """
    journal.setup(redact, style=settings.journal.format, level="error")
    moment = None if since is None else read_since(since, time.time())
    async with existing_database(settings, read_only=True) as store:
        alerts = AlertJournal(store)
        found = await (alerts.firing(limit, since=moment) if firing else alerts.read(limit, since=moment))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode({"alerts": list(map(entry_as_json, found))}) + b"\n")
        return 0
    sys.stdout.write("".join(map(_text, found)) or ("no alert fires\n" if firing else "no alerts\n"))
    return 0


def _text(entry: StoredAlert) -> str:
    alert = entry.alert
    when = alert.starts_at if alert.ends_at is None else alert.ends_at
    told = alert.annotations.get("summary") or alert.annotations.get("description") or ""
    return (
        f"{when.isoformat(timespec='seconds')}  {alert.status:8}  {entry.severity or '-':8}  "
        f"{entry.service or '-':10}  {alert.name}" + (f": {told}" if told else "") + "\n"
    )
