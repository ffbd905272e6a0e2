"""Counters whose labels can be known begin at 0, or the first thing they count would be no increase to Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pytest

from indexer.core.adminroles import CHANGES
from indexer.http.counting import STATUSES
from indexer.metrics import labels
from indexer.metrics.catalogue import CATALOGUE
from tests.fixtures.program import Metrics, started, write_config
from tests.fixtures.truth_expected import TrueContract

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).parents[2] / "indexer" / "dev" / "contracts"
NAMES = ("SkillProfile", "Token")
PATHS = (
    "/",
    "/metrics",
    "/health",
    "/health/live",
    "/health/ready",
    "/api/v1/alerts/webhook",
    "/api/v1/alerts/history",
)
#: Nobody listens there: port 9 is for what is to be thrown away.
NOBODY = "http://127.0.0.1:9"


def contracts() -> list[TrueContract]:
    found = []
    for number, name in enumerate(NAMES, 1):
        abi = json.loads((SAMPLES / f"{name}.json").read_text())
        found.append(
            TrueContract(name, (bytes([number]) * 20,), abi["abi"] if isinstance(abi, dict) else abi)
        )
    return found


def events() -> dict[str, set[str]]:
    return {
        each.name: {entry["name"] for entry in each.abi if entry["type"] == "event"} for each in contracts()
    }


def expected(endpoints: Iterable[str]) -> dict[str, set[tuple[str, ...]]]:
    """The values of the labels that each counter has from the start, in the catalogue's order."""
    names = tuple(endpoints)
    return {
        "indexer_events_total": {
            (contract, event) for contract, found in events().items() for event in found
        },
        "indexer_admin_changes_total": set(product(["SkillProfile"], CHANGES.values())),
        "indexer_undecoded_logs_total": set(product(NAMES, labels.UNDECODED_REASONS)),
        "indexer_contract_tx_total": set(product(NAMES, labels.STATUSES)),
        "indexer_contract_tx_failed_total": set(product(NAMES, labels.FAILURES)),
        "indexer_reorgs_total": {()},
        "indexer_reorg_removed_events_total": {()},
        "indexer_stage_busy_seconds_total": set(product(labels.STAGES)),
        "indexer_errors_total": set(product(labels.ERROR_TYPES)),
        "indexer_bloom_rechecks_total": set(product(labels.RECHECKS)),
        "indexer_rpc_requests_total": set(product(names, labels.METHODS, labels.OUTCOMES)),
        "indexer_rpc_sent_bytes_total": set(product(names)),
        "indexer_rpc_received_bytes_total": set(product(names)),
        "indexer_rpc_unknown_errors_total": set(product(names)),
        "indexer_block_proofs_total": set(product(names, labels.VERDICTS)),
        "indexer_header_proofs_total": set(product(names, labels.VERDICTS)),
        "indexer_rpc_disagreements_total": set(product(names, labels.DISAGREEMENTS)),
        "indexer_alerts_received_total": set(product(labels.ALERT_STATUSES)),
        "indexer_log_records_total": set(product(labels.LEVELS)),
        "indexer_log_shipping_sent_total": {()},
        "indexer_log_shipping_dropped_total": set(product(labels.LOG_DROPS)),
        "indexer_http_requests_total": set(product(PATHS, map(str, STATUSES))),
    }


async def test_every_counter_has_its_series_before_there_is_a_node_or_a_database(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        contracts(),
        rpc=[NOBODY, NOBODY + "/2"],
        database_url="postgresql://nobody@127.0.0.1:9/none",
    )
    async with started("run", "--config", str(config)) as program:
        metrics = await program.metrics()
    endpoints = set(re.findall(r'indexer_rpc_sent_bytes_total{.*endpoint="([^"]+)"', metrics.page))
    assert len(endpoints) == 2
    wanted = expected(endpoints)
    for spec in (each for each in CATALOGUE if each.kind == "counter"):
        assert spec.name in wanted, f"say here which series of {spec.name} are known from the start"
        assert found_in(metrics, spec.name, spec.labels) >= wanted[spec.name], spec.name
    chains = set(re.findall('chain="([^"]*)"', metrics.page))
    assert chains == {"unknown"}


def found_in(metrics: Metrics, name: str, order: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {tuple(dict(sample)[label] for label in order) for sample in metrics.each(name)}
