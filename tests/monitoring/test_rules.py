"""The rules: what they ask, what they say, and that each fires when it should and is quiet when it should."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import promql_parser as promql
import pytest
import yaml

from tests.fixtures import rulefiles
from tests.fixtures.debian import Parts
from tests.fixtures.rulefiles import alert_rules, cases, expressions, recording_rules, selectors, split

pytestmark = pytest.mark.integration

MONITORING = rulefiles.MONITORING
SEVERITIES = {"critical", "warning", "info", "none"}
SERVICES = {"indexer", "rpc", "chain", "contracts", "database", "cache", "api", "web"} | {
    "host",
    "container",
    "backup",
    "monitoring",
}
TEAMS = {"platform", "dba", "contracts"}
DASHBOARDS = {
    f"indexer-{name}"
    for name in ("overview", "blockchain", "internals", "database", "system", "slo", "incident")
}
#: Job names and, of probes, what they belong to.
JOBS = {"indexer", "postgres", "redis", "node", "cadvisor", "blackbox", "api", "prometheus", "alertmanager"}
#: Mistakes that rules like these were found with: the rule, what to replace, and by what.
MISTAKES = {
    "the first increment of a new series is not seen": (
        "ReorgDetected",
        r"\nor .*",
        "",
    ),
    "an old process that Prometheus has not seen before counts as an increment": (
        "ReorgDetected",
        r" and on \(instance, chain\) .* < 600",
        "",
    ),
    "the two sides of a ratio have different labels": (
        "DatabaseConnectionsHigh",
        r"sum by \(instance\) \((.*)\)\n/ on \(instance\) .*",
        r"\1 / pg_settings_max_connections > 0.8",
    ),
    "a rate of errors instead of their share": (
        "HighErrorRate",
        r"\n/ .*(> 0.05)",
        r" \1",
    ),
    "one of two requests is a rate": ("HighErrorRate", r"\nand .*", ""),
    "one of two transactions is a rate": ("ContractErrorRateHigh", r"\nand .*", ""),
    "a spike becomes its own baseline": ("AnomalousGasSpike", r" offset 1h", ""),
    "one alert for each process": ("IndexerLag", r"max by \(chain\) \((.*)\)", r"\1"),
    "what is gone is asked whether it is up": ("IndexerDown", r"(?s).*", 'up{job="indexer"} == 0'),
    "a chain of several that vanishes leaves others": (
        "IndexerDown",
        r"(?s).*",
        "absent(indexer_build_info)",
    ),
    "one quiet contract among busy ones": (
        "NoEventsIndexed",
        r"^sum by \(chain\) \((.*?)\) == 0",
        r"\1 == 0",
    ),
    "the exporter is taken for the database": ("DatabaseDown", r".*", 'up{job="postgres"} == 0'),
    "a limit of 0 is taken for a limit": ("ContainerHighMemory", r"\((container_spec.*) > 0\)", r"\1"),
    "steep for a moment is taken for filling up": ("DiskFilling", r"(?s)\nand .*", ""),
    "a histogram is asked as a gauge": ("DeepReorg", r"(?s).*", "indexer_reorg_depth > 10"),
    "a chain that has never been fresh is judged": ("FreshnessBurnFast", r"\nand .* offset .*", ""),
    "a handful of proofs is judged": ("CompletenessBurnFast", r"\nand .*\[1h\].*", ""),
    "old events page": ("ContractUpgraded", r"\nunless .*", ""),
    "what stands still is not seen while a single replica moves": (
        "AllRpcDown",
        r"max by \(chain\) \(indexer_seconds_since_head_read\)",
        "absent(up)",
    ),
}


@pytest.fixture(scope="module")
def case_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return split(cases(), tmp_path_factory.mktemp("cases"))


def test_prometheus_takes_the_configuration_and_the_rules(parts: Parts) -> None:
    said = parts.judge("promtool", "check", "config", MONITORING / "prometheus.yml")
    assert f"{len(alert_rules())} rules found" in said
    assert f"{len(recording_rules())} rules found" in said


def test_each_alert_fires_when_it_should_and_is_quiet_when_it_should(
    parts: Parts, case_files: list[Path]
) -> None:
    said = parts.judge("promtool", "test", "rules", *case_files)
    assert said.count("SUCCESS") == len(case_files)


def test_each_alert_has_cases_in_which_it_fires_and_in_which_it_is_quiet() -> None:
    checked = Counter(check for case in cases() for check in case.checks)
    # The watchdog is there to fire always.
    wanted = {(name, fires) for name in alert_rules() for fires in (True, False)} - {("Watchdog", False)}
    assert wanted <= set(checked), sorted(wanted - set(checked))
    assert {name for name, _ in checked} <= set(alert_rules())
    assert checked["Watchdog", True] >= 2


def test_the_files_of_cases_can_be_run_as_they_are(parts: Parts, tmp_path: Path) -> None:
    groups = [
        group["name"]
        for path in (rulefiles.RECORDED, rulefiles.ALERTS)
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    for path in rulefiles.CASES.glob("*.yml"):
        whole = yaml.safe_load(path.read_text())
        assert whole["group_eval_order"] == groups, path.name
        files = [(path.parent / each).resolve() for each in whole["rule_files"]]
        assert files == [rulefiles.RECORDED, rulefiles.ALERTS]
        # With all rules at once a short case: all of them would take minutes.
        part = whole | {"rule_files": [*map(str, files)], "tests": whole["tests"][:1]}
        (tmp_path / path.name).write_text(yaml.safe_dump(part, sort_keys=False, width=10_000))
    parts.judge("promtool", "test", "rules", tmp_path / "monitoring.yml")


def test_each_firing_case_says_what_the_message_has_to_say() -> None:
    silent = [
        case.name
        for case in cases()
        for each in case.test["alert_rule_test"]
        for alert in each["exp_alerts"]
        if set(alert["exp_annotations"]) != {"summary", "description", "runbook_url", "dashboard_url"}
    ]
    assert not silent


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_rule_is_found_by_its_cases(
    mistake: str, old_parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, good, bad = MISTAKES[mistake]
    rule = alert_rules()[name]
    mistaken = re.sub(good, bad, rule["expr"], count=1)
    assert mistaken != rule["expr"], "the rule reads otherwise by now"
    monkeypatch.setitem(rule, "expr", mistaken)
    files = split([case.about(name) for case in cases() if name in dict(case.checks)], tmp_path)
    with pytest.raises(AssertionError, match="FAILED"):
        old_parts.judge("promtool", "test", "rules", *files)


def test_each_alert_carries_what_routing_and_messages_need() -> None:
    for name, rule in alert_rules().items():
        labels, notes = rule["labels"], rule["annotations"]
        assert set(labels) == {"severity", "service", "team", "group"}, name
        assert labels["severity"] in SEVERITIES, name
        assert labels["service"] in SERVICES, name
        assert labels["team"] in TEAMS, name
        assert set(notes) == {"summary", "description", "runbook_url", "dashboard_url"}, name
        assert notes["runbook_url"] == f"{{{{ $externalLabels.docs_url }}}}/runbook.md#{name.lower()}"
        dashboard = notes["dashboard_url"].removeprefix("{{ $externalLabels.grafana_url }}/d/")
        assert dashboard in DASHBOARDS, name
    assert [name for name, rule in alert_rules().items() if rule["labels"]["severity"] == "none"] == [
        "Watchdog"
    ]


def test_a_warning_and_the_critical_alert_of_one_matter_share_a_group_that_no_other_service_has() -> None:
    services: dict[str, set[str]] = {}
    for rule in alert_rules().values():
        services.setdefault(rule["labels"]["group"], set()).add(rule["labels"]["service"])
    assert not {group: found for group, found in services.items() if len(found) > 1}
    by_group: dict[str, set[str]] = {}
    for rule in alert_rules().values():
        by_group.setdefault(rule["labels"]["group"], set()).add(rule["labels"]["severity"])
    twins = {group for group, found in by_group.items() if {"critical", "warning"} <= found}
    assert {"rpc-down", "contract-errors", "database-connections", "api-errors", "disk"} <= twins


def test_rules_ask_only_for_jobs_that_are_scraped_and_for_series_that_are_recorded() -> None:
    scraped = {job["job_name"] for job in configuration()["scrape_configs"]}
    assert scraped == JOBS
    for name, expression in expressions().items():
        for selector, _ in selectors(promql.parse(expression)):
            assert ":" not in str(selector.name) or selector.name in recording_rules(), name
            for matcher in selector.matchers.matchers:
                if matcher.name == "job":
                    assert set(matcher.value.split("|")) <= scraped, name


def test_every_recorded_series_is_used_or_belongs_to_the_slos() -> None:
    asked = " ".join(expressions().values())
    unused = {name for name in recording_rules() if not re.search(rf"{name}(?![\w:])", asked)}
    assert all(name.startswith("indexer:slo_") and name.endswith("_30d") for name in unused), unused


def test_lists_of_targets_are_empty_as_shipped_so_that_nothing_is_down() -> None:
    listed = {
        path
        for job in configuration()["scrape_configs"]
        for found in job.get("file_sd_configs", [])
        for path in found["files"]
    }
    assert listed == {f"targets/{path.name}" for path in (MONITORING / "targets").glob("*.yml")}
    for path in listed:
        assert yaml.safe_load((MONITORING / path).read_text()) == []


def test_the_documents_name_alerts_that_there_are() -> None:
    text = (MONITORING.parent / "docs" / "reliability.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 6]
    named = {name.strip() for row in rows for name in row[4].split(",")} - {"", "alert", "---"}
    assert len(named) > 10
    assert named <= set(alert_rules())


def configuration() -> rulefiles.Mapping:
    loaded: rulefiles.Mapping = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    return loaded
