"""What a dashboard consists of, said without Grafana's words: questions, queries, units and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: The window of every rate: Grafana makes it at least four scrapes long.
RATE = "$__rate_interval"
#: The whole time that the board shows.
SHOWN = "$__range"

Kind = Literal["graph", "number", "table", "words"]

#: Grid columns of a whole line.
LINE = 24


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression, and what its series are called in the legend (``{{label}}`` is filled in)."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """From this value on (inclusive) the colour is another one."""

    value: float
    colour: Literal["green", "yellow", "orange", "red", "blue"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture, number, table or text."""

    kind: Kind
    title: str
    #: What it answers, and what to make of it; for words: the Markdown itself.
    description: str
    queries: tuple[Query, ...] = ()
    #: As Grafana names units: "s", "bytes", "percentunit" …
    unit: str = "short"
    #: The colour below all limits.
    start: Literal["green", "red", "blue", "text"] = "text"
    limits: tuple[Limit, ...] = ()
    #: In grid columns, of which a line has 24, and grid rows of 30 pixels.
    width: int = 8
    height: int = 8
    stacked: bool = False
    #: Bounds of the vertical axis; None: as the data are.
    least: float | None = 0
    most: float | None = None
    #: Words in place of a number: value → what it means.
    meanings: tuple[tuple[float, str], ...] = ()
    #: Whether histogram queries show exemplars.
    exemplars: bool = False


def graph(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    limits: tuple[Limit, ...] = (),
    width: int = 8,
    height: int = 8,
    stacked: bool = False,
    least: float | None = 0,
    most: float | None = None,
    exemplars: bool = False,
) -> Panel:
    """Lines over time; its limits are drawn as lines. ``least`` None: the axis need not begin at 0."""
    return Panel(
        "graph",
        title,
        description,
        queries,
        unit,
        "text" if not limits else "green",
        limits,
        width,
        height,
        stacked,
        least,
        most,
        exemplars=exemplars,
    )


def number(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    start: Literal["green", "red", "blue", "text"] = "green",
    limits: tuple[Limit, ...] = (),
    width: int = 4,
    height: int = 4,
    meanings: tuple[tuple[float, str], ...] = (),
) -> Panel:
    """The value at this moment, one for each series; nothing is shown as a dash and never as 0."""
    return Panel(
        "number",
        title,
        description,
        queries,
        unit,
        start,
        limits,
        width,
        height,
        least=None,
        meanings=meanings,
    )


def table(
    title: str, description: str, query: Query, *, unit: str = "short", width: int = 12, height: int = 8
) -> Panel:
    """The series at this moment, one a line, with their labels."""
    return Panel("table", title, description, (query,), unit, "text", (), width, height, least=None)


def words(title: str, markdown: str, *, width: int = 8, height: int = 8) -> Panel:
    """A text; no query."""
    return Panel("words", title, markdown, width=width, height=height, least=None)


@dataclass(frozen=True, slots=True)
class Row:
    """Panels of one matter, from left to right; those that do not fit continue on the next line."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable that the reader chooses values of: those of a label of a metric."""

    name: str
    label: str
    metric: str
    #: The label whose values are offered; empty: as the variable is called.
    of: str = ""

    @property
    def query(self) -> str:
        """The values, as Grafana's Prometheus data source asks for them."""
        return f"label_values({self.metric}, {self.of or self.name})"


@dataclass(frozen=True, slots=True)
class Written:
    """A variable that the reader may write over."""

    name: str
    label: str
    preset: str


Variable = Choice | Written


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    #: Name of its file.
    file: str
    title: str
    #: The question that it answers.
    question: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    #: What it shows when it is opened.
    since: str = "now-1h"
    refresh: str = "30s"


CHAIN = Choice("chain", "Chain", "indexer_build_info")
