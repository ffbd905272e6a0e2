"""What can happen to a chain and to an indexer, told one after the other.

Each story ends with everything compared with the chain. They are few and short because the state machine
finds the rest; each of them is here because some mistake would not survive it (see README.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.fixtures.fakechain import FakeChain
from tests.fixtures.fakenode import FakeNode, RpcError
from tests.property.journey.world import LATECOMER, World

Story = Callable[[World], Awaitable[None]]


async def history_is_filled_beside_the_tail(world: World) -> None:
    world.mine(20, seed=1, transactions=4)
    world.finalize(below_head=6)
    await world.follow()
    await world.look()
    assert await world.covered_rows() > 0, "the tail should have rows before the backfill began"
    await world.fill()
    await world.look()
    world.mine(3, seed=2)
    await world.settle()


async def the_tip_is_replaced_at_the_same_height(world: World) -> None:
    world.mine(8, seed=3, transactions=4)
    world.finalize(below_head=5)
    await world.follow()
    world.reorg(depth=1, length=1, seed=4, transactions=4)
    await world.follow()
    await world.look()
    await world.expect_reorgs([1])
    await world.settle()


async def a_longer_branch_wins_while_the_indexer_is_down(world: World) -> None:
    world.mine(12, seed=5, transactions=4)
    world.finalize(below_head=8)
    await world.follow()
    await world.crash()
    world.reorg(depth=4, length=9, seed=6, transactions=4)
    await world.follow()
    await world.look()
    await world.expect_reorgs([4])
    await world.settle()


async def a_longer_branch_wins_between_two_looks(world: World) -> None:
    world.mine(12, seed=5, transactions=4)
    world.finalize(below_head=8)
    await world.follow()
    world.reorg(depth=3, length=7, seed=7, transactions=4)
    await world.follow()
    await world.look()
    await world.expect_reorgs([3])
    await world.settle()


async def a_shorter_branch_of_empty_blocks_wins(world: World) -> None:
    world.mine(10, seed=8, transactions=4)
    world.finalize(below_head=7)
    await world.follow()
    world.reorg(depth=5, length=2, seed=9, transactions=0)
    await world.follow()
    await world.look()
    await world.expect_reorgs([5])
    await world.settle()


async def everything_above_the_genesis_block_is_replaced(world: World) -> None:
    world.mine(4, seed=10, transactions=4)
    await world.follow()
    world.reorg(depth=4, length=5, seed=11, transactions=4)
    await world.follow()
    await world.look()
    await world.expect_reorgs([4])
    await world.settle()


async def the_chain_changes_while_its_new_branch_is_read(world: World) -> None:
    world.mine(10, seed=12, transactions=4)
    world.finalize(below_head=8)
    await world.follow()
    world.reorg(depth=3, length=4, seed=13, transactions=4)
    world.after(4, lambda: world.reorg(depth=4, length=6, seed=14, transactions=4))
    await world.follow()
    await world.look()
    await world.settle()


async def the_node_falls_behind_while_history_is_filled(world: World) -> None:
    world.mine(20, seed=15, transactions=4)
    world.finalize(below_head=2)
    await world.follow()
    world.node.behind = 12
    await world.fill()
    world.node.behind = 0
    await world.look()
    await world.settle()


async def a_range_is_answered_from_a_branch_that_lost(world: World) -> None:
    world.mine(12, seed=16, transactions=4)
    lost = FakeChain()
    lost.blocks = list(world.chain.blocks)
    world.reorg(depth=9, length=11, seed=17, transactions=4)
    world.finalize(below_head=1)
    await world.follow()
    # One replica of many behind the same URL did not see the reorg, and is asked for nothing but logs.
    world.node.answers_instead["eth_getLogs"] = FakeNode(lost)
    await world.fill()
    world.node.answers_instead.clear()
    await world.look()
    await world.settle()


async def a_contract_is_added_to_a_running_database(world: World) -> None:
    world.mine(12, seed=18, transactions=4)
    world.finalize(below_head=5)
    await world.follow()
    await world.fill()
    world.mine(2, seed=19, transactions=4)
    await world.follow()
    world.watch(LATECOMER)
    await world.crash()
    await world.follow()
    await world.look()
    world.reorg(depth=2, length=3, seed=20, transactions=4)
    await world.follow()
    await world.look()
    await world.settle()


async def a_reorg_comes_while_a_contract_is_left_out(world: World) -> None:
    world.watch(LATECOMER)
    world.mine(12, seed=41, transactions=6)
    world.finalize(below_head=8)
    await world.follow()
    await world.fill()
    world.unwatch(LATECOMER)
    await world.crash()
    # Its rows go with the old branch; of the new one, and of what follows, nobody reads any for it.
    world.reorg(depth=4, length=6, seed=42, transactions=6)
    await world.follow()
    await world.look()
    world.mine(3, seed=43, transactions=6)
    await world.follow()
    world.watch(LATECOMER)
    await world.crash()
    await world.follow()
    await world.look()
    await world.settle()


async def a_commit_is_interrupted_and_the_process_goes_on(world: World) -> None:
    world.mine(9, seed=21, transactions=4)
    world.finalize(below_head=6)
    await world.follow()
    for where in ("before", "during", "after"):
        world.mine(2, seed=22, transactions=4)
        world.cut_next_commit(where)
        await world.step()
        await world.look()
        await world.follow()
        world.reorg(depth=2, length=2, seed=23, transactions=4)
        world.cut_next_commit(where)
        await world.step()
        await world.look()
        await world.follow()
        await world.look()
    for where in ("before", "during", "after"):
        world.cut_next_commit(where)
        await world.fill()
        await world.look()
    await world.settle()


async def the_tail_jumps_over_a_long_absence(world: World) -> None:
    world.mine(8, seed=24, transactions=4)
    world.finalize(below_head=5)
    await world.follow()
    await world.crash()
    world.reorg(depth=3, length=30, seed=25, transactions=3)
    world.finalize(below_head=4)
    await world.follow()
    await world.look()
    await world.fill()
    await world.look()
    await world.settle()


async def the_node_forgets_how_to_answer_many_blocks_at_once(world: World) -> None:
    world.mine(15, seed=26, transactions=4)
    world.finalize(below_head=4)
    await world.follow()
    world.node.most_blocks = 2
    await world.fill()
    world.node.most_blocks = None
    await world.look()
    await world.settle()


async def requests_fail_now_and_then(world: World) -> None:
    world.mine(10, seed=27, transactions=4)
    world.finalize(below_head=5)
    asked = 0

    def refuse(method: str, params: list[Any]) -> None:
        nonlocal asked
        asked += 1
        if asked % 5 == 0:
            raise RpcError(-32000, "header not found")

    world.node.before = refuse
    for _ in range(12):
        await world.step()
        await world.fill()
    await world.look()
    await world.settle()


STORIES: tuple[Story, ...] = (
    history_is_filled_beside_the_tail,
    the_tip_is_replaced_at_the_same_height,
    a_longer_branch_wins_while_the_indexer_is_down,
    a_longer_branch_wins_between_two_looks,
    a_shorter_branch_of_empty_blocks_wins,
    everything_above_the_genesis_block_is_replaced,
    the_chain_changes_while_its_new_branch_is_read,
    the_node_falls_behind_while_history_is_filled,
    a_range_is_answered_from_a_branch_that_lost,
    a_contract_is_added_to_a_running_database,
    a_reorg_comes_while_a_contract_is_left_out,
    a_commit_is_interrupted_and_the_process_goes_on,
    the_tail_jumps_over_a_long_absence,
    the_node_forgets_how_to_answer_many_blocks_at_once,
    requests_fail_now_and_then,
)
