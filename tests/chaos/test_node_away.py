"""The node refuses, hangs or is gone: lag grows, health degrades and is not red, and nothing is missing later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.relay import relay_to
from tests.chaos.scene import scene
from tests.fixtures.anvil import DevChainFactory
from tests.fixtures.fakenode import RpcError
from tests.fixtures.indexed import true_contracts, until_at_head, until_complete
from tests.fixtures.program import Program, started, until, write_config
from tests.fixtures.truth import assert_equal_to_chain

pytestmark = pytest.mark.chaos

#: A frozen node is found out soon, and a slow machine is not taken for one.
TIMEOUTS = {"request_seconds": 2.0, "retry_total_seconds": 4.0}
#: What a node can do that has the newest headers and not yet the blocks.
HEADERS = ("eth_chainId", "eth_getBlockByNumber")


async def until_health(program: Program, verdict: str, *, endpoints_up: int) -> dict[str, Any]:
    """The health page as soon as it gives that verdict and so many nodes; its HTTP status stays 200."""

    async def said() -> dict[str, Any] | None:
        assert program.running, program.said
        status, page = await program.get("/health")
        health: dict[str, Any] = json.loads(page)
        assert status == 200, health
        told = (health["status"], health["services"]["blockchain"]["endpointsUp"])
        return health if told == (verdict, endpoints_up) else None

    found: dict[str, Any] = await until(said, f"the health is {verdict}, with {endpoints_up} endpoints up")
    return found


async def until_lag(program: Program, blocks: int) -> None:
    """Return when the metrics say that the cursor is so many blocks behind the head."""

    async def said() -> bool:
        return (await program.metrics())["indexer_block_lag"] == blocks

    await until(said, f"the lag is {blocks} blocks")


async def cursor(program: Program) -> int:
    """The number of the newest block that it says it has indexed."""
    return int((await program.metrics())["indexer_indexed_block_number"])


async def assert_away(program: Program) -> None:
    """The program is alive and says that no node is there, and that what it has grows old."""
    health = await until_health(program, "degraded", endpoints_up=0)
    assert health["services"]["database"]["status"] == "healthy"
    assert (await program.get("/health/live"))[0] == 200
    before = await program.metrics()
    assert before.total("indexer_rpc_endpoint_up") == 0

    async def grown() -> bool:
        delay = "indexer_event_processing_delay_seconds"
        return (await program.metrics())[delay] > before[delay]

    await until(grown, "what is indexed grows older")


async def test_lag_grows_while_blocks_are_refused_and_is_made_up_after_the_node_was_gone(
    database_url: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database_url) as world, relay_to(world.rpc_url) as relay:
        world.mine(30)
        world.finalize(10)
        async with world.run(rpc_url=relay.url) as program:
            await world.caught_up()
            await until_health(program, "ok", endpoints_up=1)

            def refuse(method: str, params: list[Any]) -> None:
                if method not in HEADERS:
                    raise RpcError(-32000, "header not found")

            world.node.before = refuse
            for lag in (2, 5):
                world.mine(lag - world.chain.head.number + (await cursor(program)))
                await until_lag(program, lag)
            world.node.before = lambda method, params: None
            await world.followed()
            await until_lag(program, 0)

            await relay.close()
            world.mine(3)
            await assert_away(program)
            world.reorg(5, 6)
            await relay.open()
            await world.settled()
            await until_health(program, "ok", endpoints_up=1)
            await until_lag(program, 0)
            assert await world.compare() > 0
            assert await program.stopped() == 0, program.said


async def test_a_node_that_hangs_for_a_while_degrades_the_program_and_costs_no_block(
    dev_chain_factory: DevChainFactory, database_url: str, tmp_path: Path
) -> None:
    dev = await dev_chain_factory(history_blocks=20, slots_in_an_epoch=4)
    contracts = true_contracts(dev, ("SkillProfile", "SkillClaim", "Endorsement"))
    config = write_config(
        tmp_path, contracts, rpc=[dev.rpc_url, dev.ws_url], database_url=database_url, timeouts=TIMEOUTS
    )
    async with started("run", "--config", str(config)) as program:
        await until_at_head(database_url, dev.rpc_url)
        await until_health(program, "ok", endpoints_up=2)
        await dev.step(4)
        dev.anvil.pause()
        try:
            await assert_away(program)
        finally:
            dev.anvil.resume()
        await dev.step(4)
        await dev.reorg(3)
        await dev.step(4)
        await until_at_head(database_url, dev.rpc_url)
        await until_complete(database_url)
        await until_health(program, "ok", endpoints_up=2)
        assert await assert_equal_to_chain(database_url, dev.rpc_url, contracts) > 0
        assert await program.stopped() == 0, program.said
