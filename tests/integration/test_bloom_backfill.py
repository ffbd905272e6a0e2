"""Ranges with a proof: by every header's bloom filter, or by every block's receipts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from indexer.core.errors import Inconsistent
from indexer.core.logs import RangeLogs
from indexer.core.model import Span
from indexer.core.proof import ProofLevel
from indexer.core.source import LogFilter
from indexer.rpc import pool
from indexer.rpc.node import Node
from indexer.rpc.opening import open_node
from tests.fixtures.fakechain import FakeChain, FakeLog, FakeTransaction
from tests.fixtures.fakenode import logs_json
from tests.fixtures.forgetful import ForgetfulNode
from tests.fixtures.node import Change, Error, FaultNode, Reset, fault_node
from tests.fixtures.rpc import ALSO_WATCHED, STRANGER, TOPIC, WATCHED, Counted, address_of

pytestmark = pytest.mark.integration
Json = Any
BLOCKS = 120
SPAN = Span(1, BLOCKS)
PAIRS = ((WATCHED, TOPIC), (ALSO_WATCHED, TOPIC))
WANTED = LogFilter((WATCHED, ALSO_WATCHED), (TOPIC,), PAIRS)


def chain_of(blocks: int) -> FakeChain:
    """In every fifth block a log of one contract, in every seventh one of the other."""
    chain, random = FakeChain(), Random(2)
    for number in range(1, blocks + 1):
        emitted = [FakeLog(STRANGER, (random.randbytes(32),), b"")]
        if number % 5 == 0:
            emitted.append(FakeLog(WATCHED, (TOPIC,), random.randbytes(32)))
        if number % 7 == 0:
            emitted.append(FakeLog(ALSO_WATCHED, (TOPIC,), b""))
        chain.mine([FakeTransaction(random.getrandbits(32), STRANGER, WATCHED, tuple(emitted))])
    chain.finalize(blocks)
    return chain


@dataclass
class Endpoints:
    """A node over several endpoints of the same chain, of which the first forgets."""

    node: Node
    first: ForgetfulNode
    served: list[FaultNode]
    counted: Counted

    async def logs(self, proof: ProofLevel, span: Span = SPAN) -> list[Json]:
        return told(await self.node.range_logs(span, WANTED, proof))

    @property
    def truth(self) -> list[Json]:
        every = [log for block in self.first.chain.blocks for log in logs_json(block)]
        return [place(log) for log in every if int(log["address"], 16) != int.from_bytes(STRANGER, "big")]


def place(log: Json) -> Json:
    return int(log["blockNumber"], 16), int(log["logIndex"], 16), log["address"]


def told(logs: RangeLogs) -> list[Json]:
    assert logs.untimed == []
    return [(int(log.block_number, 16), int(log.log_index, 16), log.address) for log in logs.logs]


def from_address(address: bytes, *blocks: int) -> Callable[[Json], bool]:
    text = "0x" + address.hex()
    return lambda log: log["address"] == text and int(log["blockNumber"], 16) in blocks


@asynccontextmanager
async def endpoints(others: int = 0, *, prove: bool = True) -> AsyncIterator[Endpoints]:
    chain, counted = chain_of(BLOCKS), Counted()
    first = ForgetfulNode(chain)
    async with AsyncExitStack() as stack:
        nodes = [first, *(ForgetfulNode(chain) for _ in range(others))]
        served = [await stack.enter_async_context(fault_node(node)) for node in nodes]
        addresses = [address_of(node, f"rpc-{at}") for at, node in enumerate(served, 1)]
        ours = await stack.enter_async_context(open_node(addresses, prove=prove, observer=counted))
        yield Endpoints(ours, first, served, counted)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause before a second attempt is longer than the total time, so the first failure is what is seen."""
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 1000.0)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_SECONDS", 1000.0)


@pytest.mark.parametrize("proof", ["linked", "bloom", "receipts"])
async def test_honest_blocks_are_told_the_same_at_every_level_without_an_alarm(proof: ProofLevel) -> None:
    async with endpoints() as these:
        assert await these.logs(proof) == these.truth
        assert len(these.truth) == BLOCKS // 5 + BLOCKS // 7
        counted = these.counted
        assert (counted.rechecks, counted.disagreements) == ([], [])
        assert counted.header_proofs == ({("rpc-1", "proved"): BLOCKS} if proof == "bloom" else {})
        assert counted.proofs == ([("rpc-1", "proved")] * BLOCKS if proof == "receipts" else [])


@pytest.mark.parametrize("others", [0, 1])
async def test_logs_left_out_of_a_range_are_found_by_the_filters_and_put_back(others: int) -> None:
    async with endpoints(others) as these:
        these.first.forgets = from_address(WATCHED, 10, 35, 120)
        assert await these.logs("linked") != these.truth, "alone the answer looks sound"
        assert await these.logs("bloom") == these.truth
        counted = these.counted
        assert sorted(counted.rechecks) == ["found"] * 3
        assert counted.disagreements == [("rpc-1", "missing_logs")] * 3
        assert [verdict for _, verdict in counted.proofs] == ["proved"] * 3


async def test_an_empty_answer_for_a_range_full_of_logs_is_found_out() -> None:
    async with endpoints(1) as these:
        these.first.forgets = lambda _: True
        assert await these.logs("bloom") == these.truth
        blocks = {number for number, _, _ in these.truth}
        assert these.counted.rechecks == ["found"] * len(blocks)


async def test_receipts_that_fail_to_come_are_asked_for_again_before_an_answer_is_kept() -> None:
    async with endpoints() as these:
        these.first.forgets = from_address(WATCHED, 10, 35)
        broken = these.served[0].fault(Reset(), "eth_getBlockReceipts", times=2)
        assert await these.logs("bloom") == these.truth
        assert broken.hits == 2
        assert these.counted.rechecks == ["found"] * 2


async def test_generous_filters_cost_one_request_for_all_of_them() -> None:
    async with endpoints(1) as these:
        crossed = LogFilter((WATCHED, STRANGER), (TOPIC,))
        logs = await these.node.range_logs(SPAN, crossed, "bloom")
        assert len(logs.logs) == BLOCKS // 5
        assert these.counted.rechecks == ["agreed"] * (BLOCKS // 5 + BLOCKS // 7 - BLOCKS // 35)
        assert these.counted.disagreements == []
        assert sum(calls > 1 for calls in these.served[1].requests) == 2, "its identity, and the logs"


async def test_without_block_receipts_they_are_read_one_by_one() -> None:
    async with endpoints() as these:
        these.first.forgets = from_address(ALSO_WATCHED, 7, 14)
        these.served[0].fault(Error(-32601, "Method not found"), "eth_getBlockReceipts")
        assert await these.logs("bloom") == these.truth
        assert these.counted.rechecks == ["found"] * 2


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("field", "value"),
    [("logsBloom", "0x" + "00" * 256), ("gasUsed", "0x1"), ("receiptsRoot", "0x" + "11" * 32)],
)
async def test_one_altered_header_of_many_is_found_by_its_hash(field: str, value: str) -> None:
    async with endpoints() as these:
        these.served[0].fault(
            Change(lambda block: {**block, field: value}),
            "eth_getBlockByNumber",
            when=lambda params: params[0] == hex(44),
        )
        with pytest.raises(Inconsistent, match="block 44: its fields give the hash"):
            await these.logs("bloom")
        assert these.counted.header_proofs == {("rpc-1", "proved"): BLOCKS - 1, ("rpc-1", "wrong"): 1}


@pytest.mark.usefixtures("impatient")
async def test_headers_that_are_not_each_others_children_are_refused() -> None:
    async with endpoints(prove=False) as these:
        these.served[0].fault(
            Change(lambda block: {**block, "parentHash": "0x" + "ab" * 32}),
            "eth_getBlockByNumber",
            when=lambda params: params[0] == hex(44),
        )
        with pytest.raises(Inconsistent, match=r"block 44 .*is not a child of 43"):
            await these.logs("bloom")


@pytest.mark.usefixtures("impatient")
async def test_logs_of_another_fork_are_refused() -> None:
    async with endpoints() as these:
        these.served[0].fault(
            Change(
                lambda logs: [{**log, "blockHash": f"0x{int(log['blockNumber'], 16):064x}"} for log in logs]
            ),
            "eth_getLogs",
        )
        with pytest.raises(Inconsistent, match="is not the one whose logs came"):
            await these.logs("bloom", Span(1, BLOCKS - 1))


async def test_a_fork_that_adds_fields_to_the_header_is_counted_and_carried_on() -> None:
    async with endpoints() as these:
        these.served[0].fault(
            Change(lambda block: {**block, "extraData": "0x1234", "futureRoot": "0x" + "55" * 32}),
            when=lambda params: bool(params) and params[0] != "0x0" and isinstance(params[-1], bool),
        )
        these.first.forgets = from_address(WATCHED, 10)
        assert await these.logs("bloom") == these.truth
        assert these.counted.header_proofs == {("rpc-1", "cannot_tell"): BLOCKS}
        assert these.counted.rechecks == ["found"]
        by_hash = [params for method, params in these.served[0].calls if method == "eth_getBlockByHash"]
        assert len(by_hash) == 3, "the names once for all headers; the doubtful block, and its names"


async def test_receipts_need_no_index_of_logs() -> None:
    async with endpoints() as these:
        these.first.forgets = lambda _: True
        assert await these.logs("receipts") == these.truth
        assert these.served[0].asked("eth_getLogs") == 0


@pytest.mark.usefixtures("impatient")
async def test_one_log_of_many_that_receipts_lack_is_found_by_the_hash() -> None:
    async with endpoints() as these:
        these.first.forgets, these.first.in_receipts = from_address(WATCHED, 35), True
        with pytest.raises(Inconsistent, match="block 35: its receipts give the root"):
            await these.logs("receipts")
        with pytest.raises(Inconsistent, match="block 35: its receipts give the root"):
            await these.logs("bloom")
        assert ("rpc-1", "wrong") in these.counted.proofs


async def test_one_log_of_many_that_receipts_lack_is_taken_from_another_endpoint() -> None:
    async with endpoints(1) as these:
        these.first.forgets, these.first.in_receipts = from_address(WATCHED, 35), True
        assert await these.logs("receipts") == these.truth
        assert await these.logs("bloom") == these.truth
