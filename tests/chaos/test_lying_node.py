"""The running program and a node that misbehaves in one way after another: right data, or a stop that shows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.chaos.scene import Onlooker, Scene, repeatable
from tests.fixtures.fakechain import FakeBlock, FakeChain
from tests.fixtures.fakenode import FakeNode, serving
from tests.fixtures.node import (
    HTML,
    NULL,
    OUT_OF_ORDER,
    Change,
    Error,
    Fault,
    FaultNode,
    Hang,
    Http,
    Raw,
    Reset,
    fault_node,
    refused_batch,
)
from tests.fixtures.program import Metrics, Program, until

pytestmark = pytest.mark.chaos

Json = Any
BLOCK, RECEIPTS, LOGS, BY_NUMBER = (
    "eth_getBlockByHash",
    "eth_getBlockReceipts",
    "eth_getLogs",
    "eth_getBlockByNumber",
)
OTHER_HASH = "0x" + "77" * 32
#: A slow machine is not taken for a hanging node, and a hanging one is not waited for long.
TIMEOUTS = {"request_seconds": 2.0, "retry_total_seconds": 20.0, "websocket_stall_seconds": 1.0}


@dataclass(frozen=True)
class Trouble:
    """Something that the node does, and how it shows."""

    fault: Fault
    method: str = BLOCK
    #: The `outcome` under which such calls are counted; None: the answer is sound by itself.
    outcome: str | None = None
    #: The `error_type` that reaches the loop; None: it goes on.
    error: str | None = None
    when: Callable[[list[Json]], bool] = field(default=lambda _: True)


def is_finalized(params: list[Json]) -> bool:
    return params[:1] == ["finalized"]


def changed_items(**changed: Json) -> Change:
    return Change(lambda items: [item | changed for item in items])


def lied(to: Callable[[Json], Json], method: str, **options: Any) -> Trouble:
    return Trouble(Change(to), method, error="inconsistent", **options)


#: In order: what an endpoint is remembered for comes last.
TROUBLES: dict[str, Trouble] = {
    "HTML": Trouble(HTML, outcome="invalid"),
    "an empty body": Trouble(Http(200), outcome="invalid"),
    "a body cut short": Trouble(Http(200, b"[" * 5000, cut_at=100), outcome="invalid"),
    "gzip that is none": Trouble(Http(200, b"no", {"Content-Encoding": "gzip"}), outcome="invalid"),
    "half-closed": Trouble(Raw(b"HTTP/1.1 200 OK\r\n", "half_close"), outcome="connection"),
    "a wrong length": Trouble(Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[{}]"), outcome="invalid"),
    "nested for ever": Trouble(Http(200, b'{"id":1,"x":' + b"[" * 500_000), outcome="invalid"),
    "a reset": Trouble(Reset(), outcome="connection"),
    "503": Trouble(Http(503, b"no healthy upstream"), outcome="refused"),
    "429": Trouble(Http(429), outcome="rate_limited"),
    "429 for a second": Trouble(Http(429, b"", {"Retry-After": "1"}), outcome="rate_limited"),
    "a quota": Trouble(Error(-32005, "daily request count exceeded"), outcome="rate_limited"),
    "words that nobody knows": Trouble(Error(-32603, "the moon is in the wrong place"), outcome="unknown"),
    "a hang": Trouble(Hang(), outcome="timeout"),
    "a block that is null": Trouble(NULL, error="unavailable"),
    "receipts that are null": Trouble(NULL, RECEIPTS, error="unavailable"),
    "logs that are null": Trouble(NULL, LOGS, outcome="invalid"),
    "an unknown block": Trouble(Error(-32000, "unknown block"), LOGS, outcome="behind", error="unavailable"),
    "receipts that are fewer": lied(lambda receipts: receipts[:-1], RECEIPTS),
    "receipts of another block": lied(changed_items(blockHash=OTHER_HASH).to, RECEIPTS),
    "no logs": lied(lambda _: [], LOGS),
    "a log missing": lied(lambda logs: logs[:-1], LOGS),
    "a log twice": lied(lambda logs: [*logs, *logs[-1:]], LOGS),
    "logs of another fork": lied(changed_items(blockHash=OTHER_HASH).to, LOGS),
    "logs of nobody": lied(changed_items(address="0x" + "99" * 20).to, LOGS),
    "another time": lied(lambda block: block | {"timestamp": "0x7fffffff"}, BLOCK),
    "finalized is gone": Trouble(NULL, BY_NUMBER, error="unavailable", when=is_finalized),
    "finalized is above the head": Trouble(
        Change(lambda block: block | {"number": "0xffffff"}),
        BY_NUMBER,
        error="inconsistent",
        when=is_finalized,
    ),
    "batches out of order": Trouble(OUT_OF_ORDER),
    "batches refused": Trouble(refused_batch("batch limit 2 exceeded", above=2)),
    "no receipts by block": Trouble(Error(-32601, "Method not found"), RECEIPTS, outcome="unsupported"),
}


class Lying(Scene):
    """A scene whose program asks a node that can be made to lie; the truth is told elsewhere."""

    def __init__(
        self, liar: FaultNode, honest_url: str, database_url: str, directory: Path, random: Random
    ) -> None:
        super().__init__(liar.fake, honest_url, database_url, directory, random)
        self.liar = liar

    def mine_logs(self) -> None:
        """A block with logs of ours."""
        before = self.chain.head
        while not any(each.logs for each in self.chain.head.transactions) or self.chain.head is before:
            self.mine(transactions=4)


@asynccontextmanager
async def lying(directory: Path, database_url: str, random: Random) -> AsyncIterator[Lying]:
    fake = FakeNode(FakeChain())
    async with fault_node(fake) as liar, serving(FakeNode(fake.chain)) as honest_url:
        world = Lying(liar, honest_url, database_url, directory, random)
        world.mine(20)
        world.finalize(3)
        yield world


async def shown(program: Program, trouble: Trouble, before: Metrics) -> None:
    """Return when the trouble is counted as what it is, and lag and health tell that something is not done."""

    async def counted() -> bool:
        assert program.running, program.said
        now = await program.metrics()

        def risen(name: str, **labels: str) -> bool:
            return now.total(name, **labels) > before.total(name, **labels)

        if trouble.outcome and not risen("indexer_rpc_requests_total", outcome=trouble.outcome):
            return False
        return not trouble.error or risen("indexer_errors_total", error_type=trouble.error)

    await until(counted, f"{trouble} is counted")


async def lags(program: Program) -> None:
    """The metrics and the health page say that there is something to do."""

    async def told() -> bool:
        _, page = await program.get("/health")
        lag = json.loads(page)["services"]["indexer"]["lag"]
        return bool(lag >= 1 and (await program.metrics())["indexer_block_lag"] >= 1)

    await until(told, "lag and health tell that something is not done")


async def nothing_came(onlooker: Onlooker, number: int) -> None:
    assert await onlooker.asked("select number from indexer.cursor") == number
    assert await onlooker.asked("select count(*) from indexer.event where block_number > $1", number) == 0


async def test_every_trouble_in_turn_ends_with_right_data_and_shows_while_it_lasts(
    database_url: str, tmp_path: Path
) -> None:
    with repeatable() as random:
        async with (
            lying(tmp_path, database_url, random) as world,
            world.onlooker() as onlooker,
            world.run(rpc_url=world.liar.url, timeouts=TIMEOUTS) as program,
        ):
            await world.caught_up()
            for at, (name, trouble) in enumerate(TROUBLES.items()):
                await _endured(world, onlooker, program, name, trouble)
                if at % 8 == 0:
                    assert await world.compare_claims() > 0
            await world.settled()
            assert await world.compare() > 0
            assert await program.stopped() == 0, program.said


async def _endured(world: Lying, onlooker: Onlooker, program: Program, name: str, trouble: Trouble) -> None:
    before, at = await program.metrics(), world.chain.head.number
    rule = world.liar.fault(trouble.fault, trouble.method, when=trouble.when)
    try:
        world.mine_logs()
        if trouble.outcome or trouble.error:
            await shown(program, trouble, before)
        if name != "no receipts by block" and (trouble.outcome or trouble.error):
            await lags(program)
            if trouble.method != BY_NUMBER:
                await nothing_came(onlooker, at)
        else:
            await world.followed()
        assert rule.hits > 0
        world.liar.heal()
        if world.random.random() < 0.3:
            world.reorg(2, 3)
        await world.followed()
    except BaseException as error:
        error.add_note(f"the trouble was: {name}")
        raise


def invented(number: int) -> FakeBlock:
    """A block that no chain has."""
    return FakeBlock(number, b"\x77" * 32, 1_700_000_000, (), 0)


def raved(chain: FakeChain) -> FakeChain:
    """The chain with blocks on top that do not even link."""
    other = FakeChain()
    number = chain.head.number
    other.blocks = [*chain.blocks, *(invented(each) for each in range(number + 1, number + 40))]
    other.by_hash = {block.hash: block for block in other.blocks}
    other.finalized = chain.finalized
    return other


def foreign(chain: FakeChain, chain_id: int) -> FakeChain:
    """Another chain, longer and with the same genesis block."""
    other = FakeChain(chain_id)
    other._branch = 1
    for _ in range(chain.head.number + 40):
        other.mine()
    other.finalize(chain.head.number)
    return other


async def lag_is_gone(program: Program) -> None:
    async def told() -> bool:
        return (await program.metrics())["indexer_block_lag"] == 0

    await until(told, "the lag is 0")


async def test_what_one_of_two_endpoints_does_costs_no_block_and_no_standstill(
    database_url: str, tmp_path: Path
) -> None:
    with repeatable() as random:
        async with (
            lying(tmp_path, database_url, random) as world,
            world.run(chain={"rpc": [world.liar.ws_url, world.rpc_url]}, timeouts=TIMEOUTS) as program,
        ):
            liar, chain = world.liar, world.chain
            await world.caught_up()

            async def goes_on() -> None:
                for _ in range(2):
                    world.mine_logs()
                    await world.followed()
                await lag_is_gone(program)

            # Polled blocks that nobody announced: the subscription is opened anew.
            await liar.subscribed()
            opened = liar.subscriptions
            await goes_on()
            await liar.subscribed(opened + 1)

            for message in ("\x00{", '{"x":' + "[" * 500_000, '{"method":"eth_subscription","params":{}}'):
                await liar.tell(message)
            await goes_on()

            await liar.announce(invented(9_000))
            await goes_on()

            rule = liar.fault(Hang(), BLOCK, times=2)
            await goes_on()
            assert rule.hits

            liar.fault(Reset(), BLOCK)
            await goes_on()
            liar.heal()

            honest = liar.fake
            liar.fake = FakeNode(raved(chain))
            await goes_on()

            # Frozen: it has seen nothing since.
            liar.fake = FakeNode(raved(chain))
            liar.fake.behind = 39
            await goes_on()
            liar.fake = honest
            await goes_on()

            liar.fake = FakeNode(foreign(chain, chain_id=5))
            liar.fault(Reset(), times=1)
            await program.journalled("endpoint serves another chain, not used", endpoint="rpc-1")
            await goes_on()
            metrics = await program.metrics()
            assert metrics.total("indexer_rpc_requests_total", outcome="wrong_chain", endpoint="rpc-1") == 1
            assert metrics.total("indexer_rpc_endpoint_up", endpoint="rpc-1") == 0
            assert metrics.total("indexer_reorgs_total") == 0
            await world.settled()
            assert await world.compare() > 0
            assert await program.stopped() == 0, program.said


async def test_where_the_only_node_serves_another_chain_by_now_the_program_ends_and_says_why(
    database_url: str, tmp_path: Path
) -> None:
    with repeatable() as random:
        async with (
            lying(tmp_path, database_url, random) as world,
            world.run(rpc_url=world.liar.url, timeouts=TIMEOUTS) as program,
        ):
            await world.caught_up()
            world.liar.fake = FakeNode(foreign(world.chain, chain_id=5))
            world.liar.fault(Reset(), times=1)
            assert await program.ended() == 2, program.said
            assert "chain id 5 instead of 31337" in program.said
            assert await world.compare_claims() > 0
