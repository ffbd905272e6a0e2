"""A backfill from a node that is far away and has limits: they are kept, learned once, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import asyncpg
import pytest

from bench.chain import ABI, CHAIN_ID, TOKEN
from bench.invented import InventedChain
from bench.limitednode import LimitedNode, serving
from bench.limits import Limits
from indexer.core.model import Span
from indexer.core.source import LogFilter
from indexer.rpc.address import EndpointAddress
from indexer.rpc.headers import ToldHeader, tell_headers
from indexer.rpc.opening import open_node
from indexer.rpc.transport import Timing
from tests.fixtures.commanded import run
from tests.fixtures.node import Error, Http, fault_node
from tests.fixtures.rpc import address_of, story, wanted

pytestmark = pytest.mark.integration

CHAIN = InventedChain(last=299, share=0.7, most_logs=3)
#: A bucket forgives a machine that stands still for a moment, which stricter ways of counting do not.
LIMITS = Limits(0.001, range_blocks=50, answer_logs=10_000, calls_per_second=200, counting="bucket")
AT_ONCE = 4


async def filled(node: str, database_url: str, directory: Path, endpoint: str) -> None:
    """Index the whole chain, and see that each of its logs is there with the time of its block."""
    (directory / "token.json").write_text(json.dumps(ABI))
    config = directory / "indexer.toml"
    config.write_text(
        f'[chain]\nid = {CHAIN_ID}\nrpc = [{{ url = "{node}"{endpoint} }}]\ntransactions = "off"\n'
        f"[backfill]\nparallel = {AT_ONCE}\n"
        f'[database]\nurl = "{database_url}"\n'
        f'[[contracts]]\nname = "Token"\naddress = "{TOKEN}"\nabi = "token.json"\n'
    )
    ran = await run("backfill", "--config", str(config), "--from-block", "0", "--json")
    assert (ran.code, ran.json()["complete"]) == (0, True), ran
    connection = await asyncpg.connect(database_url)
    try:
        found = await connection.fetch(
            "select block_number, count(*) as logs, min(extract(epoch from block_time))::int8 as time"
            " from token.transfer group by 1 order by 1"
        )
    finally:
        await connection.close()
    expected = list(CHAIN.blocks_with_logs(0, CHAIN.last))
    assert [(row["block_number"], row["logs"]) for row in found] == expected
    times = [int(json.loads(CHAIN.header(number))["timestamp"], 16) for number, _ in expected]
    assert [row["time"] for row in found] == times


def require_few_calls(node: LimitedNode) -> None:
    """Every header once, every range once but for those that were under way when the limit was told."""
    account = node.account
    ranges = -(-(CHAIN.last + 1) // (LIMITS.range_blocks or 1))
    assert len(account.refused) <= AT_ONCE, account.refused
    assert account.calls["eth_getLogs"] <= ranges + AT_ONCE + len(account.refused)
    with_logs = sum(1 for _ in CHAIN.blocks_with_logs(0, CHAIN.last))
    # Each range's last block, chain and head beside.
    assert account.calls["eth_getBlockByNumber"] <= with_logs + account.calls["eth_getLogs"] + 10


async def test_a_configured_rate_is_kept_and_a_range_limit_learned_once(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    async with serving(CHAIN, LIMITS) as (url, node):
        await filled(url, empty_database_url, tmp_path, ", requests_per_second = 200")
        assert node.account.limited_at == []
        require_few_calls(node)


@pytest.mark.parametrize("by_status", [True, False], ids=["HTTP 429", "errors of calls"])
async def test_a_rate_that_nobody_told_is_learned_and_no_answer_is_asked_for_twice(
    by_status: bool, empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    limits = Limits(
        0.001, 50, 10_000, calls_per_second=100, counting="bucket", batch_calls=40, by_status=by_status
    )
    async with serving(CHAIN, limits) as (url, node):
        await filled(url, empty_database_url, tmp_path, "")
        assert node.account.limited_at
        require_few_calls(node)


async def test_a_range_with_more_headers_than_one_questions_time_allows_is_read_all_the_same() -> None:
    chain, limits = InventedChain(last=60, share=1.0), Limits(0.0, calls_per_second=None)
    timing = Timing(retry_total_seconds=2.0)
    async with (
        serving(chain, limits) as (url, node),
        open_node([EndpointAddress("rpc-1", url, requests_per_second=20)], timing=timing) as ours,
    ):
        asked = LogFilter((bytes.fromhex(TOKEN[2:]),), None)
        logs = await ours.range_logs(Span(1, 60), asked)
        assert len(logs.logs) == 60 and not logs.untimed
        assert node.account.calls["eth_getLogs"] == 1
        assert node.account.ended_at > timing.retry_total_seconds


async def test_what_fails_among_many_headers_is_asked_again_alone() -> None:
    async with fault_node(story(150)) as node, open_node([address_of(node)]) as ours:
        for block in node.chain.blocks:
            block.header.pop("blockTimestamp", None)
        assert len((await ours.range_logs(Span(1, 2), wanted())).logs) == 4
        numbers = list(range(1, 151))
        node.fault(
            Http(429, b"", {"Retry-After": "0"}),
            "eth_getBlockByNumber",
            when=lambda params: params[0] == hex(120),
            times=1,
        )
        node.calls.clear()
        headers = await ours.headers(numbers)
        assert [header.number for header in headers] == numbers
        asked = [params[0] for method, params in node.calls if method == "eth_getBlockByNumber"]
        assert asked.count(hex(50)) == 1
        assert asked.count(hex(120)) == 2


async def test_a_header_that_was_told_is_not_asked_for_again_when_the_rest_of_its_question_is() -> None:
    async with fault_node(story(9)) as node, open_node([address_of(node)]) as ours:
        await ours.chain_id()
        (endpoint,) = ours._pool.endpoints
        told: dict[int, ToldHeader] = {}
        await tell_headers(endpoint, [1, 2, 3], told)
        node.calls.clear()
        await tell_headers(endpoint, [1, 2, 3, 4, 5], told)
        assert [params[0] for _, params in node.calls] == [hex(4), hex(5)]
        assert sorted(told) == [1, 2, 3, 4, 5]


async def test_what_an_endpoint_said_of_its_longest_range_is_not_asked_of_it_again() -> None:
    async with fault_node(story(30)) as node, open_node([address_of(node)]) as ours:
        node.fake.most_blocks = 5
        assert ours.most_blocks() is None
        for _ in range(3):
            with pytest.raises(Exception, match="5") as raised:
                await ours.range_logs(Span(1, 20), wanted())
            assert (raised.value.blocks, raised.value.is_cap) == (5, True)  # type: ignore[attr-defined]
        assert ours.most_blocks() == 5
        assert sum(method == "eth_getLogs" for method, _ in node.calls) == 1
        assert len((await ours.range_logs(Span(1, 5), wanted())).logs) == 10


async def test_the_limit_of_a_spare_endpoint_does_not_shorten_the_ranges_of_the_first() -> None:
    async with fault_node(story(30)) as first, fault_node(first.fake) as spare:
        refusal = Error(-32602, "exceed maximum block range: 5")
        spare.fault(refusal, "eth_getLogs")
        async with open_node([address_of(first), address_of(spare, "rpc-2")]) as ours:
            rule = first.fault(Http(503, b""), "eth_getLogs", times=1)
            with pytest.raises(Exception, match="rpc-2"):
                await ours.range_logs(Span(1, 20), wanted())
            assert rule.hits == 1
            assert ours.most_blocks() is None
            assert len((await ours.range_logs(Span(1, 20), wanted())).logs) == 40
