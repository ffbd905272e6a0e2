"""The way to the database vanishes without a word: both sides notice by themselves, and soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scene import scene
from tests.chaos.test_failover import url_of_both
from tests.fixtures.cutting import CuttingProxy, SilentProxy

pytestmark = pytest.mark.chaos


async def test_a_leader_whose_network_vanishes_is_succeeded_and_comes_back_as_a_standby(
    database_url: str, tmp_path: Path
) -> None:
    async with (
        SilentProxy(database_url).running() as vanishing,
        CuttingProxy(database_url).running() as other_way,
        scene(tmp_path, database_url) as world,
    ):
        world.mine(20)
        world.finalize(5)
        both = url_of_both(vanishing, other_way)
        async with world.run(database_url=both) as leader:
            await world.followed()
            async with world.run() as standby:
                await standby.journalled("standing by")
                vanishing.fall_silent()
                # To the server the leader's sessions look alive until they have said nothing for a while.
                await standby.journalled("leading", epoch=2)
                world.mine(3)
                await world.followed()
                world.reorg(2, 3)
                # The first host of its URL is silent still, and its lock has gone.
                await leader.journalled("standing by")
                await world.settled()
                assert await world.compare() > 0
                assert await standby.stopped() == 0, standby.said
                await leader.journalled("leading", epoch=3)
                world.mine(2)
                await world.settled()
                assert await world.compare() > 0
                assert await leader.stopped() == 0, leader.said
