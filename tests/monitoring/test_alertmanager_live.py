"""A real Alertmanager of both versions with our configuration: who is told, in which words, and who is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.fixtures.debian import Parts, Server
from tests.fixtures.program import until
from tests.fixtures.receivers import DBA_ROUTING_KEY, ROUTING_KEY, SECRETS, Receivers, receiving, rendered

pytestmark = pytest.mark.integration

RUNBOOK = "https://docs.example.com/runbook.md#indexerstuck"
DASHBOARD = "https://grafana.example.com/d/indexer-overview"
TEXTS = {
    "summary": "The indexer of mainnet stands still",
    "description": "No progress for 130 s > 120 s & the head moves.",
    "runbook_url": RUNBOOK,
    "dashboard_url": DASHBOARD,
}
STUCK = {
    "alertname": "IndexerStuck",
    "severity": "critical",
    "service": "indexer",
    "team": "platform",
    "group": "progress",
    "cluster": "test",
    "chain": "mainnet",
}
#: What is firing, and the alerts that it mutes; beside each, one that it must not mute.
MUTING: list[tuple[dict[str, str], dict[str, str], dict[str, str]]] = [
    (
        {
            "alertname": "ContractErrorRateCritical",
            "severity": "critical",
            "group": "errors",
            "contract": "A",
        },
        {"alertname": "ContractErrorRateHigh", "severity": "warning", "group": "errors", "contract": "A"},
        {"alertname": "ContractErrorRateHigh", "severity": "warning", "group": "errors", "contract": "B"},
    ),
    (
        {"alertname": "CriticalCPUUsage", "severity": "critical", "group": "cpu", "instance": "a"},
        {"alertname": "HighCPUUsage", "severity": "warning", "group": "cpu", "instance": "a"},
        {"alertname": "HighCPUUsage", "severity": "warning", "group": "cpu", "instance": "b"},
    ),
    (
        {"alertname": "WithoutGroup", "severity": "critical"},
        {"alertname": "HighCPUUsage", "severity": "warning", "group": "cpu", "instance": "a"},
        {"alertname": "AlsoWithoutGroup", "severity": "warning"},
    ),
    (
        {"alertname": "IndexerDown", "severity": "critical", "chain": "one"},
        {"alertname": "EventProcessingDelay", "severity": "warning", "chain": "one"},
        {"alertname": "EventProcessingDelay", "severity": "warning", "chain": "two"},
    ),
    (
        {"alertname": "IndexerDown", "severity": "critical", "chain": "one"},
        {"alertname": "IndexerUnhealthy", "severity": "critical", "instance": "http://indexer/health"},
        {"alertname": "ReorgBelowFinality", "severity": "critical", "chain": "one"},
    ),
    (
        {"alertname": "DatabaseDown", "severity": "critical", "service": "database"},
        {"alertname": "PoolExhausted", "severity": "warning", "service": "database", "chain": "one"},
        {"alertname": "DatabaseDeadlocks", "severity": "warning", "service": "database"},
    ),
    (
        {"alertname": "DatabaseDown", "severity": "critical", "service": "database"},
        {"alertname": "AlertDeliveryFailing", "severity": "critical", "integration": "webhook"},
        {"alertname": "AlertDeliveryFailing", "severity": "critical", "integration": "slack"},
    ),
    (
        {"alertname": "AllRpcDown", "severity": "critical", "chain": "three"},
        {"alertname": "IndexerLag", "severity": "warning", "chain": "three"},
        {"alertname": "IndexerLag", "severity": "warning", "chain": "five"},
    ),
    (
        {"alertname": "AllRpcDown", "severity": "critical", "chain": "three"},
        {"alertname": "IndexerStuck", "severity": "critical", "chain": "three"},
        {"alertname": "IndexerStuck", "severity": "critical", "chain": "four"},
    ),
    (
        {"alertname": "APIDown", "severity": "critical", "service": "api", "instance": "x"},
        {"alertname": "HighErrorRate", "severity": "warning", "service": "api"},
        {"alertname": "CriticalErrorRate", "severity": "critical", "service": "api"},
    ),
    (
        {"alertname": "RedisDown", "severity": "warning", "service": "cache"},
        {"alertname": "LowCacheHitRate", "severity": "info", "service": "cache"},
        {"alertname": "ReorgDetected", "severity": "info", "service": "chain"},
    ),
]


class Alerting:
    """A running Alertmanager and those it tells."""

    def __init__(self, server: Server, receivers: Receivers, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.receivers = receivers
        self._session = session

    async def post(self, *alerts: Mapping[str, str], over: bool = False) -> None:
        """These alerts fire, as a Prometheus would say it; or they are over."""
        now = datetime.now(UTC)
        ends = now if over else now + timedelta(hours=1)
        body = [
            {"labels": {"cluster": "test", **labels}, "annotations": TEXTS, "endsAt": ends.isoformat()}
            for labels in alerts
        ]
        async with self._session.post(self.server.url + "/api/v2/alerts", json=body) as response:
            assert response.status == 200, await response.text()

    async def is_in(self, labels: Mapping[str, str], state: str) -> bool:
        """Whether the one alert with these labels is active, suppressed or unprocessed."""
        async with self._session.get(self.server.url + "/api/v2/alerts") as response:
            found = [each for each in await response.json() if labels.items() <= each["labels"].items()]
        (alert,) = found
        return bool(alert["status"]["state"] == state)


@asynccontextmanager
async def alerting(parts: Parts, directory: Path, **changes: str) -> AsyncIterator[Alerting]:
    async with receiving() as receivers:
        config = rendered(directory, receivers.environment(**changes))
        async with (
            parts.alertmanager(config, directory / "data", "--log.level=debug") as server,
            aiohttp.ClientSession() as session,
        ):
            yield Alerting(server, receivers, session)


async def test_a_critical_alert_reaches_every_channel_in_words_that_help_and_so_does_its_end(
    parts: Parts, tmp_path: Path
) -> None:
    async with alerting(parts, tmp_path) as running:
        await running.post(STUCK)
        told = running.receivers
        slack = await told.message("slack", "#alerts-critical")
        assert slack.raw["attachments"][0]["color"] == "danger"
        assert slack.raw["attachments"][0]["title"] == "🔴 CRITICAL: IndexerStuck (indexer)"
        assert TEXTS["summary"] in slack.text
        assert "No progress for 130 s &gt; 120 s &amp; the head moves." in slack.text
        assert f"<{RUNBOOK}|Runbook>" in slack.text
        assert f"<{DASHBOARD}|Dashboard>" in slack.text
        assert "Service: indexer" in slack.text

        page = await told.message("pagerduty", ROUTING_KEY)
        payload = page.raw["payload"]
        assert payload["summary"] == f"🔴 CRITICAL: IndexerStuck (indexer): {TEXTS['summary']}"
        assert (payload["severity"], payload["component"], payload["class"]) == (
            "critical",
            "indexer",
            "IndexerStuck",
        )
        assert payload["custom_details"]["runbook"] == RUNBOOK
        assert TEXTS["description"] in payload["custom_details"]["firing"]
        assert "chain=mainnet" in payload["custom_details"]["firing"]

        mail = await told.message("email", "ops@example.com")
        assert mail.raw["Subject"] == "🔴 CRITICAL: IndexerStuck (indexer)"
        assert {part.get_content_type() for part in mail.raw.walk()} >= {"text/plain", "text/html"}
        assert TEXTS["description"] in mail.raw.get_body(("plain",)).get_content()
        assert f'<a href="{RUNBOOK}">Runbook</a>' in mail.raw.get_body(("html",)).get_content()
        await told.message("webhook")

        await running.post(STUCK, over=True)
        slack = await told.message("slack", "#alerts-critical", resolved=True)
        assert slack.raw["attachments"][0]["title"] == "✅ RESOLVED: IndexerStuck (indexer)"
        assert "*Resolved: " in slack.text
        end = await told.message("pagerduty", ROUTING_KEY, resolved=True)
        assert end.raw["dedup_key"] == page.raw["dedup_key"]
        assert "RESOLVED" in (await told.message("email", resolved=True)).raw["Subject"]
        await told.message("webhook", resolved=True)
        assert not told.of("slack", "#alerts-warnings")
        assert not told.of("pagerduty", DBA_ROUTING_KEY)
        assert not told.of("watchdog")
        assert not [secret for secret in SECRETS if secret in running.server.said]


async def test_a_warning_an_info_and_one_of_the_database_reach_theirs_and_nobody_else(
    parts: Parts, tmp_path: Path
) -> None:
    async with alerting(parts, tmp_path) as running:
        lag = {"alertname": "IndexerLag", "severity": "warning", "service": "indexer"}
        reorg = {"alertname": "ReorgDetected", "severity": "info", "service": "chain"}
        pool = {"alertname": "PoolExhausted", "severity": "warning", "service": "database"}
        await running.post(lag, reorg, pool, {"alertname": "Watchdog", "severity": "none"})
        told = running.receivers
        warned = await told.message("slack", "#alerts-warnings", containing="IndexerLag")
        assert warned.raw["attachments"][0]["title"] == "⚠️ WARNING: IndexerLag (indexer)"
        assert warned.raw["attachments"][0]["color"] == "warning"
        assert (await told.message("email", containing="ReorgDetected")).raw["Subject"].startswith("ℹ️ INFO")
        page = await told.message("pagerduty", DBA_ROUTING_KEY, containing="PoolExhausted")
        assert page.raw["payload"]["severity"] == "warning"
        await told.message("slack", "#alerts-warnings", containing="PoolExhausted")
        await told.message("watchdog", containing="Watchdog")
        for name in ("IndexerLag", "ReorgDetected", "PoolExhausted"):
            await told.message("webhook", containing=name)
        assert not told.of("slack", "#alerts-critical")
        assert not told.of("pagerduty", ROUTING_KEY)
        assert not told.of("email", containing="IndexerLag")
        assert not told.of("webhook", containing="Watchdog")


async def test_a_critical_alert_mutes_the_warning_of_its_matter_for_as_long_as_it_lasts(
    parts: Parts, tmp_path: Path
) -> None:
    critical = {"alertname": "DiskAlmostFull", "severity": "critical", "group": "disk", "instance": "a"}
    warning = {"alertname": "LowDiskSpace", "severity": "warning", "group": "disk", "instance": "a"}
    other = {"alertname": "HighCPUUsage", "severity": "warning", "group": "cpu", "instance": "a"}
    async with alerting(parts, tmp_path) as running:
        told = running.receivers
        await running.post(critical)
        await told.message("slack", "#alerts-critical", containing="DiskAlmostFull")
        await running.post(warning)
        await running.post(other)
        await told.message("slack", "#alerts-warnings", containing="HighCPUUsage")
        await until(partial(running.is_in, warning, "suppressed"), "the warning is muted")
        assert not told.of("slack", containing="LowDiskSpace")
        assert not told.of("webhook", containing="LowDiskSpace")

        await running.post(critical, over=True)
        await told.message("slack", "#alerts-warnings", containing="LowDiskSpace")
        assert not told.of("slack", "#alerts-critical", containing="LowDiskSpace")


async def test_what_follows_from_another_alert_is_muted_and_nothing_else(
    parts: Parts, tmp_path: Path
) -> None:
    async with alerting(parts, tmp_path) as running:
        sources = [source for source, _, _ in MUTING]
        await running.post(*sources)
        await running.post(*(each for _, muted, heard in MUTING for each in (muted, heard)))
        for source, muted, heard in MUTING:
            await until(partial(running.is_in, muted, "suppressed"), f"{source} mutes {muted}")
            await until(partial(running.is_in, heard, "active"), f"{source} does not mute {heard}")


async def test_a_channel_that_refuses_does_not_keep_the_others_from_being_told(
    parts: Parts, tmp_path: Path
) -> None:
    async with alerting(parts, tmp_path) as running:
        running.receivers.refusing["slack"] = 500
        await running.post(STUCK)
        for channel in ("pagerduty", "email", "webhook"):
            await running.receivers.message(channel, containing="IndexerStuck")
        await running.receivers.until_refused()
        running.receivers.refusing.clear()
        await running.receivers.message("slack", "#alerts-critical", containing="IndexerStuck")
