"""`indexer alerts` and its test, with a running indexer, a real Alertmanager and receivers on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from indexer.dev.devchain import DevChain
from indexer.http.alerts import WEBHOOK_PATH
from tests.fixtures.debian import Parts
from tests.fixtures.indexed import true_contracts
from tests.fixtures.program import Outcome, Program, command, started, until_sql, write_config
from tests.fixtures.receivers import (
    DBA_ROUTING_KEY,
    ROUTING_KEY,
    SECRETS,
    WEBHOOK_TOKEN,
    Receivers,
    receiving,
    rendered,
)

pytestmark = pytest.mark.integration

IS_OVER = "select count(*) from indexer.alert where status = 'resolved' and name = 'AlertTest'"


@dataclass(frozen=True, slots=True)
class Stack:
    """An indexer that takes alerts, an Alertmanager that tells it, and the people's channels."""

    program: Program
    receivers: Receivers
    database_url: str
    config: Path
    environment: Mapping[str, str]

    async def alerts(self, *arguments: str, **changes: str) -> Outcome:
        """`indexer alerts` with these arguments."""
        environment = {**self.environment, **changes}
        return await command("alerts", *arguments, "--config", str(self.config), environment=environment)


@asynccontextmanager
async def stack(parts: Parts, chain: DevChain, database_url: str, directory: Path) -> AsyncIterator[Stack]:
    config = write_config(
        directory,
        true_contracts(chain, list(chain.contracts)[:1]),
        rpc=[chain.anvil.url],
        database_url=database_url,
    )
    environment = {"ALERT_WEBHOOK_TOKEN": WEBHOOK_TOKEN}
    async with (
        receiving() as receivers,
        started("run", "--config", str(config), environment=environment) as program,
    ):
        ours = await program.http_url() + WEBHOOK_PATH
        (directory / "am").mkdir()
        routes = rendered(directory / "am", receivers.environment(ALERT_WEBHOOK_URL=ours))
        async with parts.alertmanager(routes, directory / "am" / "data") as server:
            environment["ALERTMANAGER_URL"] = server.url
            yield Stack(program, receivers, database_url, config, environment)


def channels(report: Any) -> dict[str, tuple[int, str]]:
    return {each["channel"]: (each["expected"], each["result"]) for each in report["channels"]}


async def test_a_test_alert_is_followed_to_every_channel_and_into_the_history_and_then_it_is_over(
    parts: Parts, dev_chain: DevChain, empty_database_url: str, tmp_path: Path
) -> None:
    async with stack(parts, dev_chain, empty_database_url, tmp_path) as running:
        told = running.receivers
        await until_sql(empty_database_url, "select to_regclass('indexer.alert') is not null")

        done = await running.alerts("test", "--service", "database", "--json")
        assert done.code == 0, done.said
        report = done.json()
        assert channels(report) == {
            "slack": (1, "delivered"),
            "pagerduty": (2, "delivered"),
            "email": (1, "delivered"),
            "webhook": (1, "delivered"),
        }
        assert (report["stored"], report["problems"]) == (True, [])
        assert set(report["receivers"]) == {"critical", "dba", "webhook"}
        for channel, place in (
            ("slack", "#alerts-critical"),
            ("pagerduty", ROUTING_KEY),
            ("pagerduty", DBA_ROUTING_KEY),
            ("email", "ops@example.com"),
        ):
            await told.message(channel, place, containing=report["test"])  # type: ignore[arg-type]
            await told.message(channel, place, containing=report["test"], resolved=True)  # type: ignore[arg-type]
        await until_sql(empty_database_url, IS_OVER)

        told.refusing["slack"] = 403
        done = await running.alerts("test", "--severity", "warning")
        assert done.code == 1
        assert "slack      failed" in done.output
        assert "problem: slack: 1 requests failed" in done.output
        assert "history    stored" in done.output

        shown = (await running.alerts("--json", "--since", "1h")).json()["alerts"]
        assert {(each["name"], each["severity"], each["status"]) for each in shown} >= {
            ("AlertTest", "critical", "firing"),
            ("AlertTest", "critical", "resolved"),
            ("AlertTest", "warning", "firing"),
        }
        assert "Test of the alert channels, severity critical" in (await running.alerts()).output
        metrics = await running.program.metrics()
        assert metrics.total("indexer_alerts_received_total", status="firing") == 2
        said = running.program.said + done.said
        assert not [secret for secret in SECRETS if secret in said]


async def test_a_test_alert_that_reaches_no_person_or_not_our_history_is_a_failure(
    old_parts: Parts, dev_chain: DevChain, empty_database_url: str, tmp_path: Path
) -> None:
    async with stack(old_parts, dev_chain, empty_database_url, tmp_path) as running:
        await until_sql(empty_database_url, "select to_regclass('indexer.alert') is not null")
        (tmp_path / "bare").mkdir()
        # The token is not the indexer's, and nothing else is configured.
        bare = {
            "ALERT_WEBHOOK_TOKEN": "another-token-0123456789",
            "ALERT_WEBHOOK_URL": await running.program.http_url(),
        }
        bare["ALERT_WEBHOOK_URL"] += WEBHOOK_PATH
        routes = rendered(tmp_path / "bare", bare)
        async with old_parts.alertmanager(routes, tmp_path / "bare" / "data") as server:
            done = await running.alerts("test", "--alertmanager", server.url, "--timeout", "3")
        assert done.code == 1
        assert "webhook    failed" in done.output
        assert "no channel reaches a person for severity critical" in done.output
        assert "history    not stored" in done.output
        assert (await running.alerts()).output == "no alerts\n"
        assert (await running.alerts("--firing")).output == "no alert fires\n"

        gone = await running.alerts("test", "--alertmanager", server.url)
        assert gone.code == 75
        assert "Alertmanager does not answer" in gone.errors
        # An option before the word holds for it, too.
        before = await command(
            "alerts",
            "--config",
            str(running.config),
            "test",
            "--alertmanager",
            server.url,
            environment=running.environment,
        )
        assert before.code == 75
