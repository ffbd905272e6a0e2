"""The journal of reorgs is shown newest first, with what each removed and added."""

from __future__ import annotations

import pytest

from tests.fixtures.commanded import Scene
from tests.property.journey.world import World

pytestmark = pytest.mark.integration


async def test_every_reorg_is_shown_with_what_it_removed(scene: Scene) -> None:
    none = await scene.command("reorgs")
    assert (none.code, none.output) == (0, "no reorgs\n")
    async with World(scene.database_url) as world:
        world.mine(8, seed=1, transactions=4)
        world.finalize(8)
        await world.follow()
        world.mine(6, seed=2, transactions=5)
        await world.follow()
        for depth in (2, 4):
            world.reorg(depth, depth + 1, seed=depth, transactions=4)
            await world.follow()
    ran = await scene.command("reorgs", "--events", "--json")
    assert ran.code == 0
    newest, oldest = ran.json()["reorgs"]
    assert (newest["depth"], oldest["depth"]) == (4, 2)
    assert newest["fork"]["number"] == newest["old_head"]["number"] - 4
    for reorg in (newest, oldest):
        assert len(reorg["events"]) == reorg["rows_removed"] > 0
        assert all(each["block"]["number"] > reorg["fork"]["number"] for each in reorg["events"])
        assert all(each["args"] for each in reorg["events"])
    (only,) = (await scene.command("reorgs", "--limit", "1", "--json")).json()["reorgs"]
    assert only["depth"] == 4
    assert "events" not in only
    text = (await scene.command("reorgs", "--events")).output
    assert text.index("depth 4") < text.index("depth 2")
    assert text.count("\n  - block ") == newest["rows_removed"] + oldest["rows_removed"]
