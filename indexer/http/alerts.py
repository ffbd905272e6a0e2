"""`/api/v1/alerts`: takes what Alertmanager tells, and shows the history; both with a token only."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from aiohttp import web

from indexer import journal
from indexer.core.alert import Alert, AlertStatus, Message, read_message
from indexer.core.errors import IndexerError, UserMistake
from indexer.core.moments import read_since

log = journal.get(__name__)

WEBHOOK_PATH = "/api/v1/alerts/webhook"
HISTORY_PATH = "/api/v1/alerts/history"
#: A message of a thousand alerts has about half of it.
MOST_BYTES = 4 * 1024 * 1024
#: How long the database may take: Alertmanager waits at least ten seconds, and tries again.
_ANSWER_SECONDS = 8.0
_MOST_SHOWN = 1_000
_SHOWN = 100


class Entry(Protocol):
    """An entry of the history."""

    @property
    def id(self) -> int: ...
    @property
    def received_at(self) -> datetime: ...
    @property
    def receiver(self) -> str: ...
    @property
    def alert(self) -> Alert: ...


class AlertStore(Protocol):
    """Where alerts are kept; each method raises an error of ours when the database is away."""

    async def record(self, message: Message) -> Mapping[AlertStatus, int]: ...
    async def read(
        self, limit: int, *, since: datetime | None = None, status: AlertStatus | None = None
    ) -> Sequence[Entry]: ...


class AlertPages:
    """Both pages. They answer 503 for as long as there is no store, so that Alertmanager tries again.

    Args:
        token: who knows it may write and read; None: nobody may.
        count: is told how many alerts of a status were new.
        wall: the time, in Unix seconds.
    """

    def __init__(
        self, token: str | None, *, count: Callable[[AlertStatus, int], None], wall: Callable[[], float]
    ) -> None:
        self._token = token
        self._count = count
        self._wall = wall
        #: None until the database is there and has the table.
        self.store: AlertStore | None = None

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve them under their paths."""
        router.add_post(WEBHOOK_PATH, self._receive)
        router.add_get(HISTORY_PATH, self._show)

    async def _receive(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            message = read_message(await request.read())
        except UserMistake as error:
            log.warning("alerts not understood", reason=str(error))
            return _answer(400, error=str(error))
        store = self.store
        if store is None:
            return _away("there is no database yet")
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                new = await store.record(message)
        except (IndexerError, TimeoutError) as error:
            return _away(str(error) or "it did not answer in time")
        self._note(message, new)
        return _answer(200, received=len(message.alerts), new=sum(new.values()))

    def _note(self, message: Message, new: Mapping[AlertStatus, int]) -> None:
        for status, number in new.items():
            self._count(status, number)
        if message.truncated:
            log.warning("alerts left out by Alertmanager", alerts=message.truncated)

    async def _show(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            limit, since, status = self._wanted(request.query)
        except UserMistake as error:
            return _answer(400, error=str(error))
        store = self.store
        if store is None:
            return _away("there is no database yet")
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                found = await store.read(limit, since=since, status=status)
        except (IndexerError, TimeoutError) as error:
            return _away(str(error) or "it did not answer in time")
        return _answer(200, alerts=[entry_as_json(each) for each in found])

    def _wanted(self, query: Mapping[str, str]) -> tuple[int, datetime | None, AlertStatus | None]:
        limit, since, status = query.get("limit", str(_SHOWN)), query.get("since"), query.get("status")
        if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= _MOST_SHOWN):
            raise UserMistake(f"limit must be a number from 1 to {_MOST_SHOWN}")
        moment = None if since is None else read_since(since, self._wall())
        match status:
            case None | "firing" | "resolved":
                return int(limit), moment, status
        raise UserMistake("status must be firing or resolved")

    def _refusal(self, request: web.Request) -> web.Response | None:
        """The answer to somebody who may not be here; None: go on."""
        if self._token is None:
            return _answer(403, error="no token is configured: set ALERT_WEBHOOK_TOKEN")
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        # As long for a wrong token as for the right one: how much of it fits must not show.
        right = hmac.compare_digest(given.strip().encode(errors="replace"), self._token.encode())
        if scheme.lower() == "bearer" and right:
            return None
        response = _answer(401, error="the token is missing or wrong")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response


def entry_as_json(entry: Entry) -> dict[str, object]:
    """An entry of the history, as it is shown."""
    alert = entry.alert
    return {
        "id": entry.id,
        "received_at": entry.received_at.isoformat(),
        "status": alert.status,
        "name": alert.name,
        "severity": alert.labels.get("severity"),
        "service": alert.labels.get("service"),
        "starts_at": alert.starts_at.isoformat(),
        "ends_at": None if alert.ends_at is None else alert.ends_at.isoformat(),
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "fingerprint": alert.fingerprint,
        "generator_url": alert.generator_url,
        "receiver": entry.receiver,
    }


def _away(reason: str) -> web.Response:
    # The words of the driver stay in the journal, which knows what to hide.
    log.warning("alerts cannot be kept or read for now", reason=reason)
    return _answer(503, error="the database is not available; send it again later")


def _answer(status: int, **body: object) -> web.Response:
    return web.json_response(
        body,
        status=status,
        headers={"Cache-Control": "no-store"},
        dumps=lambda value: json.dumps(value, ensure_ascii=False),
    )
