"""The files of the dashboards: fresh, of Grafana's types, with ids, places, sources and variables that are right."""

from __future__ import annotations

import copy
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from dashboards import limits
from dashboards.__main__ import PLACE
from dashboards.boards import BOARDS
from dashboards.objectives import COMPLETENESS, FRESHNESS
from dashboards.rendering import rendered
from tests.fixtures.asked import BUILT_IN, VARIABLE, asked, boards, panels
from tests.fixtures.grafanatypes import complaints

GRAFANA = PLACE.parent
UIDS = {
    "indexer-overview",
    "indexer-blockchain",
    "indexer-internals",
    "indexer-database",
    "indexer-system",
    "indexer-slo",
    "indexer-incident",
}
COLUMNS = 24
#: How rules write hours and days.
PRODUCT = re.compile(r"\b(\d+) \* (3600|86400)\b")
#: Values of variables that Grafana knows by itself.
GRAFANAS_OWN = set(BUILT_IN)
LINK = re.compile(r"\]\(/d/([\w-]+)\)")

#: Alert, how it compares, and with what.
ALERTED = (
    ("IndexerLag", ">", limits.LAG[-1].value),
    ("EventProcessingDelay", ">", limits.DELAY[-1].value),
    ("IndexerStuck", ">", limits.STUCK[-1].value),
    ("IndexerStuck", ">", limits.BACKFILL_STUCK[-1].value),
    ("AllRpcDown", ">", limits.HEAD_READ[-1].value),
    ("ChainHalted", ">", limits.HEAD_CHANGED[-1].value),
    ("RpcDisagreement", ">", limits.HEADS_APART[-1].value),
    ("RpcRateLimited", ">", limits.RATE_LIMITED[-1].value),
    ("HighErrorRate", ">", limits.API_ERRORS[-1].value),
    ("SlowAPIResponse", ">", limits.API_SECONDS[-1].value),
    ("HighContractFailureRate", ">", limits.CONTRACT_FAILURES[0].value),
    ("ContractErrorRateHigh", ">", limits.CONTRACT_FAILURES[1].value),
    ("ContractErrorRateCritical", ">", limits.CONTRACT_FAILURES[2].value),
    ("DatabaseConnectionsHigh", ">", limits.CONNECTIONS[0].value),
    ("DatabaseConnectionsCritical", ">", limits.CONNECTIONS[1].value),
    ("LongTransaction", ">", limits.TRANSACTION_SECONDS[-1].value),
    ("DatabaseCacheHitLow", "<", limits.DATABASE_HITS[0].value),
    ("HighCPUUsage", ">", limits.CPU[0].value),
    ("CriticalCPUUsage", ">", limits.CPU[1].value),
    ("HighMemoryUsage", ">", limits.MEMORY[0].value),
    ("CriticalMemoryUsage", ">", limits.MEMORY[1].value),
    ("LowDiskSpace", "<", 1 - limits.DISK[0].value),
    ("DiskAlmostFull", "<", 1 - limits.DISK[1].value),
    ("ContainerHighMemory", ">", limits.CONTAINER_MEMORY[0].value),
    ("CertificateExpiring", "<", limits.CERTIFICATE[1].value),
    ("CertificateExpiringSoon", "<", limits.CERTIFICATE[0].value),
    ("BackupTooOld", ">", limits.BACKUP_AGE[-1].value),
    ("BackupNotVerified", ">", limits.VERIFIED_AGE[-1].value),
    ("FreshnessBurnFast", r"> 14\.4 \*", 1 - FRESHNESS),
    ("FreshnessBurnSteady", r"> 6 \*", 1 - FRESHNESS),
    ("FreshnessBurnSlow", r"> 3 \*", 1 - FRESHNESS),
    ("FreshnessBurnCreeping", r"> 1 \*", 1 - FRESHNESS),
    ("CompletenessBurnFast", r"> 14\.4 \*", 1 - COMPLETENESS),
)

every_board = pytest.mark.parametrize("board", boards().values(), ids=list(boards()))


def test_the_files_are_what_the_code_makes_and_there_is_no_other() -> None:
    wanted = {board.file: rendered(board) for board in BOARDS}
    found = {path.name: path.read_text() for path in PLACE.glob("*")}
    assert found == wanted, "run `make dashboards`"


def test_each_board_has_the_uid_that_alerts_name_and_a_file_and_title_of_its_own() -> None:
    assert {board["uid"] for board in boards().values()} == UIDS
    assert len({board["title"] for board in boards().values()}) == len(UIDS)
    assert "takumi-dashboard.json" in boards()


@every_board
def test_panels_have_ids_of_their_own_and_places_that_do_not_overlap(board: Any) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["w"] > 0, panel["title"]
        assert place["h"] > 0, panel["title"]
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
    for one, other in combinations(board["panels"], 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (beside or above)


@every_board
def test_every_panel_asks_the_provisioned_source_and_says_what_it_answers(board: Any) -> None:
    (source,) = _yaml("datasources/prometheus.yml")["datasources"]
    wanted = {"type": source["type"], "uid": source["uid"]}
    assert wanted == {"type": "prometheus", "uid": "prometheus"}
    for panel in panels(board):
        if panel["type"] == "text":
            assert not panel.get("targets")
            continue
        assert panel["description"], panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["noValue"] == "–"
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
        for asking in (panel, *panel["targets"]):
            assert asking["datasource"] == wanted, panel["title"]
    for variable in board.get("templating", {}).get("list", []):
        assert variable.get("datasource", wanted) == wanted


@every_board
def test_variables_are_used_and_those_used_are_there(board: Any) -> None:
    there = {variable["name"] for variable in board.get("templating", {}).get("list", [])}
    texts = [target["expr"] for panel in panels(board) for target in panel.get("targets", [])]
    texts += [panel["options"]["content"] for panel in panels(board) if panel["type"] == "text"]
    used = {name for text in texts for name in VARIABLE.findall(text)}
    assert used - GRAFANAS_OWN == there


@every_board
def test_every_query_is_promql(board: Any) -> None:
    for one in asked(board):
        promql_parser.parse(one.expr)


@every_board
def test_links_lead_to_boards_that_are_there(board: Any) -> None:
    for panel in panels(board):
        if panel["type"] == "text":
            assert set(LINK.findall(panel["options"]["content"])) <= UIDS
    assert [link["type"] for link in board["links"]] == ["dashboards"]
    assert set(board["links"][0]["tags"]) <= set(board["tags"])


@every_board
def test_shares_are_never_drawn_beyond_all(board: Any) -> None:
    for panel in panels(board):
        if re.search(r"CPU usage|[Mm]emory usage|hit rate|Disk space", panel["title"]):
            defaults = panel["fieldConfig"]["defaults"]
            assert defaults["unit"] == "percentunit", panel["title"]
            assert panel["type"] == "stat" or defaults["max"] == 1, panel["title"]


def test_where_a_board_turns_red_an_alert_begins() -> None:
    rules = yaml.safe_load((GRAFANA.parent / "alerts.yml").read_text())
    exprs = {
        rule["alert"]: PRODUCT.sub(lambda found: str(int(found[1]) * int(found[2])), rule["expr"])
        for group in rules["groups"]
        for rule in group["rules"]
    }
    for alert, sign, value in ALERTED:
        assert re.search(rf"{sign} {re.escape(f'{value:.10g}')}(?![\d.])", exprs[alert]), (
            alert,
            exprs[alert],
        )


def test_the_folder_of_the_boards_is_provisioned() -> None:
    (provider,) = _yaml("dashboards/indexer.yml")["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    sources = _yaml("datasources/prometheus.yml")["datasources"]
    assert [source["isDefault"] for source in sources] == [True]
    assert sources[0]["url"] == "http://prometheus:9090"


def _yaml(name: str) -> Any:
    return yaml.safe_load((GRAFANA / "provisioning" / name).read_text())


def test_the_boards_have_grafanas_types_and_planted_mistakes_are_found(tmp_path: Path) -> None:
    """Both in one: the compiler takes seconds to begin."""
    right = {Path(name).stem: board for name, board in boards().items()}
    wrong = {name: _spoilt(right["slo"], at) for at, name in enumerate(("unit", "place", "option", "mode"))}
    said = complaints(right | wrong, tmp_path)
    assert set(re.findall(r"([\w-]+)\.ts\(", said)) == set(wrong), said


def _spoilt(board: Any, at: int) -> Any:
    """The board with one thing of another type."""
    spoilt = copy.deepcopy(board)
    panel = next(panel for panel in spoilt["panels"] if panel["type"] == "stat")
    if at == 0:
        panel["fieldConfig"]["defaults"]["unit"] = 1
    elif at == 1:
        panel["gridPos"]["w"] = "wide"
    elif at == 2:
        panel["options"]["graphMode"] = "sometimes"
    else:
        panel["fieldConfig"]["defaults"]["thresholds"]["mode"] = "relative"
    return spoilt
