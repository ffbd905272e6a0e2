"""Our webhook and the history of alerts, over a real socket and a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from io import BytesIO
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from indexer.core.errors import Unavailable
from indexer.core.health import Limits
from indexer.core.redaction import Redactor
from indexer.http.alerts import HISTORY_PATH, MOST_BYTES, WEBHOOK_PATH, AlertPages
from indexer.http.report import Health, Readiness
from indexer.http.server import HttpServer
from indexer.metrics import Metrics
from indexer.store.alerts import AlertJournal
from indexer.store.database import Database, open_database

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

TOKEN = "a-token-of-the-tests-0123456789"
FIRST = "2026-01-31T12:00:00Z"


def alert(
    name: str, status: str = "firing", *, starts: str = FIRST, ends: str = "0001-01-01T00:00:00Z"
) -> Any:
    return {
        "status": status,
        "labels": {"alertname": name, "severity": "critical", "service": "indexer"},
        "annotations": {"summary": f"{name} says ✋"},
        "startsAt": starts,
        "endsAt": ends,
        "generatorURL": "http://prometheus/graph",
        "fingerprint": name.rjust(16, "0"),
    }


def message(*alerts: Any) -> dict[str, Any]:
    return {"version": "4", "receiver": "webhook", "truncatedAlerts": 0, "alerts": list(alerts)}


class Asked:
    """A server with the pages, and a client for it."""

    def __init__(
        self, server: HttpServer, pages: AlertPages, metrics: Metrics, session: aiohttp.ClientSession
    ) -> None:
        self.pages = pages
        self._server = server
        self._metrics = metrics
        self._session = session

    async def post(self, body: Any, token: str | None = TOKEN) -> tuple[int, Any]:
        data = BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        return await self._ask("POST", WEBHOOK_PATH, token, data=data)

    async def history(self, token: str | None = TOKEN, **query: str) -> tuple[int, Any]:
        return await self._ask("GET", HISTORY_PATH, token, params=query)

    async def _ask(self, method: str, path: str, token: str | None, **rest: Any) -> tuple[int, Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self._session.request(
            method, self._server.url + path, headers=headers, **rest
        ) as response:
            assert response.content_type == "application/json"
            return response.status, await response.json()

    async def counted(self) -> Mapping[str, float]:
        async with self._session.get(self._server.url + "/metrics") as response:
            families = list(text_string_to_metric_families(await response.text()))
        return {
            sample.labels["status"]: sample.value
            for family in families
            for sample in family.samples
            if sample.name == "indexer_alerts_received_total"
        }


async def serve(token: str | None) -> AsyncIterator[Asked]:
    metrics = Metrics("31337")
    health = Health(metrics, Readiness(), Limits(1_000, 1_000), probe_seconds=60, redact=Redactor([]))
    pages = AlertPages(token, count=metrics.alerts_received, wall=metrics.observed.wall)
    async with (
        HttpServer("127.0.0.1", 0, metrics, health, pages) as server,
        aiohttp.ClientSession() as session,
    ):
        yield Asked(server, pages, metrics, session)


@pytest_asyncio.fixture(loop_scope="session")
async def asked(database: Database) -> AsyncIterator[Asked]:
    async for each in serve(TOKEN):
        each.pages.store = AlertJournal(database)
        yield each


async def test_an_alert_is_kept_and_counted_once_however_often_it_is_told(asked: Asked) -> None:
    assert await asked.counted() == {"firing": 0, "resolved": 0}
    assert await asked.post(message(alert("A"), alert("B"))) == (200, {"received": 2, "new": 2})
    for _ in range(2):
        assert await asked.post(message(alert("A"), alert("B"))) == (200, {"received": 2, "new": 0})
    over = alert("A", "resolved", ends="2026-01-31T12:10:00Z")
    assert (await asked.post(message(over)))[1]["new"] == 1
    assert (await asked.post(message(over)))[1]["new"] == 0
    again = alert("A", starts="2026-01-31T13:00:00Z")
    assert (await asked.post(message(again)))[1]["new"] == 1
    assert await asked.counted() == {"firing": 3, "resolved": 1}
    status, body = await asked.history()
    assert status == 200
    assert [(each["name"], each["status"]) for each in body["alerts"]] == [
        ("A", "firing"),
        ("A", "resolved"),
        ("B", "firing"),
        ("A", "firing"),
    ]
    resolved = body["alerts"][1]
    assert resolved["ends_at"] == "2026-01-31T12:10:00+00:00"
    assert resolved["annotations"] == {"summary": "A says ✋"}
    assert (resolved["severity"], resolved["service"], resolved["receiver"]) == (
        "critical",
        "indexer",
        "webhook",
    )


async def test_the_same_alerts_told_at_the_same_time_from_two_sides_are_kept_once(asked: Asked) -> None:
    alerts = [alert(f"A{number}") for number in range(50)]
    answers = await asyncio.gather(
        *(asked.post(message(*order)) for order in (alerts, alerts[::-1]) for _ in range(3))
    )
    assert {status for status, _ in answers} == {200}
    assert sum(body["new"] for _, body in answers) == 50
    assert (await asked.counted())["firing"] == 50


async def test_what_fires_is_what_was_not_told_to_be_over(asked: Asked, database: Database) -> None:
    await asked.post(message(alert("A"), alert("B"), alert("C")))
    await asked.post(message(alert("A", "resolved", ends="2026-01-31T12:10:00Z")))
    await asked.post(message(alert("B", "resolved", ends="2026-01-31T12:10:00Z")))
    await asked.post(message(alert("B", starts="2026-01-31T13:00:00Z")))
    firing = await AlertJournal(database).firing(10)
    assert [each.alert.name for each in firing] == ["B", "C"]


async def test_the_history_is_shown_as_far_as_it_was_asked_for(asked: Asked, database: Database) -> None:
    await asked.post(message(*(alert(f"A{number}") for number in range(5))))
    async with database.connection() as connection:
        await connection.execute("update indexer.alert set received_at = '2026-01-01' where name = 'A0'")
    assert len((await asked.history(limit="2"))[1]["alerts"]) == 2
    assert len((await asked.history(since="24h"))[1]["alerts"]) == 4
    assert len((await asked.history(since="2025-12-31"))[1]["alerts"]) == 5
    assert (await asked.history(status="resolved"))[1]["alerts"] == []
    for query in ({"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"since": "soon"}, {"status": "odd"}):
        status, body = await asked.history(**query)
        assert (status, list(body)) == (400, ["error"])


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", "é" * 31])
async def test_without_the_token_nothing_is_taken_and_nothing_shown(asked: Asked, token: str | None) -> None:
    assert (await asked.post(message(alert("A")), token))[0] == 401
    assert (await asked.history(token))[0] == 401
    assert (await asked.history())[1]["alerts"] == []


async def test_where_no_token_is_configured_nobody_may_do_anything() -> None:
    async for asked in serve(None):
        for token in (None, "", "None", TOKEN):
            assert (await asked.post(message(alert("A")), token))[0] == 403
            assert (await asked.history(token))[0] == 403


async def test_what_is_too_large_or_not_understood_is_refused_for_good(asked: Asked) -> None:
    assert (await asked.post(b"x" * (MOST_BYTES + 1)))[0] == 413
    status, body = await asked.post(b'{"version": "3"}')
    assert status == 400
    assert body["error"].startswith("not a message of Alertmanager")
    many = message(*(alert(f"A{number}") for number in range(1_000)))
    assert await asked.post(many) == (200, {"received": 1_000, "new": 1_000})


async def test_as_long_as_there_is_no_database_alertmanager_is_told_to_try_again(asked: Asked) -> None:
    asked.pages.store = None
    assert await asked.post(message(alert("A"))) == (
        503,
        {"error": "the database is not available; send it again later"},
    )
    assert (await asked.history())[0] == 503


async def test_a_database_that_goes_away_loses_no_alert(
    asked: Asked, database: Database, database_url: str
) -> None:
    class Away(AlertJournal):
        async def record(self, message: Any) -> Any:
            raise Unavailable(f"the database at {database_url} is gone")

    asked.pages.store = Away(database)
    status, body = await asked.post(message(alert("A")))
    assert (status, database_url in str(body)) == (503, False)
    assert await asked.counted() == {"firing": 0, "resolved": 0}
    asked.pages.store = AlertJournal(database)
    assert (await asked.post(message(alert("A"))))[1]["new"] == 1


async def test_alerts_are_taken_over_a_connection_that_is_otherwise_for_reading(
    asked: Asked, database_url: str
) -> None:
    reading = await open_database(database_url, read_only=True)
    try:
        asked.pages.store = AlertJournal(reading)
        assert (await asked.post(message(alert("A"))))[1]["new"] == 1
    finally:
        await reading.close()
