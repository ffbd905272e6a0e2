"""Rules that a test runs in a shorter time are still the rules: nothing but durations differs, all by one factor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from tests.fixtures.debian import Parts
from tests.fixtures.rulefiles import ALERTS, MONITORING, RECORDED
from tests.fixtures.shortened import LASTING, shortened, shortened_duration

FACTOR = 60
ROUTES = MONITORING / "alertmanager.yml"
WAITS = ("group_wait", "group_interval", "repeat_interval", "resolve_timeout")


def leaves(expression: promql.Expr) -> Iterator[object]:
    """What an expression consists of, from left to right, with its durations and numbers as such."""
    match expression:
        case promql.VectorSelector():
            yield (expression.name, str(expression.matchers), str(expression.at))
            yield expression.offset or timedelta(0)
        case promql.MatrixSelector():
            yield expression.range
            yield from leaves(expression.vector_selector)
        case promql.AggregateExpr():
            by = expression.modifier
            yield (str(expression.op), by and (str(by.type), tuple(by.labels)), str(expression.param))
            yield from leaves(expression.expr)
        case promql.BinaryExpr():
            modifier = expression.modifier
            yield (
                str(expression.op),
                modifier and (str(modifier.matching), str(modifier.card), modifier.return_bool),
            )
            yield from leaves(expression.lhs)
            if isinstance(expression.rhs, promql.NumberLiteral) and _lasts(expression.lhs):
                yield timedelta(seconds=expression.rhs.val)
            else:
                yield from leaves(expression.rhs)
        case promql.Call():
            yield expression.func.name
            for argument in expression.args:
                yield from leaves(argument)
        case promql.ParenExpr() | promql.UnaryExpr():
            yield type(expression)
            yield from leaves(expression.expr)
        case promql.NumberLiteral():
            yield expression.val
        case _:
            raise AssertionError(f"no rule had a {type(expression)} so far: {expression}")


def _lasts(expression: promql.Expr) -> bool:
    """Whether it is one of the series that say how long something lasts, or the largest or smallest of them."""
    inner = expression.expr if isinstance(expression, promql.AggregateExpr) else expression
    return isinstance(inner, promql.VectorSelector) and inner.name in LASTING


def times(whole: object, short: object) -> bool:
    """Whether they are equal, but for durations that are shorter by the factor."""
    if isinstance(whole, timedelta) and isinstance(short, timedelta):
        return abs(whole / FACTOR - short) < timedelta(milliseconds=1)
    return whole == short


@pytest.mark.parametrize("path", [ALERTS, RECORDED], ids=lambda path: path.name)
def test_shorter_rules_differ_from_ours_in_durations_alone(path: Path) -> None:
    ours = yaml.safe_load(path.read_text())
    short = shortened(ours, FACTOR)
    durations = 0
    for group, shorter in zip(ours["groups"], short["groups"], strict=True):
        assert {**group, "rules": 0, "interval": 0} == {**shorter, "rules": 0, "interval": 0}
        for rule, quick in zip(group["rules"], shorter["rules"], strict=True):
            assert {**rule, "expr": 0, "for": 0} == {**quick, "expr": 0, "for": 0}
            assert quick.get("for") == (shortened_duration(rule["for"], FACTOR) if "for" in rule else None)
            whole, parts = (list(leaves(promql.parse(each["expr"]))) for each in (rule, quick))
            assert len(whole) == len(parts)
            assert not [pair for pair in zip(whole, parts, strict=True) if not times(*pair)], rule
            durations += sum(isinstance(each, timedelta) and bool(each) for each in whole)
    assert durations > 20
    assert ours == yaml.safe_load(path.read_text())


def test_shorter_routes_differ_from_ours_in_their_waits_alone() -> None:
    ours = yaml.safe_load(ROUTES.read_text())
    assert shortened(ours, 1) != ours
    assert _without_waits(shortened(ours, FACTOR)) == _without_waits(ours)
    assert shortened(ours, FACTOR)["route"]["repeat_interval"] == "240000ms"


def _without_waits(configured: Any) -> Any:
    match configured:
        case dict():
            return {key: 0 if key in WAITS else _without_waits(value) for key, value in configured.items()}
        case list():
            return [_without_waits(each) for each in configured]
        case _:
            return configured


@pytest.mark.integration
def test_shorter_rules_are_rules(parts: Parts, tmp_path: Path) -> None:
    for path in (ALERTS, RECORDED):
        short = tmp_path / path.name
        short.write_text(yaml.safe_dump(shortened(yaml.safe_load(path.read_text()), FACTOR), width=10_000))
        parts.judge("promtool", "check", "rules", short)


def test_what_is_no_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="1h30m"):
        shortened_duration("1h30m", FACTOR)
