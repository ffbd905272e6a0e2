"""Every item of the two guides is in the checklist once, and what it points to is there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from indexer.cli import parser
from tests.fixtures.documented import ROOT
from tests.fixtures.markdown import Document, read

#: How many items each guide has.
GUIDES = {"S0": 197, "S1": 230}
#: Items of the wider platform alone, which may be left to it. No other one may.
OF_THE_PLATFORM = """
    S0-066 S0-067 S0-090 S0-127 S0-137 S0-140 to S0-145
    S1-010 S1-031 S1-033 S1-056 to S1-058 S1-092 to S1-095 S1-099 S1-108 S1-114 S1-117 S1-118 S1-121 S1-123
    S1-156 S1-207
"""
#: Backups, restores, snapshots, rollbacks and the hourly script, which are not there yet. No other one may be missing.
LATER = """
    S0-027 to S0-030 S0-108 to S0-125 S0-128 to S0-132 S0-146 to S0-148 S0-150 to S0-153 S0-170
"""
_IDS = re.compile(r"(S[01])-(\d{3})(?: to \1-(\d{3}))?")
_FILE = re.compile(
    r"(?:[\w.-]+/)*[\w-]*\.?[\w.-]+\.(?:py|sh|yml|json|ndjson|conf|sql|tmpl|example)|Dockerfile"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of one of the tables."""

    items: tuple[str, ...]
    heading: str
    what: str
    where: str
    shown_by: str


def items(text: str) -> Iterator[str]:
    """The items that a text names, ranges written out."""
    for guide, first, last in _IDS.findall(text):
        yield from (f"{guide}-{number:03}" for number in range(int(first), int(last or first) + 1))


def rows(document: Document) -> list[Row]:
    """Every line of every table."""
    return [
        Row(tuple(items(cells[0])), section.title, *cells[1:])
        for section in document.sections
        for line in section.text.splitlines()
        if line.startswith("| S")
        for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    ]


CHECKLIST = read(ROOT / "docs" / "checklist.md")
ROWS = rows(CHECKLIST)


def under(heading: str) -> set[str]:
    return {item for row in ROWS if row.heading.startswith(heading) for item in row.items}


def test_every_item_is_there_once() -> None:
    expected = [f"{guide}-{number:03}" for guide, last in GUIDES.items() for number in range(1, last + 1)]
    found = Counter(item for row in ROWS for item in row.items)
    assert [item for item in expected if item not in found] == []
    assert [item for item, times in found.items() if times > 1 or item not in expected] == []


def test_only_what_may_be_left_out_is_left_out() -> None:
    assert under("Not yet") == set(items(LATER))
    assert under("Of the platform") == set(items(OF_THE_PLATFORM))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.items[0])
def test_what_a_row_points_to_is_there(row: Row) -> None:
    code = re.findall(r"`([^`]+)`", f"{row.where} {row.shown_by}")
    done = "done" in row.heading
    assert row.what and row.where and row.shown_by
    assert not done or code or "](" in row.where
    for each in code:
        file, _, test = each.partition("::")
        if _FILE.fullmatch(file):
            assert (ROOT / file).is_file(), each
            assert not test or re.search(rf"^(?:async )?def {test}\(", (ROOT / file).read_text(), re.M), each
        elif each.startswith("indexer "):
            assert callable(parser().parse_args(each.split()[1:]).command)
        elif "/" in each and not each.startswith("/"):
            assert (ROOT / each).exists(), each


def test_the_rows_that_are_done_say_how_that_shows() -> None:
    silent = [row.items[0] for row in ROWS if "done" in row.heading and row.shown_by in {"", "–"}]
    assert silent == []
