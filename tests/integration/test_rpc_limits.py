"""Limits of endpoints: every known message and unknown ones over a socket, rests, and caps that change."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from pathlib import Path
from random import Random
from typing import Any

import pytest

from indexer.core.errors import TooMuch
from indexer.core.model import Span
from indexer.rpc import endpoint, health, pool
from indexer.rpc.failures import Behind, RateLimited
from indexer.rpc.limiter import Limiter
from indexer.rpc.opening import open_node
from indexer.rpc.transport import Timing
from tests.fixtures.commanded import Scene
from tests.fixtures.fakechain import FakeTransaction
from tests.fixtures.fakelogs import LEDGER_ADDRESSES, TRANSFER_OF_TOKENS, emit
from tests.fixtures.fakenode import RpcError
from tests.fixtures.node import Change, Error, Http, fault_node
from tests.fixtures.rpc import WATCHED, Counted, address_of, story, wanted
from tests.fixtures.truth import assert_equal_to_chain

pytestmark = pytest.mark.integration

Json = Any
KNOWN: list[Json] = json.loads(
    (Path(__file__).parents[1] / "data" / "provider_errors.json").read_text(encoding="utf-8")
)
UNKNOWN = (
    "the moon is in the wrong place",
    "",
    "Ошибка: 42",
    "x" * 100_000,
    "\x00\x1b[31m",
    "null",
    "🜁" * 500,
)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause before a second attempt is longer than the total time, so the first failure is what is seen."""
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 1000.0)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_SECONDS", 1000.0)


@pytest.mark.parametrize("known", KNOWN, ids=lambda each: each["provider"])
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.usefixtures("impatient")
async def test_every_known_message_leads_to_what_it_asks_for(known: Json, status: int) -> None:
    expected = {
        "narrow": TooMuch,
        "back_off": RateLimited,
        "wait_for_head": Behind,
        "unknown": TooMuch,
    }
    observer = Counted()
    body = {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": known["code"] or -32000, "message": known["message"]},
    }
    fault = Error(known["code"] or -32000, known["message"])
    async with (
        fault_node(story(9)) as node,
        fault_node(node.fake) as other,
        open_node([address_of(node)], observer=observer) as ours,
        open_node([address_of(node), address_of(other, "rpc-2")]) as both,
    ):
        await ours.chain_id()
        await both.chain_id()
        if status == 200:
            rule = node.fault(fault, "eth_getLogs", when=lambda params: len(params[0]["address"]) > 1)
        else:
            rule = node.fault(Http(status, json.dumps(body).encode()), "eth_getLogs")
        if known["verdict"] == "fewer_addresses" and status == 200:
            assert len((await ours.range_logs(Span(2, 9), wanted())).logs) == 16
            return
        if known["verdict"] == "fewer_addresses":
            # The message says it for one address as well: there is nothing smaller to ask for.
            expected["fewer_addresses"] = TooMuch
        with pytest.raises(expected[known["verdict"]]) as raised:
            await ours.range_logs(Span(2, 9), wanted())
        assert rule.hits >= 1
        if status == 200 and known["verdict"] == "narrow":
            limit = known.get("limit")
            assert isinstance(raised.value, TooMuch)
            assert raised.value.blocks == (limit if limit and limit < 8 else None)
        assert len(observer.unknown) == (known["verdict"] == "unknown")
        # Where asking for less is no way out, somebody else is asked at once.
        if not isinstance(raised.value, TooMuch):
            assert len((await both.range_logs(Span(2, 9), wanted())).logs) == 16


@pytest.mark.parametrize("message", UNKNOWN, ids=lambda each: ascii(each[:20]))
async def test_an_unknown_message_halves_the_range_and_is_counted_and_cut_to_a_readable_length(
    message: str,
) -> None:
    observer = Counted()
    async with fault_node(story(9)) as node, open_node([address_of(node)], observer=observer) as ours:
        node.fault(Error(-32099, message), "eth_getLogs")
        with pytest.raises(TooMuch) as raised:
            await ours.range_logs(Span(2, 9), wanted())
        assert raised.value.blocks is None
        assert len(str(raised.value)) < 500
    assert observer.unknown == ["rpc-1"]
    assert "unknown" in observer.outcomes()


RESTS: dict[str, tuple[dict[str, str], float | None]] = {
    "none": ({}, None),
    "seconds": ({"Retry-After": "500"}, 500),
    "a date": ({"Retry-After": "in 500 seconds"}, 500),
    "a date that is over": ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    "hours": ({"Retry-After": "7200"}, 3600),
    "years": ({"Retry-After": "999999999"}, None),
    "the year 9999": ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
    "negative": ({"Retry-After": "-5"}, None),
    "words": ({"Retry-After": "in a while"}, None),
    "a list": ({"Retry-After": "120, 60"}, None),
    "empty": ({"Retry-After": ""}, None),
}


@pytest.mark.parametrize(("headers", "rest"), RESTS.values(), ids=RESTS.keys())
@pytest.mark.usefixtures("impatient")
async def test_a_rest_is_as_long_as_was_asked_for_and_never_absurd(
    headers: dict[str, str], rest: float | None
) -> None:
    observer = Counted()
    async with fault_node(story(3)) as node, open_node([address_of(node)], observer=observer) as ours:
        await ours.chain_id()
        dated = {"in 500 seconds": formatdate(time.time() + 500, usegmt=True)}
        told = {name: dated.get(text, text) for name, text in headers.items()}
        node.fault(Http(429, b"block range too large", told), times=1)
        with pytest.raises(RateLimited):
            await ours.range_logs(Span(1, 3), wanted())
        (endpoint,) = ours._pool.endpoints
        found = endpoint.resting_seconds()
        longest = health.REST_SECONDS if rest is None else rest
        assert found <= longest
        # A slow machine may have spent some of it.
        assert rest is None or found >= rest - 60
        assert observer.states[-1][1] is (longest <= health.LONGEST_REST_SECONDS)
    assert "rate_limited" in observer.outcomes()


async def test_limits_without_a_time_make_rests_that_grow() -> None:
    state = health.Health()
    rests = []
    for _ in range(8):
        state.limited(0.0, None)
        rests.append(state.resting_seconds(0.0))
    assert rests == [1, 2, 4, 8, 16, 30, 30, 30]
    state.answered()
    state.limited(100.0, None)
    assert state.resting_seconds(100.0) == 1


async def test_a_cap_that_changes_at_run_time_is_followed_down_and_up_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.mine(200, seed=5)
    scene.mine_all([()] * 1_500)
    fake = scene.node.fake
    asked: list[int] = []
    refused = [0]
    # At which request the node begins to want what.
    caps = {0: 20, 12: 5, 24: 1, 40: None}

    def count(method: str, params: list[Json]) -> None:
        if method == "eth_getLogs" and "fromBlock" in params[0]:
            fake.most_blocks = caps.get(len(asked), fake.most_blocks)
            if fake.most_blocks is None:
                monkeypatch.setattr(endpoint, "RANGE_CAP_SECONDS", 0.0)  # as if an hour had passed
            asked.append(int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1)
            refused[0] += fake.most_blocks is not None and asked[-1] > fake.most_blocks

    fake.before = count
    await scene.filled(transactions="follow")
    fake.most_blocks, fake.before = None, lambda method, params: None
    assert await assert_equal_to_chain(scene.database_url, scene.node.url, scene.contracts, complete=False)
    assert asked[0] > 20
    assert 1 in asked
    assert max(asked[40:]) > 20, "it dares more again"
    # Each change costs a refusal for each range in flight, and what is known to be refused is not asked again.
    assert refused[0] <= 3 * 4, asked


async def test_limits_in_many_words_on_the_way_cost_no_log(scene: Scene) -> None:
    scene.mine(150, seed=6)
    random = Random(6)
    refusals = [each for each in KNOWN if each["verdict"] in {"narrow", "unknown"}]

    def refuse(method: str, params: list[Json]) -> None:
        longer = method == "eth_getLogs" and params[0]["fromBlock"] != params[0]["toBlock"]
        if longer and random.random() < 0.4:
            known = random.choice(refusals)
            raise RpcError(known["code"] or -32000, known["message"])

    scene.node.fake.before = refuse
    await scene.filled(transactions="follow")
    assert await assert_equal_to_chain(scene.database_url, scene.node.url, scene.contracts, complete=False)


def crowded(scene: Scene, blocks: int, logs: int) -> None:
    """Blocks with so many transfers each."""
    for number in range(blocks):
        some = tuple(
            emit(LEDGER_ADDRESSES[0], TRANSFER_OF_TOKENS, b"\x01" * 20, b"\x02" * 20, at)
            for at in range(logs)
        )
        scene.chain.mine([FakeTransaction(number, b"\x01" * 20, LEDGER_ADDRESSES[0], some)])
    scene.chain.finalize(scene.chain.head.number)


async def test_answers_cut_at_a_round_number_are_noticed_and_asked_again_in_parts(scene: Scene) -> None:
    crowded(scene, 30, 150)
    rule = scene.node.fault(Change(lambda logs: logs[:1000]), "eth_getLogs")
    await scene.filled(transactions="off")
    scene.node.heal()
    assert rule.hits > 1
    assert await scene.value("select count(*) from ledger.transfer") == 30 * 150
    assert await assert_equal_to_chain(scene.database_url, scene.node.url, scene.contracts, complete=False)


async def test_answers_cut_at_any_other_number_are_noticed_by_the_audit(scene: Scene) -> None:
    crowded(scene, 30, 50)
    scene.node.fault(Change(lambda logs: logs[:1234]), "eth_getLogs")
    await scene.filled(transactions="off")
    assert await scene.value("select count(*) from ledger.transfer") == 1234
    found = await scene.command("audit", "--from-block", "0", "--json", "--against", "receipts", "--repair")
    assert found.code == 1
    missing = [
        (each["kind"], each["event"]) for each in found.json()["differences"] if each["part"] == "event"
    ]
    assert missing == [("missing", "Transfer(address,address,uint256)")] * (30 * 50 - 1234)
    scene.node.heal()
    assert await assert_equal_to_chain(scene.database_url, scene.node.url, scene.contracts, complete=False)


async def test_more_calls_than_a_rate_allows_in_the_time_of_a_question_are_answered_all_the_same() -> None:
    timing = Timing(retry_total_seconds=0.5)
    async with (
        fault_node(story(60)) as node,
        open_node([address_of(node, requests_per_second=40)], timing=timing) as ours,
    ):
        transactions, hashes = await ours.range_transactions(Span(1, 50), frozenset({WATCHED}))
    assert len(hashes) == 50
    assert transactions


def test_looking_for_the_newest_block_leaves_most_of_a_low_rate_to_others() -> None:
    limiter = Limiter(5.0)
    assert limiter.pause_of_a_watch() == 1.0
    assert Limiter(None).pause_of_a_watch() == 0.0
