"""Prometheus with our own configuration and rules, scraping real exporters: what the rules ask for is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import promql_parser as promql
import pytest

from indexer.core.health import Limits
from indexer.http.report import Health, Readiness
from indexer.http.server import HttpServer
from indexer.metrics import Metrics
from tests.fixtures import exporters, standins
from tests.fixtures.debian import Parts, running
from tests.fixtures.program import until
from tests.fixtures.rulefiles import MONITORING, alert_rules, expressions, recording_rules, selectors
from tests.fixtures.shipped import shipped_config

pytestmark = pytest.mark.integration

NO_ROUTES = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
#: An alert that could not be handed over is sent anew so soon, instead of in a minute.
RESEND = "--rules.alert.resend-delay=1s"
#: Where nothing listens.
NOBODY = "127.0.0.1:1"
#: Beginnings of names that are not looked for, each with the reason.
ELSEWHERE = {
    "indexer": "our own: held against the running program by test_contract.py",
    "container_": "cAdvisor is in no package: its names are those of its documentation",
    "takumi_": "the platform's API is outside of this project",
}


class Watching:
    """A Prometheus to be asked."""

    def __init__(self, session: aiohttp.ClientSession, url: str, alertmanager_url: str) -> None:
        self._session = session
        self._url = url
        self._alertmanager_url = alertmanager_url

    async def answer(self, path: str, **parameters: str) -> Any:
        async with self._session.get(f"{self._url}/api/v1/{path}", params=parameters) as response:
            told = await response.json()
        assert told["status"] == "success", told
        return told["data"]

    async def series(self, query: str) -> list[Mapping[str, str]]:
        """The labels of every series of the answer."""
        return [each["metric"] for each in (await self.answer("query", query=query))["result"]]

    async def alerts(self) -> list[dict[str, Any]]:
        """What has reached Alertmanager."""
        async with self._session.get(f"{self._alertmanager_url}/api/v2/alerts") as response:
            found: list[dict[str, Any]] = await response.json()
        return found


@asynccontextmanager
async def watching(parts: Parts, exporting: Parts, database_url: str, place: Path) -> AsyncIterator[Watching]:
    """Everything that our configuration names, but cAdvisor and the DNS."""
    async with AsyncExitStack() as stack:
        enter, socket = stack.enter_async_context, place / "redis.sock"
        metrics = Metrics("31337")
        health = Health(metrics, Readiness(), Limits(60, 60), probe_seconds=5, redact=str)
        indexer = await enter(HttpServer("127.0.0.1", 0, metrics, health))
        await enter(exporters.redis_server(exporting, socket))
        (place / "alertmanager.yml").write_text(NO_ROUTES)
        alertmanager = await enter(parts.alertmanager(place / "alertmanager.yml", place / "alertmanager"))
        page = await enter(standins.web_page(place))
        blackbox = await enter(
            running(
                (
                    *("env", f"SSL_CERT_FILE={place / 'page.crt'}"),
                    *(exporting.program("prometheus-blackbox-exporter"), "--web.listen-address=127.0.0.1:0"),
                    f"--config.file={MONITORING / 'blackbox.yml'}",
                )
            )
        )
        urls = {
            "postgres-exporter:9187": (await enter(exporters.postgres_exporter(exporting, database_url))).url,
            "redis-exporter:9121": (await enter(exporters.redis_exporter(exporting, socket))).url,
            "node-exporter:9100": (await enter(exporters.node_exporter(exporting))).url,
            "blackbox-exporter:9115": blackbox.url,
            "alertmanager:9093": alertmanager.url,
        }
        addresses = {name: urlsplit(url).netloc for name, url in urls.items()}
        addresses |= {"indexer:9464": f"127.0.0.1:{indexer.port}", "cadvisor:8080": NOBODY}
        listed = {"api": [NOBODY], "probe_web": [f"{page}/"], "probe_api": [f"http://{NOBODY}/health"]}
        # Which port it gets is known when it runs.
        config = shipped_config(place, addresses | {"localhost:9090": NOBODY}, listed)
        prometheus = await enter(parts.prometheus(config, place / "data", RESEND))
        shipped_config(place, addresses | {"localhost:9090": urlsplit(prometheus.url).netloc}, listed)
        session = await enter(aiohttp.ClientSession())

        async def reloaded() -> bool:
            async with session.post(f"{prometheus.url}/-/reload") as response:
                return response.status == 200

        await until(reloaded, "Prometheus has taken its own address")
        yield Watching(session, prometheus.url, alertmanager.url)


async def test_what_the_rules_ask_of_other_exporters_is_there(
    parts: Parts, old_parts: Parts, database_url: str, tmp_path: Path
) -> None:
    async with watching(parts, old_parts, database_url, tmp_path) as prometheus:
        asked = sorted(set(of_others()), key=str)
        assert len(asked) > 40
        for query, labels in asked:

            async def found(query: str = query) -> list[Mapping[str, str]]:
                return await prometheus.series(query)

            series = await until(found, f"there is {query}")
            assert any(labels <= set(each) for each in series), f"{query} lacks some of {set(labels)}"
        await until(lambda: all_rules_are_evaluated(prometheus), "every rule was evaluated without an error")
        await check_targets(prometheus)
        await check_watchdog(prometheus)


def of_others() -> list[tuple[str, frozenset[str]]]:
    """Every selector of other exporters' metrics, with the labels that it is aggregated by.

    Without what it leaves out: on a machine with nothing but such file systems there would be nothing.
    """
    return [
        (query(selector), kept)
        for expression in expressions().values()
        for selector, kept in selectors(promql.parse(expression))
        if not str(selector.name).startswith(tuple(ELSEWHERE))
    ]


def query(selector: promql.VectorSelector) -> str:
    kept = [
        f'{each.name}{"=" if each.op == promql.MatchOp.Equal else "=~"}"{each.value}"'
        for each in selector.matchers.matchers
        if each.op in (promql.MatchOp.Equal, promql.MatchOp.Re)
    ]
    return f"{selector.name}{{{', '.join(kept)}}}"


async def all_rules_are_evaluated(prometheus: Watching) -> bool:
    groups = (await prometheus.answer("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    wrong = {rule["name"]: rule["lastError"] for rule in rules if rule["health"] == "err"}
    assert not wrong, wrong
    assert {rule["name"] for rule in rules} == set(alert_rules()) | set(recording_rules())
    return all(rule["health"] == "ok" for rule in rules)


async def check_targets(prometheus: Watching) -> None:
    """Every job has its target, and a probe carries the URL and what it belongs to."""

    async def all_answer() -> bool:
        return {each["job"] for each in await prometheus.series("up == 1")} >= {
            *("indexer", "postgres", "redis", "node", "blackbox", "prometheus", "alertmanager")
        }

    await until(all_answer, "every target that there is answers")
    assert {each["job"] for each in await prometheus.series("up == 0")} == {"cadvisor", "api"}
    probes = {each["probe"]: each["instance"] for each in await prometheus.series("probe_success")}
    assert set(probes) == {"indexer", "api", "web"}
    assert probes["indexer"].startswith("http://127.0.0.1:")
    assert probes["indexer"].endswith("/health")
    assert [each["probe"] for each in await prometheus.series("probe_success == 1")] == ["web"]
    assert not await prometheus.series('indexer_build_info{exported_instance=~".+"}')


async def check_watchdog(prometheus: Watching) -> None:
    """Alerts reach Alertmanager, with whole links and without the labels that these are made from."""

    async def arrived() -> list[dict[str, Any]]:
        return [each for each in await prometheus.alerts() if each["labels"]["alertname"] == "Watchdog"]

    (watchdog,) = await until(arrived, "the watchdog is heard")
    assert watchdog["labels"] == {
        **{"alertname": "Watchdog", "cluster": "main"},
        **alert_rules()["Watchdog"]["labels"],
    }
    assert watchdog["annotations"]["runbook_url"].startswith("https://")
    assert watchdog["annotations"]["runbook_url"].endswith("/runbook.md#watchdog")
    assert watchdog["annotations"]["dashboard_url"] == "http://localhost:3000/d/indexer-incident"
