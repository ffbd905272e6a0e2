"""Logs made to break an indexer, through the real program into a real database: all are there, none stops it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.fixtures import fakenode
from tests.fixtures.fakechain import FakeBlock, FakeChain, FakeLog, FakeTransaction
from tests.fixtures.fakelogs import TRANSFER_OF_TOKENS
from tests.fixtures.fakenode import FakeNode, serving
from tests.fixtures.hostile import (
    HOSTILE_ABI,
    HOSTILE_ADDRESS,
    LISTS,
    event,
    hostile_logs,
    of,
    raw,
    string,
    topic0,
    transactions_of,
    word,
)
from tests.fixtures.indexed import until_at_head, until_complete
from tests.fixtures.program import Program, started, write_config
from tests.fixtures.truth import assert_equal_to_chain
from tests.fixtures.truth_expected import TrueContract

pytestmark = pytest.mark.integration

Json = Any

KEPT = "logs that do not fit their events were kept in indexer.undecoded_log"
#: Looks like the number at which a provider cuts an answer off.
FLOOD = 50_000
#: Of the program that indexes two such blocks, one after the other.
MOST_MEMORY_BYTES = 768 << 20


@dataclass
class Indexing:
    """The program at work on an invented chain."""

    chain: FakeChain
    rpc_url: str
    database_url: str
    contracts: list[TrueContract]
    program: Program

    async def settled(self) -> None:
        """Return when all blocks are in the database."""
        await until_at_head(self.database_url, self.rpc_url)
        await until_complete(self.database_url)

    async def value(self, query: str) -> object:
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()


@asynccontextmanager
async def indexing(
    chain: FakeChain, abi: list[object], database_url: str, directory: Path
) -> AsyncIterator[Indexing]:
    """`indexer run` on the chain."""
    contracts = [TrueContract("Hostile", (HOSTILE_ADDRESS,), abi)]
    node = FakeNode(chain)
    async with serving(node) as rpc_url:
        config = write_config(directory, contracts, rpc=[rpc_url], database_url=database_url)
        async with started("run", "--config", str(config)) as program:
            yield Indexing(chain, rpc_url, database_url, contracts, program)
            assert await program.stopped() == 0
    assert node.failure is None


async def test_every_hostile_log_is_a_row_or_kept_with_its_reason(
    empty_database_url: str, tmp_path: Path
) -> None:
    chain, logs = FakeChain(), hostile_logs()
    chain.mine(transactions_of(logs, 0))
    chain.mine()
    chain.finalize(2)
    async with indexing(chain, HOSTILE_ABI, empty_database_url, tmp_path) as found:
        await found.settled()
        # The same once more, above finality, and by halves, since what stands beside a log must not matter.
        chain.mine(transactions_of(logs[::2], 10_000))
        chain.mine(transactions_of(logs[1::2], 20_000, size=1))
        await found.settled()
        events = await assert_equal_to_chain(found.database_url, found.rpc_url, found.contracts)
        kept = await found.value("select count(*) from indexer.undecoded_log")
        assert events > 150
        assert await found.value("select count(distinct reason) from indexer.undecoded_log") == 7
        metrics = await found.program.metrics()
        assert metrics.total("indexer_undecoded_logs_total") == kept
        assert metrics.total("indexer_events_total") == events
        await found.program.journalled(KEPT)
        lines = [each for each in found.program.journal if each["message"] == KEPT]
        assert sum(each["logs"] for each in lines) == kept


#: Arrays of arrays of arrays, and more byte strings side by side than anybody declares.
DEEP = event("Deep", of("uint8[][][][]", "deep"))
WIDE = event("Wide", *(of("bytes", f"b{at}") for at in range(60)))


def bombs() -> list[FakeLog]:
    """Small logs that mean gigabytes: the same place is pointed to again and again."""
    fan = 200
    level = word(fan) + b"".join(word(32 * fan) for _ in range(fan))
    leaf = word(fan) + word(1) * fan
    megabyte = string(bytes(1 << 20))
    shared_lists = word(64) + word(64) + word(30_000) + word(1) * 30_000
    return [
        raw(DEEP, word(32) + level * 3 + leaf),
        raw(WIDE, word(60 * 32) * 60 + megabyte),
        raw(LISTS, shared_lists),
    ]


async def test_a_small_log_that_means_gigabytes_is_kept_and_not_unfolded(
    empty_database_url: str, tmp_path: Path
) -> None:
    chain = FakeChain()
    chain.mine(transactions_of(bombs() * 3, 0))
    chain.finalize(1)
    async with indexing(chain, [DEEP, WIDE, LISTS], empty_database_url, tmp_path) as found:
        await found.settled()
        chain.mine(transactions_of(bombs() * 3, 100))
        await found.settled()
        amplified = "select count(*) from indexer.undecoded_log where reason = 'amplified'"
        assert await found.value(amplified) == 12
        assert await found.value("select count(*) from hostile.lists") == 6
        assert await found.value("select pg_column_size(data) > 0 from indexer.undecoded_log limit 1")
        assert peak_memory_bytes(found.program) < MOST_MEMORY_BYTES


async def test_a_block_with_fifty_thousand_logs_is_indexed_whole(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakenode, "logs_json", remembered(fakenode.logs_json))
    chain = FakeChain()
    chain.mine()
    chain.mine([flood(FLOOD)])
    chain.mine()
    chain.finalize(3)
    async with indexing(chain, [TRANSFER_OF_TOKENS], empty_database_url, tmp_path) as found:
        await found.settled()
        chain.mine([flood(FLOOD)])
        await found.settled()
        connection = await asyncpg.connect(found.database_url)
        try:
            rows = await connection.fetch(
                "select block_number, count(*) as rows, sum(value) as total, max(log_index) as last, "
                "count(distinct log_index) as places from hostile.transfer group by 1 order by 1"
            )
        finally:
            await connection.close()
        sizes = {2: FLOOD, 4: FLOOD}
        assert [tuple(row) for row in rows] == [
            (number, size, sum(range(size)), size - 1, size) for number, size in sizes.items()
        ]
        metrics = await found.program.metrics()
        assert metrics.total("indexer_rpc_unknown_errors_total") == 1, "a round number is worth a word"
        assert peak_memory_bytes(found.program) < MOST_MEMORY_BYTES


async def test_a_block_full_of_logs_that_nobody_can_read_is_kept_whole(
    empty_database_url: str, tmp_path: Path
) -> None:
    count = 5_000
    chain = FakeChain()
    chain.mine([flood(count, broken=True)])
    chain.finalize(1)
    async with indexing(chain, [TRANSFER_OF_TOKENS], empty_database_url, tmp_path) as found:
        await found.settled()
        assert (
            await found.value("select count(*) from indexer.undecoded_log where reason = 'dirty_padding'")
            == count
        )
        record = await found.program.journalled(KEPT)
        assert record["logs"] == count
        assert record["reasons"] == {"dirty_padding": count}
        lines = [each for each in found.program.journal if each["message"] == KEPT]
        assert len(lines) <= 2, "a line for each batch, not for each log"


def remembered(logs_json: Callable[[FakeBlock], Json]) -> Callable[[FakeBlock], Json]:
    """The same function, that works once for a block: the node is no part of what is tested."""
    known: dict[bytes, Json] = {}

    def found(block: FakeBlock) -> Json:
        if block.hash not in known:
            known[block.hash] = logs_json(block)
        return known[block.hash]

    return found


def flood(count: int, *, broken: bool = False) -> FakeTransaction:
    """One transaction with so many transfers, of values counting up."""
    sender = b"\xff" * 32 if broken else word(1)
    topics = (topic0(TRANSFER_OF_TOKENS), sender, word(2))
    logs = tuple(FakeLog(HOSTILE_ADDRESS, topics, word(value)) for value in range(count))
    return FakeTransaction(count, bytes(20), HOSTILE_ADDRESS, logs)


def peak_memory_bytes(program: Program) -> int:
    """Source: proc(5), VmHWM."""
    status = Path(f"/proc/{program.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024
