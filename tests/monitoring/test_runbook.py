"""The runbook has what each alert links to, and what the operator's documents tell people to enter is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import yaml

from indexer.core.health import Limits
from indexer.core.redaction import Redactor
from indexer.http.report import Health, Readiness
from indexer.http.server import HttpServer
from indexer.metrics.catalogue import CATALOGUE
from indexer.metrics.facts import Metrics
from tests.fixtures.debian import Parts
from tests.fixtures.documented import ROOT, Known, commands, problems_of
from tests.fixtures.markdown import Document, Section, anchor_of, blocks, broken_links, read
from tests.fixtures.promnames import uses_of_query
from tests.fixtures.rulefiles import MONITORING, alert_rules, recording_rules
from tests.fixtures.stored import Stored

DOCS = ROOT / "docs"
RUNBOOK = read(DOCS / "runbook.md")
GUIDE = read(DOCS / "monitoring.md")
#: Whose queries are tried.
OPERATORS = (RUNBOOK, GUIDE)
DOCUMENTS = [
    *sorted(DOCS.glob("*.md")),
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
]
PARTS_OF_A_SECTION = ("Means.", "Impact.", "Look.", "Do.", "Done when", "Prevent.", "Escalate.")
#: A sentence at least: what a heading alone would not say.
LEAST_MEANING = 40
#: What Prometheus and the blackbox exporter tell, and no rule or board asks for.
ONLY_HERE = frozenset(
    {"ALERTS", "probe_dns_lookup_time_seconds", "probe_http_duration_seconds", "probe_http_status_code"}
)
#: Port on this machine to the paths that documents ask there.
SERVED = {
    9464: frozenset({"/health", "/health/ready", "/metrics"}),
    9090: frozenset(
        {"/-/ready", "/api/v1/alertmanagers", "/api/v1/query", "/api/v1/rules", "/api/v1/targets"}
    ),
    9093: frozenset({"/-/ready", "/api/v2/alerts", "/api/v2/status"}),
    # No Grafana can be had here: these are in its documentation.
    3000: frozenset({"/api/datasources", "/api/datasources/uid/prometheus/health"}),
}


def alert_sections() -> dict[str, Section]:
    """The sections on alerts: no other heading is of the third level."""
    return {section.title: section for section in RUNBOOK.sections if section.level == 3}


def part(section: Section, name: str) -> str:
    """The text behind one of the bold words, up to the next of them."""
    names = "|".join(map(re.escape, PARTS_OF_A_SECTION))
    match = re.search(rf"\*\*{re.escape(name)}\*\*(.*?)(?=\*\*(?:{names})\*\*|\Z)", section.text, re.DOTALL)
    return " ".join(match[1].split()) if match else ""


@cache
def known() -> Known:
    """The services of both compose files, and what is served."""
    files = ("docker-compose.yml", "monitoring/compose.yml")
    services = {name for file in files for name in yaml.safe_load((ROOT / file).read_text())["services"]}
    return Known(frozenset(services), SERVED)


def shown_commands(document: Document) -> Iterator[list[str]]:
    """Every command of the blocks for a shell, and every whole one in backticks."""
    for script in blocks(document.text, "sh"):
        yield from commands(script)
    for code in document.inline_code:
        words = code.split()
        # Not what is abridged, and not what shows where something is to be put in.
        whole = len(words) > 1 and not re.search(r"…|\[|\bN\b", code)
        if whole and (words[0] in {"curl", "indexer"} or words[:2] == ["docker", "compose"]):
            for each in commands(code):
                # In prose the range goes without saying.
                needs_a_range = each[:2] in (["indexer", "audit"], ["indexer", "backfill"])
                yield [*each, "--from-block", "0"] if needs_a_range else each


def test_every_alert_links_to_its_section_and_every_section_has_an_alert() -> None:
    assert list(alert_sections()) and set(alert_sections()) == set(alert_rules())
    for name, rule in alert_rules().items():
        file, _, anchor = rule["annotations"]["runbook_url"].rpartition("/")[2].partition("#")
        assert (file, anchor) == ("runbook.md", alert_sections()[name].anchor), name


@pytest.mark.parametrize("name", alert_rules())
def test_a_section_says_all_that_somebody_woken_needs(name: str) -> None:
    section, rule = alert_sections()[name], alert_rules()[name]
    labels = rule["labels"]
    since = f"after {rule['for']}" if "for" in rule else "at once"
    assert section.text.split("\n")[1] == f"*{labels['severity']} · {labels['team']} · {since}*"
    assert [each for each in PARTS_OF_A_SECTION if not part(section, each).strip(" .")] == []
    assert len(part(section, "Means.")) >= LEAST_MEANING
    # Something to enter, to ask or to look at: of its own, or another section's.
    assert "`" in section.text or "](#" in section.text


def test_no_two_sections_mean_the_same() -> None:
    meanings = [part(section, "Means.") for section in alert_sections().values()]
    assert len(set(meanings)) == len(meanings) == len(alert_rules())


def test_critical_alerts_say_when_to_call_the_next_level() -> None:
    for name, rule in alert_rules().items():
        if rule["labels"]["severity"] == "critical":
            said = part(alert_sections()[name], "Escalate.")
            assert re.search(r"[Ll]evel [23]|team|As there|nobody", said), f"{name}: {said}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda each: each.name)
def test_every_command_is_there(path: Path) -> None:
    shown = list(shown_commands(read(path)))
    assert len(shown) > 50 or path not in {RUNBOOK.path, GUIDE.path}
    assert [problem for each in shown for problem in problems_of(each, known())] == []


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("docker compose logs --tail 5 indexer | grep x", None),
        ("for each in $(seq 3); do docker compose stop cadvisor; done", None),
        ("indexer statu", "invalid choice: 'statu'"),
        ("indexer audit --from-blok 1", "--from-block"),
        ("docker compose exec indexer indexer alerts test --hurry", "unrecognized arguments"),
        ("docker compose run --rm indexer redecod", "invalid choice"),
        ("docker compose stop worker", "there is no service worker"),
        ("docker compose halt indexer", "docker compose has no halt"),
        ("docker compose up --detached indexer", "up has no option --detached"),
        ("docker compose exec postgres mysql", "nobody knows a mysql in postgres"),
        ("docker compose -f compose.yml up", "there is no compose.yml"),
        ("docker compose exec alertmanager amtool silences add", "amtool has no silences add"),
        ("promtool check-config monitoring/prometheus.yml", "promtool has no check-config"),
        ("curl -s http://127.0.0.1:9093/api/v1/status", "nothing is served at /api/v1/status"),
        ("curl http://127.0.0.1:3001/metrics", "nothing listens on port 3001"),
        ("scripts/health-check", "no such program"),
        ("npm run check", "unknown program npm"),
    ],
)
def test_a_command_that_is_not_there_is_found(script: str, problem: str | None) -> None:
    found = [said for each in commands(script) for said in problems_of(each, known())]
    assert found == [] if problem is None else len(found) == 1 and problem in found[0], found


@pytest.mark.integration
async def test_every_path_is_served(old_parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "am.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    (tmp_path / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n")
    metrics = Metrics("31337")
    health = Health(metrics, Readiness(), Limits(1_000, 1_000), probe_seconds=60, redact=Redactor([]))
    async with (
        old_parts.prometheus(tmp_path / "prometheus.yml", tmp_path / "data") as prometheus,
        old_parts.alertmanager(tmp_path / "am.yml", tmp_path / "alerts") as alertmanager,
        HttpServer("127.0.0.1", 0, metrics, health) as ours,
        aiohttp.ClientSession() as session,
    ):
        for port, url in {9464: ours.url, 9090: prometheus.url, 9093: alertmanager.url}.items():
            for path in SERVED[port]:
                query = "?query=up" if path.endswith("/query") else ""
                async with session.get(url + path + query) as response:
                    assert response.status in {200, 503}, f"{port}{path}: {response.status}"


@pytest.mark.integration
async def test_every_sql_statement_runs_and_only_reads(stored: Stored, database_url: str) -> None:
    assert await stored.value("select count(*) from indexer.event") == 0
    statements = [
        statement
        for document in OPERATORS
        for block in blocks(document.text, "sql")
        for statement in block.split(";")
        if statement.strip()
    ]
    assert len(statements) > 20
    connection = await asyncpg.connect(database_url)
    try:
        for statement in statements:
            async with connection.transaction(readonly=True):
                try:
                    await connection.fetch(statement)
                except asyncpg.PostgresError as error:
                    raise AssertionError(f"{statement.strip()}: {error}") from error
    finally:
        await connection.close()


def test_every_query_is_promql_and_names_what_is_exported() -> None:
    asked = [MONITORING / "alerts.yml", *(MONITORING / "grafana" / "dashboards").glob("*.json")]
    others = {name for path in asked for name in re.findall(r"\w+", path.read_text())} | ONLY_HERE
    own = {spec.name for spec in CATALOGUE}
    series = own | {f"{name}{suffix}" for name in own for suffix in ("_bucket", "_sum", "_count")}
    queries = [
        line for each in OPERATORS for block in blocks(each.text, "promql") for line in block.splitlines()
    ]
    assert len(queries) > 50
    for query in queries:
        for use in uses_of_query("a document", query):
            name = use.name or ""
            if ":" in name:
                assert name in recording_rules(), query
            else:
                assert name in (series if name.startswith("indexer_") else others), f"{name}: {query}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda each: each.name)
def test_every_link_within_the_repository_leads_somewhere(path: Path) -> None:
    assert broken_links(read(path), ROOT) == []


def test_a_link_to_what_is_not_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One `two`, three\n\n## Same\n\n## Same\n\n```sh\n# none\n```\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[a](b.md#one-two-three) [b](b.md#same-1) [c](c.md) [d](b.md#none) `[e](e.md)` [f](#here)\n"
    )
    assert broken_links(read(page), tmp_path) == [
        "a.md: there is no c.md",
        "a.md: b.md has no heading none",
        "a.md: a.md has no heading here",
    ]
    assert anchor_of("Logstash, Elasticsearch, Kibana") == "logstash-elasticsearch-kibana"


def test_the_example_of_an_alert_is_a_rule_that_could_be_added(parts: Parts, tmp_path: Path) -> None:
    [example] = blocks(GUIDE.text, "yaml")
    (tmp_path / "example.yml").write_text(example)
    parts.judge("promtool", "check", "rules", tmp_path / "example.yml")
    [rule] = yaml.safe_load(example)["groups"][0]["rules"]
    shipped: dict[str, Any] = alert_rules()["IndexerLag"]
    for kind in ("labels", "annotations"):
        assert set(rule[kind]) == set(shipped[kind])
    assert rule["annotations"]["runbook_url"].endswith(f"#{anchor_of(rule['alert'])}")
