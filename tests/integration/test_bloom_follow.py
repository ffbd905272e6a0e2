"""Following where nothing is proved: the bloom filter tells when to ask somebody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from indexer.core.block import Block
from indexer.core.errors import Inconsistent, Unavailable
from indexer.core.model import BlockId
from indexer.core.source import LogFilter
from indexer.rpc import pool
from indexer.rpc.node import Node
from indexer.rpc.opening import open_node
from indexer.rpc.transport import Timing
from tests.fixtures.fakechain import FakeChain, FakeLog, FakeTransaction
from tests.fixtures.fakenode import logs_json
from tests.fixtures.forgetful import ForgetfulNode
from tests.fixtures.node import Change, Error, FaultNode, fault_node
from tests.fixtures.rpc import (
    ALSO_WATCHED,
    OTHER_TOPIC,
    STRANGER,
    TOPIC,
    WATCHED,
    Counted,
    address_of,
    wanted,
)

pytestmark = pytest.mark.integration
Json = Any
WATCH = frozenset({WATCHED})


def chain_of(blocks: int, seed: int = 1) -> FakeChain:
    """Blocks with one log each of three kinds; in every third block one kind is missing."""
    chain, random = FakeChain(), Random(seed)
    for at in range(blocks):
        emitted = [
            FakeLog(WATCHED, (TOPIC, random.randbytes(32)), random.randbytes(32)),
            FakeLog(STRANGER, (OTHER_TOPIC,), b""),
            FakeLog(ALSO_WATCHED, (TOPIC,), b""),
        ]
        chain.mine(
            [
                FakeTransaction(random.getrandbits(32), STRANGER, WATCHED, tuple(emitted[at % 3 == 2 :])),
                FakeTransaction(random.getrandbits(32), STRANGER, STRANGER),
            ]
        )
    return chain


def by(address: bytes) -> Callable[[Json], bool]:
    return lambda log: log["address"] == "0x" + address.hex()


@dataclass
class Endpoints:
    """A node over several endpoints of the same chain, of which the first forgets."""

    node: Node
    first: ForgetfulNode
    served: list[FaultNode]
    counted: Counted

    @property
    def chain(self) -> FakeChain:
        return self.first.chain

    async def block(
        self, number: int, *, transactions: bool = True, filter_: LogFilter | None = None
    ) -> Block:
        block = self.chain.blocks[number]
        return await self.node.block(
            BlockId(number, block.hash), filter_ or wanted(), WATCH, transactions=transactions
        )

    def truth(self, number: int, filter_: LogFilter | None = None) -> list[tuple[str, str]]:
        """Index and address of the logs that the filter lets through."""
        admitted = filter_ or wanted()
        return [
            (log["logIndex"], log["address"])
            for log in logs_json(self.chain.blocks[number])
            if admitted.admits(bytes.fromhex(log["address"][2:]), bytes.fromhex(log["topics"][0][2:]))
        ]


def found(block: Block) -> list[tuple[str, str]]:
    return [(log.log_index, log.address) for log in block.logs.logs]


@asynccontextmanager
async def endpoints(
    blocks: int, others: int = 1, *, prove: bool = False, logs_bloom: bool = True
) -> AsyncIterator[Endpoints]:
    chain, counted = chain_of(blocks), Counted()
    first = ForgetfulNode(chain)
    async with AsyncExitStack() as stack:
        nodes = [first, *(ForgetfulNode(chain) for _ in range(others))]
        served = [await stack.enter_async_context(fault_node(node)) for node in nodes]
        addresses = [address_of(node, f"rpc-{at}") for at, node in enumerate(served, 1)]
        ours = await stack.enter_async_context(
            open_node(
                addresses,
                prove=prove,
                logs_bloom=logs_bloom,
                observer=counted,
                timing=Timing(retry_total_seconds=60.0),
            )
        )
        yield Endpoints(ours, first, served, counted)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause before a second attempt is longer than the total time, so the first failure is what is seen."""
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 1000.0)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_SECONDS", 1000.0)


@pytest.mark.parametrize("transactions", [True, False])
async def test_every_lost_kind_of_log_is_found_and_taken_from_the_endpoint_that_has_it(
    transactions: bool,
) -> None:
    async with endpoints(40) as these:
        these.first.forgets, these.first.in_receipts = by(ALSO_WATCHED), True
        for number in range(1, 41):
            block = await these.block(number, transactions=transactions)
            assert found(block) == these.truth(number)
            assert bool(block.transactions) == transactions
        assert these.counted.rechecks == ["found"] * 40
        assert these.counted.disagreements == [("rpc-1", "missing_logs")] * 40


async def test_what_is_proved_is_not_asked_again() -> None:
    # The filter allows a pair that is not there, but the receipts were proved: there is nothing left to doubt.
    crossed = LogFilter((WATCHED, STRANGER), (TOPIC,))
    async with endpoints(6, prove=True) as these:
        for number in range(1, 7):
            assert found(await these.block(number, filter_=crossed)) == these.truth(number, crossed)
        assert these.counted.rechecks == []
        assert [these.served[1].asked(each) for each in ("eth_getLogs", "eth_getBlockByHash")] == [0, 0]


async def test_a_filter_that_is_too_generous_costs_one_question_and_no_more() -> None:
    crossed = LogFilter((WATCHED, STRANGER), (TOPIC,))
    async with endpoints(6) as these:
        for number in range(1, 7):
            assert found(await these.block(number, filter_=crossed)) == these.truth(number, crossed)
        assert these.counted.rechecks == ["agreed"] * 6
        assert these.counted.disagreements == []
        assert these.served[1].asked("eth_getLogs") == 6
        assert these.served[1].asked("eth_getBlockReceipts") == 0


async def test_a_chain_that_cannot_be_proved_is_compared_with_a_second_endpoint() -> None:
    async with endpoints(9, prove=True) as these:
        for served in these.served:
            served.fault(
                Change(lambda block: {**block, "extraData": "0x1234", "futureRoot": "0x" + "55" * 32}),
                "eth_getBlockByHash",
            )
        these.first.forgets, these.first.in_receipts = by(WATCHED), True
        for number in range(1, 10):
            assert found(await these.block(number)) == these.truth(number)
        assert set(these.counted.proofs) == {("rpc-1", "cannot_tell"), ("rpc-2", "cannot_tell")}
        assert these.counted.rechecks == ["found"] * 6


async def test_without_a_second_endpoint_the_receipts_are_asked() -> None:
    async with endpoints(12, 0, prove=True) as these:
        these.first.forgets = by(ALSO_WATCHED)
        for number in range(1, 13):
            assert found(await these.block(number, transactions=False)) == these.truth(number)
        assert these.counted.rechecks == ["found"] * 12
        assert these.counted.proofs == [("rpc-1", "proved")] * 12
        assert these.counted.disagreements == [("rpc-1", "missing_logs")] * 12


@pytest.mark.usefixtures("impatient")
async def test_receipts_that_lie_too_are_found_out_by_the_hash() -> None:
    async with endpoints(3, 0, prove=True) as these:
        these.first.forgets, these.first.in_receipts = by(ALSO_WATCHED), True
        for number in range(1, 4):
            with pytest.raises(Inconsistent, match="its receipts give the root"):
                await these.block(number, transactions=False)
        assert these.counted.proofs == [("rpc-1", "wrong")] * 3


async def test_a_second_endpoint_that_is_away_is_replaced_by_the_receipts() -> None:
    async with endpoints(3, prove=True) as these:
        these.first.forgets = by(ALSO_WATCHED)
        these.served[1].fault(Error(-32603, "internal error"), "eth_getLogs")
        assert found(await these.block(1, transactions=False)) == these.truth(1)
        assert these.counted.rechecks == ["found"]


async def test_with_nobody_else_to_ask_the_answer_is_kept_and_counted() -> None:
    crossed = LogFilter((WATCHED, STRANGER), (TOPIC,))
    async with endpoints(2, 0) as these:
        assert found(await these.block(1, filter_=crossed)) == these.truth(1, crossed)
        these.served[0].fault(Error(-32601, "Method not found"), "eth_getBlockReceipts")
        these.served[0].fault(Error(-32601, "Method not found"), "eth_getTransactionReceipt")
        assert found(await these.block(2, filter_=crossed, transactions=False)) == these.truth(2, crossed)
        assert these.counted.rechecks == ["alone"] * 2


@pytest.mark.parametrize("prove", [True, False])
async def test_a_second_endpoint_that_has_less_is_not_followed(prove: bool) -> None:
    crossed = LogFilter((WATCHED, ALSO_WATCHED, STRANGER), (TOPIC,))
    async with endpoints(3, prove=prove) as these:
        second = these.served[1].fake
        assert isinstance(second, ForgetfulNode)
        second.forgets, second.in_receipts = by(WATCHED), True
        for number in (1, 2):
            block = await these.block(number, filter_=crossed, transactions=False)
            assert found(block) == these.truth(number, crossed)
        assert these.counted.rechecks == ["kept"] * 2
        assert these.counted.disagreements == [("rpc-2", "other_logs")] * 2


@pytest.mark.usefixtures("impatient")
async def test_two_different_stories_that_nobody_can_prove_are_not_believed() -> None:
    crossed = LogFilter((WATCHED, ALSO_WATCHED, STRANGER), (TOPIC,))
    async with endpoints(1) as these:
        these.served[1].fault(
            Change(lambda logs: [{**log, "data": "0x" + "77" * 32} for log in logs]), "eth_getLogs"
        )
        with pytest.raises(Inconsistent, match="rpc-1 and rpc-2 tell different logs"):
            await these.block(1, filter_=crossed, transactions=False)
        assert these.counted.rechecks == ["unsettled"]


@pytest.mark.usefixtures("impatient")
async def test_a_log_that_the_filter_excludes_is_no_log_of_the_block() -> None:
    invented = "0x" + "5a" * 32

    def add(logs: Json) -> Json:
        return [*logs[:-1], {**logs[-1], "topics": [logs[-1]["topics"][0], invented]}]

    async with endpoints(2, 0) as these:
        these.served[0].fault(Change(add), "eth_getLogs")
        with pytest.raises(Inconsistent, match="bloom filter has no such log"):
            await these.block(1, transactions=False)
        assert these.counted.disagreements == [("rpc-1", "bloom")]
    async with endpoints(2, 1) as these:
        these.served[0].fault(Change(add), "eth_getLogs")
        assert found(await these.block(1, transactions=False)) == these.truth(1), "the other one is asked"


@pytest.mark.usefixtures("impatient")
async def test_a_filter_that_was_emptied_is_found_out_by_the_headers_hash() -> None:
    async with endpoints(2, 0, prove=True) as these:
        these.served[0].fault(
            Change(lambda block: {**block, "logsBloom": "0x" + "00" * 256}), "eth_getBlockByHash"
        )
        these.served[0].fault(Change(lambda _: []), "eth_getLogs")
        with pytest.raises((Inconsistent, Unavailable), match="its fields give the hash"):
            await these.block(1, transactions=False)
        assert these.counted.header_proofs == {("rpc-1", "wrong"): 1}


async def test_a_chain_without_filters_is_followed_when_the_configuration_says_so() -> None:
    async with endpoints(2, 0, logs_bloom=False) as these:
        these.served[0].fault(
            Change(lambda block: {**block, "logsBloom": "0x" + "00" * 256}), "eth_getBlockByHash"
        )
        assert found(await these.block(1)) == these.truth(1)
        assert these.counted.rechecks == []


async def test_a_node_without_block_receipts_is_asked_for_them_one_by_one() -> None:
    async with endpoints(6, 0, prove=True) as these:
        these.first.forgets = by(ALSO_WATCHED)
        these.served[0].fault(Error(-32601, "Method not found"), "eth_getBlockReceipts")
        for number in range(1, 7):
            assert found(await these.block(number, transactions=False)) == these.truth(number)
        assert these.served[0].asked("eth_getBlockReceipts") == 1
        assert these.counted.rechecks == ["found"] * 6
