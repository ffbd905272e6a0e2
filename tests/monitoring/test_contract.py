"""What rules, dashboards and documents ask for is what the running program exports, and all of that is documented."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from indexer.metrics import labels
from indexer.metrics.catalogue import CATALOGUE
from tests.fixtures.anvil import DevChainFactory
from tests.fixtures.indexed import true_contracts, until_at_head, until_complete
from tests.fixtures.node import Http, fault_node
from tests.fixtures.program import Metrics, started, until, write_config
from tests.fixtures.promnames import (
    Labels,
    Use,
    problems,
    recorded,
    uses_of_documents,
    uses_of_monitoring,
    uses_of_query,
)

PROJECT = Path(__file__).parents[2]
MONITORING = PROJECT / "monitoring"
DOCUMENTS = [*sorted((PROJECT / "docs").glob("*.md")), PROJECT / "README.md"]
BACKUP = """
    insert into indexer.backup (started_at, finished_at, outcome, file_name, size_bytes, checksum, verified_at)
    values (now() - interval '1 minute', now(), 'ok', 'a.dump', 4096, 'ab', now())
"""
#: Small samples: what the planted mistakes are held against.
LIVE: dict[str, list[Labels]] = {
    "indexer_errors_total": [{"chain": "1", "error_type": "fatal"}, {"chain": "1", "error_type": "too_much"}],
    "indexer_block_lag": [{"chain": "1"}],
    "indexer_reorg_depth_bucket": [{"chain": "1", "le": "1.0"}],
}


def found_in(directory: Path) -> list[str]:
    return problems(uses_of_monitoring(directory), LIVE, recorded(directory))


def live_series(page: str) -> dict[str, list[Labels]]:
    found: dict[str, list[Labels]] = defaultdict(list)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name].append(sample.labels)
    return found


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ('rate(indexer_errors_total{error_type="fatal"}[5m]) > 0', None),
        ('indexer_block_lag{chain=~"$chain", job="indexer"} > 100', None),
        ("sum by (chain) (rate(indexer_errors_total[$__rate_interval])) / on (chain) lag:max", None),
        (
            'histogram_quantile(0.9, sum by (le) (rate(indexer_reorg_depth_bucket{chain="$chain"}[$span])))',
            None,
        ),
        (
            'label_replace(sum by (error_type) (indexer_errors_total), "kind", "$1", "error_type", "(.*)")',
            None,
        ),
        ('rate(pg_stat_database_xact_commit{datname="x"}[5m]) / up', None),
        ("indexer_eror_total > 0", "there is no indexer_eror_total"),
        ("indexer_reorg_depth > 10", "there is no indexer_reorg_depth"),
        ("max_over_time(indexer_block_lags[5m:1m]) > 0", "there is no indexer_block_lags"),
        ('indexer_block_lag{network="1"}', "indexer_block_lag has no label network"),
        ('indexer_errors_total{error_type="deadly"}', "no indexer_errors_total has error_type='deadly'"),
        ('indexer_errors_total{error_type!~"fatal|too_.*"}', "no indexer_errors_total has error_type"),
        ("sum by (contract) (indexer_errors_total)", "indexer_errors_total has no label contract"),
        ("1 - (sum by (kind) (rate(indexer_errors_total[5m])))", "indexer_errors_total has no label kind"),
        ("lag:avg > 3", "no rule records lag:avg"),
        ("custom_operations_total", "nobody exports custom_operations_total"),
        ('count({job="indexer"})', "asks for a series without its name"),
    ],
)
def test_a_query_that_asks_for_what_there_is_not_is_found(query: str, problem: str | None) -> None:
    found = problems(uses_of_query("a rule", query), LIVE, {"lag:max"})
    if problem is None:
        assert found == []
    else:
        assert len(found) == 1 and found[0].startswith(f"a rule: {problem}")


def test_mistakes_in_rules_their_tests_and_dashboards_are_found_where_they_stand(tmp_path: Path) -> None:
    (tmp_path / "grafana").mkdir()
    (tmp_path / "alerts.yml").write_text(
        "groups: [{name: a, rules: [{alert: Late, expr: indexer_blok_lag > 1}, {record: 'lag:max', expr: up}]}]"
    )
    (tmp_path / "cases.yaml").write_text(
        "tests: [{input_series: [{series: 'indexer_block_lag{role=\"a\"}', values: '0x5'}, "
        "{series: 'indexer_errors_total{error_type=\"invented\"}', values: '0x5'}]}]"
    )
    (tmp_path / "grafana" / "a.json").write_text(
        json.dumps(
            {
                "panels": [
                    {"panels": [{"targets": [{"refId": "A", "expr": "lag:max"}]}]},
                    {"targets": [{"refId": "B", "expr": "lag:min"}]},
                ],
                "templating": {
                    "list": [
                        {"query": {"query": "label_values(indexer_block_lag, chain)"}},
                        {"query": 'label_values(indexer_errors_total{chain="$chain"}, contract)'},
                        {"definition": "query_result(topk(1, indexer_first))"},
                    ]
                },
            }
        )
    )
    assert found_in(tmp_path) == [
        "alerts.yml Late: there is no indexer_blok_lag",
        "cases.yaml: indexer_block_lag has no label role",
        "grafana/a.json B: no rule records lag:min",
        "grafana/a.json: indexer_errors_total has no label contract",
        "grafana/a.json: there is no indexer_first",
    ]


def test_an_expression_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text("groups: [{rules: [{alert: Odd, expr: 'rate(up)'}]}]")
    with pytest.raises(ValueError, match=r"alerts\.yml Odd: rate\(up\)"):
        uses_of_monitoring(tmp_path)


def test_names_in_code_and_backticks_of_documents_are_found(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "The lag `indexer_block_lag`, `indexer_reorg_depth`, `indexer_block_lagg`; the role `indexer_reader` and\n"
        "all of `indexer_rpc_…`; `indexer_errors_total{error_type}`; files `indexer_x.py`.\n"
        '```promql\nindexer_errors_total{error_type="odd"} > 0\nindexer_none_total > 0\n```\n'
        "indexer_in_prose\n"
    )
    assert problems(uses_of_documents([document]), LIVE, set()) == [
        "a.md: no indexer_errors_total has error_type='odd'",
        "a.md: there is no indexer_block_lagg",
        "a.md: there is no indexer_none_total",
    ]


@pytest.mark.integration
async def test_every_series_that_is_asked_for_is_exported_and_every_exported_one_is_documented(
    dev_chain_factory: DevChainFactory, empty_database_url: str, tmp_path: Path
) -> None:
    dev = await dev_chain_factory(history_blocks=40, slots_in_an_epoch=4)
    contracts = true_contracts(dev, ("SkillClaim", "SkillProfile", "Token", "Oddities"))
    async with fault_node(upstream=dev.rpc_url) as node:
        node.fault(Http(429), "eth_getLogs", times=2)
        config = write_config(tmp_path, contracts, rpc=[node.url], database_url=empty_database_url)
        async with started("run", "--config", str(config)) as program:
            await until_at_head(empty_database_url, dev.rpc_url)
            await _record_backup(empty_database_url)
            await until_complete(empty_database_url)
            await dev.reorg(3)
            await dev.step(20)
            await until_at_head(empty_database_url, dev.rpc_url)
            await program.get("/health")

            async def settled() -> Metrics | None:
                metrics = await program.metrics()
                return metrics if metrics["indexer_backup_last_success_timestamp_seconds"] else None

            metrics = await until(settled, "the backup is told")
            assert isinstance(metrics, Metrics)
    _require_that_it_all_happened(metrics)
    live = live_series(metrics.page)
    suffix = {"counter": "", "gauge": "", "histogram": "_bucket"}
    assert {spec.name for spec in CATALOGUE if spec.name + suffix[spec.kind] not in live} == set()
    _require_documented(live)
    monitoring = uses_of_monitoring(MONITORING) if MONITORING.is_dir() else []
    records = recorded(MONITORING) if MONITORING.is_dir() else set[str]()
    found = problems([*monitoring, *uses_of_documents(DOCUMENTS)], live, records)
    assert not found, "\n".join(found)


async def _record_backup(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(BACKUP)
    finally:
        await connection.close()


def _require_that_it_all_happened(metrics: Metrics) -> None:
    assert metrics.total("indexer_contract_tx_failed_total") > 0, "no transaction failed"
    assert metrics.total("indexer_undecoded_logs_total") > 0, "every log could be decoded"
    assert metrics.total("indexer_reorgs_total") > 0, "there was no reorg"
    assert metrics.total("indexer_admin_changes_total", change="granted") > 0, "nobody became administrator"
    assert metrics.total("indexer_rpc_requests_total", outcome="rate_limited") > 0, "no call was refused"
    assert metrics.total("indexer_backup_size_bytes") == 4096
    assert metrics.total("indexer_http_requests_total", path="/health") > 0
    for stage in labels.STAGES:
        assert metrics.total("indexer_stage_busy_seconds_total", stage=stage) > 0, stage


def _require_documented(live: dict[str, list[Labels]]) -> None:
    """Names and labels: what is exported is in the page of the metrics, and nothing else is said there."""
    page = (PROJECT / "docs" / "metrics.md").read_text()
    entries = re.findall(r"^### `(\w+)`\n.*?labels: (.*?)\n", page, re.DOTALL | re.MULTILINE)
    written = {name: set(re.findall(r"`(\w+)`", listed)) for name, listed in entries}
    exported: dict[str, set[str]] = defaultdict(set)
    for name, series in live.items():
        if name.startswith("indexer_"):
            family = name if name in written else re.sub(r"_(bucket|count|sum)$", "", name)
            exported[family] |= {label for each in series for label in each} - {"chain", "le"}
    assert exported == written
    undocumented = {
        name for name in live if not name.startswith("indexer_") and not re.match("python_gc_", name)
    }
    assert {name for name in undocumented if f"`{name}`" not in page} == set()


def test_uses_are_found_at_all() -> None:
    """Or nothing would be held against anything."""
    assert Use(
        "reliability.md", "indexer_halted", (("reason", "=", "too_deep"),), (), in_prose=True
    ) in uses_of_documents(DOCUMENTS)
