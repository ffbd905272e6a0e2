"""The journey of blocks through the real flow and a real database, whatever the chain does meanwhile."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from indexer.core.errors import IndexerError
from indexer.sync import follow, replacing
from tests.fixtures.postgres import fresh_database
from tests.property.journey.bugs import BUGS, Bug
from tests.property.journey.machine import Journey
from tests.property.journey.stories import STORIES, Story
from tests.property.journey.world import World

#: Runs of the state machine, and things that happen in each.
EXAMPLES = int(os.environ.get("JOURNEY_EXAMPLES", "15"))
STEPS = 25
#: Making a failure as short as possible takes minutes: asked for by whoever looks into one.
PHASES = (Phase.generate, Phase.shrink) if "JOURNEY_SHRINK" in os.environ else (Phase.generate,)


@pytest.fixture(autouse=True)
def short_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few blocks take the paths that otherwise take hundreds."""
    monkeypatch.setattr(follow, "JUMP_BLOCKS", 8)
    monkeypatch.setattr(follow, "CATCH_UP_BLOCKS", 3)
    monkeypatch.setattr(replacing, "LOOKBACK_BLOCKS", 2)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_after_a_story_the_rows_equal_a_straight_read_of_the_chain(
    story: Story, database_url: str
) -> None:
    async with World(database_url) as world:
        await story(world)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
async def test_a_planted_bug_does_not_survive_its_story(
    bug: Bug, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug.plant(monkeypatch)
    with pytest.raises((AssertionError, IndexerError), match=bug.symptom):
        async with World(database_url) as world:
            await bug.story(world)


def test_whatever_happens_in_whatever_order_the_rows_equal_the_chain_in_the_end(
    postgres_url: str, template_database: str
) -> None:
    class JourneyHere(Journey):
        new_database = staticmethod(partial(fresh_database, postgres_url, template_database))

    run_state_machine_as_test(
        JourneyHere,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=PHASES,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_readme_names_every_planted_bug() -> None:
    readme = (Path(__file__).parent / "journey" / "README.md").read_text()
    assert [bug.name for bug in BUGS if f"| {bug.name} |" not in readme] == []
