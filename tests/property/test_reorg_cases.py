"""Reorgs and heads that are out of the ordinary, one by one: what is written, what is not, and what is said."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest

from indexer.core.errors import BelowFinality, Inconsistent, TooDeep, Unavailable, WrongChain
from indexer.sync.loops import follow
from indexer.sync.together import together
from tests.fixtures.fakechain import FakeBlock, FakeChain, FakeTransaction
from tests.fixtures.fakelogs import some_transactions
from tests.fixtures.fakenode import FakeNode, RpcError
from tests.fixtures.program import until
from tests.fixtures.truth import assert_equal_to_chain
from tests.property.journey.world import World

EVERYTHING = (
    "select md5(string_agg(part, '|' order by part)) from ("
    + " union all ".join(
        f"select '{table} ' || r::text as part from indexer.{table} as r"
        for table in ("event", "transaction", "undecoded_log", "reorg", "orphaned_event", "block")
    )
    + " union all select concat_ws(' ', number, hash) from indexer.cursor) as parts"
)
REORGS = "select count(*) from indexer.reorg"


def blocks_of(count: int, seed: int) -> list[tuple[FakeTransaction, ...]]:
    random = Random(seed)
    return [some_transactions(random, 2) for _ in range(count)]


def grow(chain: FakeChain, count: int, seed: int) -> None:
    for transactions in blocks_of(count, seed):
        chain.mine(transactions)


async def begun(world: World, *, blocks: int = 20, final_below: int = 12) -> None:
    """A chain of some blocks, followed and filled."""
    world.mine(blocks, seed=1, transactions=3)
    world.finalize(below_head=final_below)
    await world.follow()
    await world.fill()


async def cursor_number(world: World) -> int:
    return int(await world.asked("select number from indexer.cursor"))


def counted(world: World, name: str, **labels: str) -> float:
    return world.metrics.registry.get_sample_value(name, {"chain": "test", **labels}) or 0.0


# One endpoint.


async def test_a_sibling_that_comes_and_goes_between_two_looks_leaves_no_trace(database_url: str) -> None:
    async with World(database_url) as world:
        await begun(world)
        before, blocks = await world.asked(EVERYTHING), list(world.chain.blocks)
        world.reorg(depth=1, length=1, seed=2)
        world.chain.blocks = blocks
        await world.follow()
        assert await world.asked(EVERYTHING) == before
        await world.settle()


async def test_a_reorg_noticed_only_after_finality_moved_past_it_is_carried_out(database_url: str) -> None:
    async with World(database_url) as world:
        await begun(world)
        await world.crash()
        world.reorg(depth=6, length=9, seed=2, transactions=3)
        world.finalize(below_head=1)
        await world.follow()
        await world.look()
        await world.expect_reorgs([6])
        await world.settle()


async def test_a_node_that_dies_while_the_new_branch_is_read_leaves_everything_as_it_was(
    database_url: str,
) -> None:
    async with World(database_url) as world:
        await begun(world)
        before = await world.asked(EVERYTHING)
        world.reorg(depth=5, length=6, seed=2, transactions=3)
        for calls in range(100):
            world.node.before = _dead_after(calls)
            try:
                await world.forced_step()
            except (Unavailable, Inconsistent):
                assert await world.asked(EVERYTHING) == before, f"dead after {calls} calls"
            else:
                break
        # The head, finality, headers down to the fork and up again, then three calls a block.
        assert calls > 20
        await world.expect_reorgs([5])
        world.node.before = lambda method, params: None
        await world.settle()


async def test_a_branch_that_is_taken_back_while_it_is_read_leaves_no_trace(database_url: str) -> None:
    async with World(database_url) as world:
        await begun(world)
        before, ours = await world.asked(EVERYTHING), list(world.chain.blocks)
        for calls in range(100):
            world.node.before = lambda method, params: None
            world.chain.blocks = list(ours)
            world.reorg(depth=5, length=6, seed=2, transactions=3)
            world.node.before = _back_after(calls, world.chain, ours)
            with suppress(Unavailable, Inconsistent):
                await world.forced_step()
            if await world.asked(REORGS):
                break
            assert await world.asked(EVERYTHING) == before, f"taken back after {calls} calls"
        assert calls > 10
        assert (
            await world.asked("select count(*) from indexer.reorg where old_head_hash = new_head_hash") == 0
        )
        world.node.before = lambda method, params: None
        await world.settle()


def _back_after(calls: int, chain: FakeChain, ours: list[FakeBlock]) -> Callable[[str, list[Any]], None]:
    """A node that has another branch for so many calls, and then our blocks again."""

    def back() -> None:
        chain.blocks = list(ours)

    return _after(calls, back)


def _dead_after(calls: int) -> Callable[[str, list[Any]], None]:
    """A node that answers so many calls and then none."""

    def die() -> None:
        raise RpcError(-32000, "header not found")

    return _after(calls, die)


def _after(calls: int, then: Callable[[], None]) -> Callable[[str, list[Any]], None]:
    """A node to which something happens before it answers any call after so many."""
    answered = 0

    def count(method: str, params: list[Any]) -> None:
        nonlocal answered
        answered += 1
        if answered > calls:
            then()

    return count


async def test_a_reorg_deeper_than_allowed_is_refused_after_a_second_look(database_url: str) -> None:
    async with World(database_url, max_reorg_depth=4) as world:
        await begun(world)
        before = await world.asked(EVERYTHING)
        world.reorg(depth=5, length=6, seed=2, transactions=3)
        with pytest.raises(TooDeep, match=r"a reorg of 5 blocks.*chain.max_reorg_depth = 4.*raise the limit"):
            await world.forced_step()
        assert await world.asked(EVERYTHING) == before


async def test_told_to_roll_back_it_carries_out_any_depth(database_url: str) -> None:
    async with World(database_url, max_reorg_depth=4, below_finality="rollback") as world:
        await begun(world)
        world.reorg(depth=5, length=6, seed=2, transactions=3)
        await world.follow()
        await world.expect_reorgs([5])
        world.break_finality(depth=18, length=20, seed=3)
        await world.follow()
        assert await world.asked("select max(depth) from indexer.reorg") > 12
        assert counted(world, "indexer_reorgs_total") == 2
        assert counted(world, "indexer_reorg_removed_events_total") == await world.asked(
            "select count(*) from indexer.orphaned_event"
        )
        await world.settle()


@pytest.mark.parametrize("same_branch", [True, False], ids=["the same branch", "another branch"])
async def test_a_node_that_snaps_back_a_thousand_blocks_takes_nothing_with_it(
    same_branch: bool, database_url: str
) -> None:
    async with World(database_url) as world:
        world.mine(1_100, seed=1, transactions=1)
        world.finalize(below_head=10)
        await world.follow()
        await world.fill()
        before, blocks = await world.asked(EVERYTHING), list(world.chain.blocks)
        world.chain.break_finality(1_000)
        await world.follow()
        await world.fill()
        assert await world.asked(EVERYTHING) == before
        if same_branch:
            world.chain.blocks = blocks
            world.mine(3, seed=2)
            await world.settle()
            assert await world.asked(REORGS) == 0
            return
        # It grows again, still far below our final block: what is stored contradicts it already.
        world.mine(200, seed=3, transactions=1)
        with pytest.raises(BelowFinality, match=r"started anew.*use an empty database"):
            await world.forced_step()
        assert await world.asked(EVERYTHING) == before


async def test_a_head_that_goes_back_by_less_than_the_window_is_waited_out(database_url: str) -> None:
    async with World(database_url) as world:
        await begun(world)
        before = await world.asked(EVERYTHING)
        for behind in (1, 5, 8, 2):
            world.node.behind = behind
            await world.follow()
            assert await world.asked(EVERYTHING) == before
        world.node.behind = 0
        world.mine(1, seed=2)
        await world.follow()
        assert await world.asked(REORGS) == 0
        await world.settle()


async def test_a_frozen_head_changes_nothing_and_asks_little(database_url: str) -> None:
    async with World(database_url) as world:
        await begun(world)
        before, asked = await world.asked(EVERYTHING), world.node.asked.total()
        for _ in range(10):
            assert not await world.step()
        assert await world.asked(EVERYTHING) == before
        assert world.node.asked.total() - asked <= 20, "two questions a look: the head and what is final"


async def test_a_development_chain_started_anew_is_refused_with_the_way_out(database_url: str) -> None:
    async with World(database_url) as world:
        await begun(world)
        await world.crash()
        before = await world.asked(EVERYTHING)
        old = world.chain.blocks
        # Another genesis block.
        world.chain.blocks = FakeChain().twin(0).blocks
        world.chain.blocks[0] = _other_genesis()
        with pytest.raises(WrongChain, match="a development chain that was started anew is a new chain"):
            await world.forced_step()
        # The same one, and other blocks: fewer than we hold, about as many, more.
        world.chain.blocks, world.chain.finalized = old[:1], 0
        world.chain._branch += 1
        for blocks in (7, 12, 15):
            world.mine(blocks, seed=blocks, transactions=1)
            with pytest.raises(BelowFinality, match="use an empty database"):
                await world.forced_step()
            await world.crash()
        assert await world.asked(EVERYTHING) == before


def _other_genesis() -> Any:
    chain = FakeChain()
    block = chain.mine(timestamp=17)
    return type(block)(0, bytes(32), 17, (), 99)


async def test_no_block_is_written_while_nobody_says_what_is_final(database_url: str) -> None:
    async with World(database_url) as world:
        await begun(world)
        cursor = await cursor_number(world)
        world.node.answers_instead["eth_getBlockByNumber"] = _without_finality(world.node)
        for seed in (2, 3, 4):
            world.mine(1, seed=seed)
            with pytest.raises(Unavailable, match="no finalized block, though there was one before"):
                await world.forced_step()
            assert await cursor_number(world) == cursor
        world.node.answers_instead.clear()
        await world.settle()


async def test_finality_that_is_missing_after_it_was_there_stops_the_tail_until_it_is_back(
    database_url: str,
) -> None:
    async with World(database_url) as world:
        await begun(world)
        before = await world.asked(EVERYTHING)
        world.mine(2, seed=2)
        world.node.answers_instead["eth_getBlockByNumber"] = _without_finality(world.node)
        with pytest.raises(Unavailable, match="no finalized block, though there was one before"):
            await world.forced_step()
        assert await world.asked(EVERYTHING) == before
        world.node.answers_instead.clear()
        await world.follow()
        assert await cursor_number(world) == 22
        await world.settle()


def _without_finality(node: FakeNode) -> FakeNode:
    class Forgetful(FakeNode):
        def _result(self, method: str, params: list[Any]) -> Any:
            return None if params[0] == "finalized" else super()._result(method, params)

    return Forgetful(node.chain)


async def test_finality_that_goes_back_changes_nothing(database_url: str) -> None:
    async with World(database_url) as world:
        await begun(world, final_below=5)
        world.chain.finalized = 3
        world.mine(2, seed=2, transactions=3)
        await world.follow()
        assert await world.asked("select finalized_number from indexer.cursor") == 15
        # What had been final stays so.
        world.chain.break_finality(10)
        grow(world.chain, 12, seed=3)
        with pytest.raises(BelowFinality):
            await world.forced_step()
        assert await world.asked(REORGS) == 0


@pytest.mark.parametrize(
    "clock",
    [
        lambda number: 4_000_000_000 + number,
        lambda number: 1_700_000_000 - 50 * number,
        lambda number: number % 2 * 2_000_000_000,
        lambda number: 1_700_000_000,
    ],
    ids=["in the future", "going backwards", "to and fro", "standing still"],
)
async def test_block_times_may_be_anything_and_lag_and_delay_stay_sane(
    clock: Callable[[int], int], database_url: str
) -> None:
    async with World(database_url) as world:
        await begun(world, blocks=10, final_below=4)
        for transactions in blocks_of(6, seed=2):
            world.chain.mine(transactions, timestamp=clock(world.chain.head.number + 1))
        await world.follow()
        indexer = await world.indexer()
        world.metrics.head_seen(await indexer.node.head())
        assert counted(world, "indexer_block_lag") == 0
        delay = counted(world, "indexer_event_processing_delay_seconds")
        true = max(0.0, time.time() - world.chain.head.timestamp)
        assert math.isclose(delay, true, abs_tol=600)
        world.reorg(depth=3, length=4, seed=3)
        await world.follow()
        await world.expect_reorgs([3])
        await world.settle()


async def test_a_reorg_is_carried_out_while_a_backfill_is_about_to_commit(database_url: str) -> None:
    async with World(database_url) as world:
        world.mine(30, seed=1, transactions=3)
        world.finalize(below_head=12)
        await world.follow()
        at_commit, go_on = asyncio.Event(), asyncio.Event()
        _hold_next_commit((await world.indexer()).database, at_commit, go_on)
        fill = asyncio.ensure_future(world.fill())
        await at_commit.wait()
        world.reorg(depth=6, length=7, seed=2, transactions=3)
        follow = asyncio.ensure_future(world.follow())

        async def waits_or_done() -> bool:
            waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            return follow.done() or bool(await world.asked(waiting))

        await until(waits_or_done, "the reorg waits for the backfill's commit, or is done")
        go_on.set()
        await asyncio.gather(fill, follow)
        await world.follow()
        await world.look()
        await world.expect_reorgs([6])
        await world.settle()


def _hold_next_commit(database: Any, at_commit: asyncio.Event, go_on: asyncio.Event) -> None:
    """Stop the next writing transaction before its commit until it may go on."""
    original = database.transaction

    @asynccontextmanager
    async def transaction(**options: Any) -> Any:
        async with original(**options) as connection:
            yield connection
            if "isolation" not in options and not at_commit.is_set():
                at_commit.set()
                await go_on.wait()

    database.transaction = transaction


# Several endpoints.


async def test_two_endpoints_that_follow_two_branches_for_long_make_no_reorg(database_url: str) -> None:
    other = FakeNode(FakeChain())
    async with World(database_url, others=[other]) as world:
        await begun(world)
        other.chain = world.chain.twin(branch=1_000)
        ahead = Random(3)
        for seed in range(20):
            # Now this one is first, now that one, by a block.
            for chain in ahead.sample([world.chain, other.chain], 2):
                grow(chain, 1, seed)
                await world.follow()
        assert await cursor_number(world) == world.chain.head.number
        assert await world.cursor() == world.chain.head.hash
        assert await world.asked(REORGS) == 0
        assert counted(world, "indexer_rpc_disagreements_total", endpoint="node-2", kind="branch") > 0
        assert "node-2 is at 4" in world.failure, world.failure

        # The first gives way: it turns to the other branch, which is one reorg.
        world.chain.finalized = 8
        world.chain.blocks = list(other.chain.blocks)
        world.chain.by_hash |= other.chain.by_hash
        await world.follow()
        assert await world.cursor() == other.chain.head.hash
        await world.expect_reorgs([20])
        other.chain = world.chain
        await world.settle()


async def test_a_branch_that_is_clearly_longer_is_followed_though_one_endpoint_stays_behind(
    database_url: str,
) -> None:
    stale = FakeNode(FakeChain())
    async with World(database_url, others=[stale]) as world:
        await begun(world)
        stale.chain = world.chain.twin(branch=0)
        world.reorg(depth=3, length=3, seed=2, transactions=3)
        await world.follow()
        assert await world.asked(REORGS) == 0, "the other endpoint still has our newest block"
        world.mine(1, seed=3)
        await world.follow()
        assert await world.asked(REORGS) == 0
        world.mine(1, seed=4)
        await world.follow()
        await world.expect_reorgs([3])
        assert await world.cursor() == world.chain.head.hash
        stale.chain = world.chain
        await world.settle()


async def test_an_endpoint_that_invents_blocks_on_top_of_ours_does_not_hold_up_the_others(
    database_url: str,
) -> None:
    honest = FakeNode(FakeChain())
    async with World(database_url, others=[honest]) as world:
        await begun(world)
        honest.chain = world.chain.twin(branch=0)
        world.chain.blocks += [
            FakeBlock(number, number.to_bytes(32, "big"), 2_000_000_000 + number, (), 0)
            for number in range(world.chain.head.number + 1, world.chain.head.number + 40)
        ]
        grow(honest.chain, 2, seed=5)
        await world.follow()
        assert await world.cursor() == honest.chain.head.hash
        assert await world.asked(REORGS) == 0
        world.chain.blocks = list(honest.chain.blocks)
        world.chain.by_hash |= honest.chain.by_hash
        honest.chain = world.chain
        await world.settle()


async def test_an_endpoint_that_goes_away_takes_its_branch_with_it_once(database_url: str) -> None:
    other = FakeNode(FakeChain())
    async with World(database_url, others=[other], retry_seconds=0.5) as world:
        await begun(world)
        other.chain = world.chain.twin(branch=1_000)
        grow(world.chain, 3, seed=2)
        grow(other.chain, 3, seed=3)
        await world.follow()
        assert await world.cursor() == world.chain.head.hash

        def away(method: str, params: list[Any]) -> None:
            raise RpcError(-32603, "internal error")

        world.node.before = away
        grow(other.chain, 1, seed=4)

        async def over() -> bool:
            await world.step()
            return await world.cursor() == other.chain.head.hash

        await until(over, "the other endpoint is followed")
        await world.expect_reorgs([3])
        # Back again, and as long: nothing is turned round once more.
        world.node.before = lambda method, params: None
        grow(world.chain, 1, seed=5)
        for seed in range(6, 12):
            grow(world.chain, 1, seed)
            await world.follow()
            grow(other.chain, 1, seed)
            await world.follow()
        await world.expect_reorgs([3])
        assert await world.cursor() == other.chain.head.hash


@pytest.mark.parametrize("policy", ["halt", "wait", "rollback"])
async def test_no_verdict_below_finality_while_another_endpoint_has_what_was_final(
    policy: str, database_url: str
) -> None:
    honest = FakeNode(FakeChain())
    async with World(database_url, others=[honest], below_finality=policy) as world:
        await begun(world)
        honest.chain = world.chain.twin(branch=0)
        # The preferred endpoint was reset and grows a chain of its own, which is even longer.
        world.chain.break_finality(17)
        grow(world.chain, 30, seed=2)
        world.chain.finalize(world.chain.head.number - 12)
        for seed in range(5):
            grow(honest.chain, 1, seed)
            honest.chain.finalize(honest.chain.head.number - 12)
            await world.follow()
            assert await world.cursor() == honest.chain.head.hash
        assert await world.asked(REORGS) == 0
        assert counted(world, "indexer_rpc_disagreements_total", endpoint="node-1", kind="branch") > 0

        # When all say so, it is the chain.
        before = await world.asked(EVERYTHING)
        honest.chain = world.chain
        if policy != "rollback":
            with pytest.raises(
                BelowFinality, match=r"block 13 .* was final, and no endpoint has it any more"
            ):
                await world.forced_step()
            assert await world.asked(EVERYTHING) == before
            return
        await world.follow()
        assert await world.asked(REORGS) == 1
        await world.settle()


async def test_history_is_not_taken_from_an_endpoint_that_is_on_another_chain(database_url: str) -> None:
    honest = FakeNode(FakeChain())
    async with World(database_url, others=[honest]) as world:
        world.mine(30, seed=1, transactions=3)
        world.finalize(below_head=12)
        await world.follow()
        await world.crash()
        honest.chain = world.chain.twin(branch=0)
        # The preferred endpoint was reset; all of its blocks are others, down to those that nobody has read yet.
        world.chain.break_finality(29)
        grow(world.chain, 40, seed=2)
        world.chain.finalize(world.chain.head.number - 12)
        await world.fill()
        await world.follow()
        await world.fill()
        events = await assert_equal_to_chain(database_url, world.urls[1], world.contracts, complete=False)
        assert events > 20
        assert await world.cursor() == honest.chain.head.hash
        # It is asked again once it is found on the right chain.
        world.chain.blocks, world.chain.finalized = list(honest.chain.blocks), 18
        asked = world.node.asked["eth_getBlockReceipts"]
        world.mine(2, seed=3)
        world.finalize(below_head=10)
        honest.chain = world.chain
        await world.fill()
        await world.follow()
        assert world.node.asked["eth_getBlockReceipts"] > asked
        await world.settle()


async def test_a_running_tail_goes_on_along_its_branch_though_another_one_is_ahead(
    database_url: str,
) -> None:
    other = FakeNode(FakeChain())
    async with World(database_url, others=[other]) as world:
        await begun(world)
        other.chain = world.chain.twin(branch=1_000)
        indexer = await world.indexer()
        heads = indexer.node.heads(poll_seconds=0.02)

        async def at(chain: FakeChain) -> bool:
            return await world.cursor() == chain.head.hash

        running = asyncio.ensure_future(
            together(heads.run(), follow(indexer.flow.follower, heads, world.metrics))
        )
        try:
            for seed in range(4):
                grow(other.chain, 1, seed)
                grow(world.chain, 1, seed)
                await until(lambda: at(world.chain), "the tail is at the head of its branch")
            assert await world.asked(REORGS) == 0
            # The other endpoint comes round; then it alone sees a real reorg, and the first follows suit.
            other.chain = world.chain.twin(branch=2_000)
            other.chain.roll_back(2)
            grow(other.chain, 2, seed=5)
            world.chain.blocks, world.chain.by_hash = list(other.chain.blocks), dict(other.chain.by_hash)
            await until(lambda: at(other.chain), "the reorg is carried out")
            await world.expect_reorgs([2])
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_no_verdict_while_another_endpoint_does_not_say_what_it_has(database_url: str) -> None:
    silent = FakeNode(FakeChain())
    async with World(database_url, others=[silent]) as world:
        await begun(world)
        silent.chain = world.chain.twin(branch=0)
        before = await world.asked(EVERYTHING)
        world.break_finality(depth=17, length=30, seed=2)
        silent.behind = 15
        with pytest.raises((Unavailable, BelowFinality)) as raised:
            await world.forced_step()
        # It has less than would be needed to contradict: the verdict rests on who can tell.
        assert raised.type is BelowFinality
        assert await world.asked(EVERYTHING) == before


async def test_too_deep_a_reorg_is_no_verdict_while_another_endpoint_has_our_newest_block(
    database_url: str,
) -> None:
    stale = FakeNode(FakeChain())
    async with World(database_url, others=[stale], max_reorg_depth=4) as world:
        await begun(world)
        stale.chain = world.chain.twin(branch=0)
        world.reorg(depth=6, length=12, seed=2)
        with pytest.raises(Inconsistent, match="not seen by node-2"):
            await world.forced_step()
        stale.chain = world.chain
        with pytest.raises(TooDeep):
            await world.forced_step()
        assert await world.asked(REORGS) == 0


async def test_two_endpoints_that_see_the_same_reorg_carry_it_out_at_once(database_url: str) -> None:
    other = FakeNode(FakeChain())
    async with World(database_url, others=[other]) as world:
        other.chain = world.chain
        await begun(world)
        for depth in (1, 4, 8):
            world.reorg(depth=depth, length=depth, seed=depth, transactions=3)
            await world.follow()
        await world.expect_reorgs([1, 4, 8])
        assert counted(world, "indexer_rpc_disagreements_total", endpoint="node-2", kind="branch") == 0
        await world.settle()
