"""The journey of blocks through the real flow and a real database, whatever the chain does meanwhile."""

from __future__ import annotations

import pytest

from indexer.core.errors import IndexerError
from indexer.sync import follow
from tests.property.journey.bugs import BUGS, Bug
from tests.property.journey.stories import STORIES, Story
from tests.property.journey.world import World


@pytest.fixture(autouse=True)
def short_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few blocks take the paths that otherwise take hundreds."""
    monkeypatch.setattr(follow, "JUMP_BLOCKS", 8)
    monkeypatch.setattr(follow, "CATCH_UP_BLOCKS", 3)
    monkeypatch.setattr(follow, "LOOKBACK_BLOCKS", 2)


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
