"""The program on a node that forgets logs: right data all the same, and metrics that tell of it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.chaos.scene import CONTRACTS, Scene
from tests.fixtures.fakechain import FakeChain
from tests.fixtures.fakenode import FakeNode, serving
from tests.fixtures.forgetful import ForgetfulNode
from tests.fixtures.program import Metrics, Program, started, until, write_config
from tests.fixtures.truth import assert_equal_to_chain

pytestmark = pytest.mark.integration
HISTORY, TAIL = 60, 20


async def metrics_with(program: Program, name: str, **labels: str) -> Metrics:
    """The metrics, as soon as this one has moved."""
    found: list[Metrics] = []

    async def moved() -> bool:
        found[:] = [await program.metrics()]
        return found[0].total(name, **labels) > 0

    await until(moved, f"{name} {labels} has moved")
    return found[0]


async def test_a_node_that_loses_whole_kinds_of_logs_is_set_right_in_the_tail_and_in_old_blocks(
    empty_database_url: str, tmp_path: Path
) -> None:
    chain = FakeChain()
    forgetful, honest = ForgetfulNode(chain), FakeNode(chain)
    random = Random(11)
    async with serving(forgetful) as url, serving(honest) as truth_url:
        scene = Scene(forgetful, url, empty_database_url, tmp_path, random)
        scene.mine(HISTORY)
        scene.finalize(10)
        # All logs of a block are lost, in two blocks of three: what its index has of them is nothing.
        forgetful.forgets = lambda log: int(log["blockNumber"], 16) % 3 != 0
        path = write_config(
            tmp_path,
            CONTRACTS,
            rpc=[url],
            database_url=empty_database_url,
            chain={"poll_seconds": 0.05, "transactions": "off"},
            backfill={"parallel": 2, "max_range_blocks": 25, "proof": "bloom"},
        )
        async with started("run", "--config", str(path)) as program:
            await scene.caught_up()
            seen = await metrics_with(program, "indexer_header_proofs_total", verdict="proved")
            old = seen.total("indexer_bloom_rechecks_total", outcome="found")
            assert old > 5
            for _ in range(TAIL):
                scene.mine()
            await scene.followed()
            scene.finalize()
            await scene.caught_up()
            seen = await program.metrics()
            assert seen.total("indexer_bloom_rechecks_total", outcome="found") > old
            assert seen.total("indexer_rpc_disagreements_total", kind="missing_logs") > old
            assert seen.total("indexer_header_proofs_total", verdict="wrong") == 0
            thrown_away = await program.journalled("answer thrown away for another source's")
            assert (thrown_away["endpoint"], thrown_away["proved"]) == ("rpc-1", True)
        events = await assert_equal_to_chain(empty_database_url, truth_url, CONTRACTS, complete=False)
        assert events > HISTORY
        assert len(forgetful.lied_about) > 20
