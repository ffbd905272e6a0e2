"""The journal of alerts that Alertmanager told us."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from indexer.core.alert import Alert, AlertStatus, Message
from indexer.store.database import Connection, Database

#: What is there already stays as it is: repeated messages leave no second row.
RECORD = """
    insert into indexer.alert (
        fingerprint, status, name, severity, service, labels, annotations, starts_at, ends_at, generator_url, receiver
    ) values ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8, $9, $10, $11)
    on conflict do nothing
    returning status
"""
READ = """
    select * from indexer.alert
    where ($2::timestamptz is null or received_at >= $2) and ($3::text is null or status = $3)
    order by id desc limit $1
"""
#: The last word on each alert, where that is not that it is over.
READ_FIRING = """
    select * from (
        select distinct on (fingerprint) * from indexer.alert
        order by fingerprint, starts_at desc, status = 'resolved' desc
    ) as last
    where status = 'firing' and ($2::timestamptz is null or received_at >= $2)
    order by id desc limit $1
"""


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """One entry of the journal."""

    id: int
    received_at: datetime
    severity: str | None
    service: str | None
    receiver: str
    alert: Alert


class AlertJournal:
    """Writes and reads the journal; it needs no leadership, because it changes no rows of the chain."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, message: Message) -> Mapping[AlertStatus, int]:
        """Add what is new of the message, all or nothing; how many alerts were new, by their status.

        Raises:
            Unavailable, UserMistake, Fatal: the database takes nothing; nothing was recorded.
        """
        new: Counter[AlertStatus] = Counter()
        # Also over a connection that is otherwise for reading: whoever has halted still takes alerts.
        async with self._database.transaction(isolation="read committed read write") as connection:
            # In the same order everywhere: two that insert the same alerts must not wait for each other.
            for alert in sorted(message.alerts, key=lambda each: each.fingerprint):
                if await self._insert(connection, alert, message.receiver):
                    new[alert.status] += 1
        return new

    @staticmethod
    async def _insert(connection: Connection, alert: Alert, receiver: str) -> bool:
        inserted = await connection.fetchval(
            RECORD,
            alert.fingerprint,
            alert.status,
            alert.name,
            alert.labels.get("severity"),
            alert.labels.get("service"),
            json.dumps(alert.labels),
            json.dumps(alert.annotations),
            alert.starts_at,
            alert.ends_at,
            alert.generator_url,
            receiver,
        )
        return inserted is not None

    async def read(
        self, limit: int, *, since: datetime | None = None, status: AlertStatus | None = None
    ) -> tuple[StoredAlert, ...]:
        """The newest entries, newest first: at most so many, received since then, of that status."""
        async with self._database.connection() as connection:
            return tuple(map(_stored, await connection.fetch(READ, limit, since, status)))

    async def firing(self, limit: int, *, since: datetime | None = None) -> tuple[StoredAlert, ...]:
        """The entries of alerts that fire as far as we were told, newest first."""
        async with self._database.connection() as connection:
            return tuple(map(_stored, await connection.fetch(READ_FIRING, limit, since)))


def _stored(row: asyncpg.Record) -> StoredAlert:
    return StoredAlert(
        id=row["id"],
        received_at=row["received_at"],
        severity=row["severity"],
        service=row["service"],
        receiver=row["receiver"],
        alert=Alert(
            fingerprint=row["fingerprint"],
            status=row["status"],
            labels=json.loads(row["labels"]),
            annotations=json.loads(row["annotations"]),
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            generator_url=row["generator_url"],
        ),
    )
