"""A short run of each fuzz target, always the same, and every input that was worth keeping; see the README."""

from __future__ import annotations

import importlib
from functools import cache

import pytest

from tests.fuzz.engine import FoundError, Run, fuzz, kept_inputs

#: How often each target is run here; `python -m tests.fuzz TARGET --runs N` does more.
RUNS = {"decoder": 1_500, "answers": 2_500, "configuration": 600}
#: So many different outcomes at least: a target that stopped reaching the code would have few.
LEAST_OUTCOMES = {"decoder": 9, "answers": 60, "configuration": 60}


@cache
def target(name: str) -> Run:
    made: Run = importlib.import_module(f"tests.fuzz.{name}").Target()
    return made


@pytest.mark.parametrize("name", RUNS)
def test_every_kept_input_is_read_or_refused(name: str) -> None:
    outcomes = {file: target(name)(octets) for file, octets in kept_inputs(name).items()}
    assert len(set(outcomes.values())) >= LEAST_OUTCOMES[name] // 3


@pytest.mark.parametrize("name", RUNS)
def test_changed_inputs_are_read_or_refused(name: str) -> None:
    report = fuzz(target(name), RUNS[name], seed=2, corpus=kept_inputs(name).values())
    assert report.executions == RUNS[name]
    assert len(report.outcomes) >= LEAST_OUTCOMES[name]


def test_a_target_that_fails_is_told_with_its_input() -> None:
    def fails_on_long_inputs(octets: bytes) -> str:
        assert len(octets) < 100
        return "short"

    with pytest.raises(FoundError, match="fails on") as found:
        fuzz(fails_on_long_inputs, 10_000, seed=1)
    assert len(found.value.octets) >= 100
