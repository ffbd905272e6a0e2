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

from dashboards.__main__ import PLACE
from dashboards.boards import BOARDS
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
#: Values of variables that Grafana knows by itself.
GRAFANAS_OWN = set(BUILT_IN) - {"precision"}
LINK = re.compile(r"\]\(/d/([\w-]+)\)")

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
