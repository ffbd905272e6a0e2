"""A node that leaves one log out of each block: every one is noticed while following, and no honest block blamed.

`LEFT_OUT=1000` leaves out a thousand; there are as many honest blocks in each test.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from tests.chaos.scene import CONTRACTS, Onlooker, Scene, repeatable
from tests.fixtures.fakechain import FakeBlock, FakeChain
from tests.fixtures.fakelogs import some_transactions
from tests.fixtures.fakenode import FakeNode, serving
from tests.fixtures.forgetful import ForgetfulNode
from tests.fixtures.leftout import LeftOut
from tests.fixtures.program import Program, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

#: Blocks of each test in which a log is left out.
LEFT_OUT = int(os.environ.get("LEFT_OUT", "16"))
#: Blocks that are mined at once where nobody has to wait for each.
BURST = 12
ADDRESSES = frozenset(address for contract in CONTRACTS for address in contract.addresses)
NAMED = re.compile(r"block (\d+)\b")
STORED = """
    select count(*) from (
        select 1 from indexer.event where block_number >= $1
        union all select 1 from indexer.transaction where block_number >= $1
    ) as rows
"""


class Forgetting(Scene):
    """A scene whose program asks a node that leaves out logs; the truth is told elsewhere."""

    def __init__(
        self,
        node: ForgetfulNode,
        url: str,
        honest_url: str,
        database_url: str,
        directory: Path,
        random: Random,
    ) -> None:
        super().__init__(node, honest_url, database_url, directory, random)
        self.left_out = LeftOut(node, ADDRESSES, in_receipts=True)
        self.forgetful_url = url
        self.lied_about = node.lied_about

    def mine_honest(self) -> None:
        self.chain.mine(some_transactions(self.random, self.random.randrange(4), odd=0))

    def mine_forgotten(self) -> FakeBlock:
        """A block with watched logs, of which the node leaves out one."""
        while True:
            transactions = some_transactions(self.random, self.random.randrange(1, 4), odd=0)
            if any(log.address in ADDRESSES for each in transactions for log in each.logs):
                break
        block = self.chain.mine(transactions)
        assert self.left_out.one_of(block, self.random) is not None
        return block


@asynccontextmanager
async def forgetting(directory: Path, database_url: str, random: Random) -> AsyncIterator[Forgetting]:
    node = ForgetfulNode(FakeChain())
    async with serving(node) as url, serving(FakeNode(node.chain)) as honest_url:
        world = Forgetting(node, url, honest_url, database_url, directory, random)
        for _ in range(5):
            world.mine_honest()
        world.finalize(2)
        yield world
    if node.failure is not None:
        raise AssertionError("the fake node itself failed") from node.failure


def blamed(program: Program, message: str) -> dict[int, str]:
    """The blocks that lines with this message name first in their reason, and the reason."""
    found = {}
    for record in program.journal:
        if record.get("message") == message and (named := NAMED.search(record["reason"])):
            found[int(named[1])] = record["reason"]
    return found


async def noticed(program: Program, block: FakeBlock) -> None:
    async def said() -> bool:
        assert program.running, program.said
        return block.number in blamed(program, "following failed, trying again")

    await until(said, f"the program says what is wrong with block {block.number}")


async def nothing_is_stored_of(onlooker: Onlooker, block: FakeBlock) -> None:
    assert await onlooker.asked("select number from indexer.cursor") == block.number - 1
    assert await onlooker.asked(STORED, block.number) == 0


async def test_a_lone_node_is_found_out_at_every_log_it_leaves_out_and_the_tail_waits_for_the_truth(
    database_url: str, tmp_path: Path
) -> None:
    with repeatable() as random:
        async with (
            forgetting(tmp_path, database_url, random) as world,
            world.onlooker() as onlooker,
            world.run(rpc_url=world.forgetful_url) as program,
        ):
            await world.caught_up()
            forgotten = []
            for _ in range(LEFT_OUT):
                world.mine_honest()
                await world.followed()
                block = world.mine_forgotten()
                forgotten.append(block.number)
                await noticed(program, block)
                await nothing_is_stored_of(onlooker, block)
                assert (await program.metrics())["indexer_block_lag"] == 1
                world.left_out.clear()
                await world.followed()
            said = blamed(program, "following failed, trying again")
            assert sorted(said) == forgotten, "no more and no fewer blocks are blamed"
            assert all(reason.startswith("rpc-1: ") for reason in said.values())
            metrics = await program.metrics()
            assert metrics.total("indexer_block_proofs_total", verdict="wrong") >= LEFT_OUT
            assert metrics.total("indexer_block_proofs_total", verdict="cannot_tell") == 0
            assert metrics.total("indexer_block_proofs_total", verdict="proved") >= 2 * LEFT_OUT
            assert metrics.total("indexer_errors_total", error_type="inconsistent") >= LEFT_OUT
            assert metrics.total("indexer_rpc_disagreements_total") == 0
            await world.settled()
            assert await world.compare() > LEFT_OUT
            assert await program.stopped() == 0, program.said


async def test_what_one_of_two_nodes_leaves_out_is_taken_from_the_other_without_a_stop(
    database_url: str, tmp_path: Path
) -> None:
    with repeatable() as random:
        async with (
            forgetting(tmp_path, database_url, random) as world,
            world.run(chain={"rpc": [world.forgetful_url, world.rpc_url]}) as program,
        ):
            await world.caught_up()
            # Blocks that it leaves a log out of, and is asked for: on a busy machine some are read elsewhere at once.
            while len(world.lied_about) < LEFT_OUT:
                for _ in range(BURST):
                    world.mine_forgotten()
                    world.mine_honest()
                await world.followed()
            thrown_away = "answer thrown away for another endpoint's"
            said = blamed(program, thrown_away)
            assert said.keys() == world.lied_about, "no more and no fewer blocks are blamed"
            lines = [record for record in program.journal if record["message"] == thrown_away]
            assert {(each["endpoint"], each["taken_from"]) for each in lines} == {("rpc-1", "rpc-2")}
            assert blamed(program, "following failed, trying again") == {}
            metrics = await program.metrics()
            wrong = metrics.each("indexer_block_proofs_total", verdict="wrong", endpoint="rpc-1")
            assert sum(wrong.values()) == len(lines)
            assert metrics.total("indexer_block_proofs_total", verdict="wrong", endpoint="rpc-2") == 0
            disagreements = metrics.total("indexer_rpc_disagreements_total", endpoint="rpc-1")
            assert disagreements == len(lines)
            assert metrics.total("indexer_errors_total", error_type="inconsistent") == 0
            await world.settled()
            assert await world.compare() > LEFT_OUT
            assert await program.stopped() == 0, program.said
