"""Makes Grafana's JSON of a board, by Grafana's own typed builders."""

from __future__ import annotations

import json
import string

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from dashboards.board import LINE, Board, Choice, Panel, Query, Variable

#: The uid of the provisioned data source.
SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="prometheus")
#: By this tag the boards find each other.
TAG = "indexer"
#: A gap of missed scrapes up to this long is drawn through; a longer one is left open, as nothing is known of it.
JOINED_GAP_MILLISECONDS = 60_000
NO_VALUE = "–"
#: What says nothing to a reader of a table.
HIDDEN_COLUMNS = ("Time", "__name__", "cluster", "job", "alertstate", "group")


class _Ready(Builder[dashboard.Panel]):
    """A panel that is built already."""

    def __init__(self, panel: dashboard.Panel) -> None:
        self._panel = panel

    def build(self) -> dashboard.Panel:
        return self._panel


def rendered(board: Board) -> str:
    """The board's JSON, with a newline at the end; equal for equal boards."""
    told = json.loads(json.dumps(_dashboard(board), cls=JSONEncoder))
    told["annotations"] = {"list": []}
    _drop(told, ("style",))
    for variable in told.get("templating", {}).get("list", []):
        _drop(variable, ("auto", "auto_count", "auto_min", "id"))
    for panel in told["panels"]:
        _drop(panel.get("options", {}), ("footer",))
    return json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _drop(told: dict[str, object], names: tuple[str, ...]) -> None:
    """Leave out what the builders always say and Grafana's newer schemas no longer know."""
    for name in names:
        told.pop(name, None)


def _dashboard(board: Board) -> dashboard.Dashboard:
    built = (
        dashboards.Dashboard(board.title)
        .uid(board.uid)
        .description(board.question)
        .tags([TAG])
        .timezone("browser")
        .time(board.since, "now")
        .refresh(board.refresh)
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(
            dashboards.DashboardLink("Boards")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in board.variables:
        built.with_variable(_variable(variable))
    number, top = 0, 0
    for row in board.rows:
        number += 1
        place = dashboard.GridPos(h=1, w=LINE, x=0, y=top)
        built.with_row(dashboards.Row(row.title).id(number).grid_pos(place))
        top += 1
        left, tallest = 0, 0
        for panel in row.panels:
            if left + panel.width > LINE:
                left, top, tallest = 0, top + tallest, 0
            number += 1
            place = dashboard.GridPos(h=panel.height, w=panel.width, x=left, y=top)
            built.with_panel(_Ready(_panel(panel, number, place)))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return built.build()


def _variable(variable: Variable) -> Builder[dashboard.VariableModel]:
    if isinstance(variable, Choice):
        return (
            dashboards.QueryVariable(variable.name)
            .label(variable.label)
            .datasource(SOURCE)
            .query({"query": variable.query, "refId": variable.name})
            .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))
        )
    preset = dashboard.VariableOption(selected=True, text=variable.preset, value=variable.preset)
    return (
        dashboards.TextBoxVariable(variable.name)
        .label(variable.label)
        .default_value(variable.preset)
        .options([preset])
        .current(preset)
    )


def _panel(plan: Panel, number: int, place: dashboard.GridPos) -> dashboard.Panel:
    """The panel with all that the kinds have in common."""
    panel = _of_its_kind(plan)
    panel.id_val, panel.grid_pos, panel.title = number, place, plan.title
    if plan.kind == "words":
        return panel
    panel.description, panel.datasource = plan.description, SOURCE
    panel.targets = [_target(plan, at, query).build() for at, query in enumerate(plan.queries)]
    return panel


def _target(plan: Panel, at: int, query: Query) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(string.ascii_uppercase[at]).datasource(SOURCE)
    if query.legend:
        target.legend_format(query.legend)
    if plan.kind == "graph":
        return target.range().exemplar(plan.exemplars)
    target.instant()
    return target.format(PromQueryFormat.TABLE) if plan.kind == "table" else target


def _of_its_kind(plan: Panel) -> dashboard.Panel:
    if plan.kind == "graph":
        return _graph(plan).build()
    if plan.kind == "number":
        return _number(plan).build()
    if plan.kind == "table":
        return _table(plan).build()
    return text.Panel().mode(TextMode.MARKDOWN).content(plan.description).build()


def _graph(plan: Panel) -> timeseries.Panel:
    legend = common_builders.VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM)
    panel = (
        timeseries.Panel()
        .unit(plan.unit)
        .no_value(NO_VALUE)
        .span_nulls(JOINED_GAP_MILLISECONDS)
        .line_width(1)
        .fill_opacity(30 if plan.stacked else 8)
        .show_points(common.VisibilityMode.AUTO)
        .legend(legend.display_mode(common.LegendDisplayMode.LIST))
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )
    if plan.stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if plan.least is not None:
        panel.min(plan.least)
    if plan.most is not None:
        panel.max(plan.most)
    if plan.limits:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        panel.thresholds(_thresholds(plan)).thresholds_style(style)
    return panel


def _number(plan: Panel) -> stat.Panel:
    newest = common_builders.ReduceDataOptions().calcs(["last"])
    panel = (
        stat.Panel()
        .unit(plan.unit)
        .no_value(NO_VALUE)
        .thresholds(_thresholds(plan))
        .color_mode(common.BigValueColorMode.BACKGROUND if plan.limits else common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(newest)
    )
    if plan.meanings:
        told = {f"{value:g}": dashboard.ValueMappingResult(text=meaning) for value, meaning in plan.meanings}
        panel.mappings([dashboard.ValueMap(options=told)])
    return panel


def _table(plan: Panel) -> table.Panel:
    hide = {"excludeByName": dict.fromkeys(HIDDEN_COLUMNS, True)}
    return (
        table.Panel()
        .show_header(True)
        .no_value(NO_VALUE)
        .override_by_name("Value", [dashboard.DynamicConfigValue(id_val="unit", value=plan.unit)])
        .with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=hide))
    )


def _thresholds(plan: Panel) -> Builder[dashboard.ThresholdsConfig]:
    steps = [dashboard.Threshold(value=None, color=plan.start)]
    steps += [dashboard.Threshold(value=limit.value, color=limit.colour) for limit in plan.limits]
    return dashboards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)
