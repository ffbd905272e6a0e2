"""One endpoint and everything that can go wrong with an answer."""

from __future__ import annotations

import gzip
import json
import time
from email.utils import formatdate

import pytest

from indexer.core.errors import Inconsistent, TooMuch, Unavailable
from indexer.core.model import Span
from indexer.rpc import calls, pool
from indexer.rpc.address import EndpointAddress
from indexer.rpc.failures import RateLimited
from indexer.rpc.opening import open_node
from indexer.rpc.transport import Timing
from tests.fixtures.node import (
    HTML,
    NULL,
    OUT_OF_ORDER,
    Batch,
    Change,
    Error,
    Fault,
    Hang,
    Http,
    Reset,
    fault_node,
    refused_batch,
)
from tests.fixtures.rpc import KEY, Counted, address_of, story, wanted

pytestmark = pytest.mark.integration


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause before a second attempt is longer than the total time, so the first failure is what is seen."""
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 1000.0)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_SECONDS", 1000.0)


def body_of(result: object, answer_id: int = 1) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": answer_id, "result": result}).encode()


BROKEN: dict[str, Fault] = {
    "html": HTML,
    "cut short": Http(200, body_of("0x" + "1" * 5000), cut_at=100),
    "half a JSON": Http(200, body_of("0x1")[:-3]),
    "empty": Http(200, b""),
    "not UTF-8": Http(200, b"\xff\xfe\x00"),
    "another id": Http(200, body_of("0x7a69", 999)),
    "neither result nor error": Http(200, b'{"jsonrpc":"2.0","id":1}'),
    "wrong type": Change(lambda _: 17),
    "wrong field": Change(lambda block: block | {"gasUsed": 5} if isinstance(block, dict) else block),
    "gzip that is none": Http(200, b"nonsense", {"Content-Encoding": "gzip"}),
    "500": Http(500, b"oops"),
    "401": Http(401, b'{"error":"invalid project id"}'),
    "302": Http(302, b"", {"Location": "http://127.0.0.1:1/"}),
    "reset": Reset(),
    "an unknown error": Error(-32603, "the moon is in the wrong place"),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_is_none_is_never_accepted(fault: Fault) -> None:
    async with fault_node(story(3)) as node, open_node([address_of(node)]) as ours:
        node.fault(fault)
        with pytest.raises(Unavailable) as raised:
            await ours.head()
        assert "rpc-1" in str(raised.value)


async def test_every_passing_fault_is_overcome_by_asking_again() -> None:
    observer = Counted()
    async with fault_node(story(3)) as node, open_node([address_of(node)], observer=observer) as ours:
        for fault in (HTML, Http(503, b""), Reset()):
            node.fault(fault, "eth_getBlockByNumber", times=1)
        head = await ours.head()
    assert head.number == 3
    assert {"invalid", "refused", "connection", "ok"} <= observer.outcomes()


@pytest.mark.usefixtures("impatient")
async def test_a_key_in_the_url_shows_in_no_error_and_no_name() -> None:
    async with fault_node(story(1)) as node, open_node([address_of(node)]) as ours:
        url = address_of(node).url
        assert KEY in url
        echo = f"forbidden for {url}"
        faults: list[Fault] = [
            Error(-32000, echo),
            Http(403, echo.encode()),
            Http(200, echo.encode()),
            Reset(),
        ]
        for fault in faults:
            node.heal()
            node.fault(fault)
            with pytest.raises(Unavailable) as raised:
                await ours.head()
            error: BaseException | None = raised.value
            while error is not None:
                assert KEY not in repr(error) + str(error)
                error = error.__cause__
    with pytest.raises(Unavailable) as raised:  # nobody listens any more
        async with open_node([address_of(node)]) as ours:
            await ours.head()
    assert KEY not in str(raised.value)
    assert KEY not in repr(address_of(node))


@pytest.mark.parametrize("retry_after", ["1", "date"])
async def test_a_rate_limit_is_obeyed(retry_after: str) -> None:
    async with fault_node(story(1)) as node, open_node([address_of(node)]) as ours:
        header = formatdate(time.time() + 2, usegmt=True) if retry_after == "date" else retry_after
        node.fault(Http(429, b"", {"Retry-After": header}), times=1)
        head = await ours.head()
        assert len(node.requests) == 3  # the refused one, the check of the identity, the head
    assert head.number == 1


async def test_a_rest_longer_than_the_total_time_is_reported_and_not_waited_for() -> None:
    async with fault_node(story(1)) as node, open_node([address_of(node)]) as ours:
        node.fault(Http(429, b"", {"Retry-After": "500"}))
        with pytest.raises(RateLimited) as raised:
            await ours.head()
        assert raised.value.retry_after == 500
        with pytest.raises(RateLimited):
            await ours.head()
        assert len(node.requests) == 1


async def test_an_endpoint_that_hangs_is_given_up_after_the_total_time() -> None:
    timing = Timing(request_seconds=0.2, retry_total_seconds=0.5)
    async with fault_node(story(1)) as node, open_node([address_of(node)], timing=timing) as ours:
        node.fault(Hang())
        with pytest.raises(Unavailable):
            await ours.head()


@pytest.mark.usefixtures("impatient")
async def test_a_large_answer_is_refused_while_it_comes() -> None:
    timing = Timing(response_bytes=20_000)
    async with fault_node(story(1)) as node, open_node([address_of(node)], timing=timing) as ours:
        assert (await ours.head()).number == 1
        # Small on the way, large when unpacked.
        packed = gzip.compress(b" " * 1_000_000)
        node.fault(Http(200, packed, {"Content-Encoding": "gzip"}))
        with pytest.raises(Unavailable, match="more than 20000 bytes"):
            await ours.head()
        with pytest.raises(TooMuch):
            await ours.range_logs(Span(0, 1), wanted())


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_of_a_range_less_is_read_than_of_a_single_block(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MOST_RANGE_BYTES", 30_000)
    async with (
        fault_node(story(3, logs=60)) as node,
        open_node([EndpointAddress("rpc-1", node.url if scheme == "http" else node.ws_url)]) as ours,
    ):
        with pytest.raises(TooMuch, match="more than 30000 bytes"):
            await ours.range_logs(Span(1, 3), wanted())
        assert len((await ours.range_logs(Span(2, 2), wanted())).logs) == 60


async def test_batches_may_come_back_in_any_order() -> None:
    async with fault_node(story(30)) as node, open_node([address_of(node)]) as ours:
        node.fault(OUT_OF_ORDER)
        headers = await ours.headers(range(1, 31))
    assert [header.number for header in headers] == list(range(1, 31))


async def test_refused_batches_shrink_and_this_is_remembered() -> None:
    async with fault_node(story(40)) as node, open_node([address_of(node)]) as ours:
        node.fault(refused_batch("batch limit 8 exceeded", above=8))
        assert len(await ours.headers(range(1, 41))) == 40
        first = list(node.requests)
        assert len(await ours.headers(range(1, 41))) == 40
        assert max(node.requests[len(first) :]) == 8


async def test_an_endpoint_without_batches_is_asked_one_by_one() -> None:
    fake = story(12)
    async with fault_node(fake) as node, open_node([address_of(node)]) as ours:
        node.fault(refused_batch())
        logs = await ours.range_logs(Span(1, 12), wanted())
        block = await ours.block((await ours.head()).id, wanted(), frozenset(), transactions=True)
    assert len(logs.logs) == 24
    assert len(block.logs.logs) == 2


async def test_what_failed_in_a_batch_is_asked_again_and_nothing_else() -> None:
    async with fault_node(story(30)) as node, open_node([address_of(node)]) as ours:
        await ours.head()
        node.calls.clear()
        node.fault(
            Error(-32005, "rate limit exceeded"), when=lambda params: params[0] in {"0x5", "0x9"}, times=2
        )
        headers = await ours.headers(range(1, 31))
        assert [header.number for header in headers] == list(range(1, 31))
        assert len(node.calls) == 32


@pytest.mark.usefixtures("impatient")
async def test_an_answer_missing_from_a_batch_or_given_twice_spoils_it() -> None:
    async with fault_node(story(10)) as node, open_node([address_of(node)]) as ours:
        await ours.head()
        for spoilt in (
            Batch(lambda answers: answers[1:]),
            Batch(lambda answers: [answers[0], *answers[:-1]]),
        ):
            node.heal()
            node.fault(spoilt)
            with pytest.raises(Unavailable, match=r"same id|ids are not"):
                await ours.headers(range(1, 11))


async def test_missing_headers_are_an_inconsistency() -> None:
    async with fault_node(story(10)) as node, open_node([address_of(node)]) as ours:
        node.fault(NULL, "eth_getBlockByNumber", when=lambda params: params[0] == "0x4")
        with pytest.raises(Inconsistent, match="4"):
            await ours.headers(range(1, 11))


async def test_a_header_of_another_height_is_an_inconsistency() -> None:
    async with fault_node(story(10)) as node, open_node([address_of(node)]) as ours:
        node.fault(Change(lambda block: block | {"number": "0x5"}), when=lambda params: params[:1] == ["0x4"])
        with pytest.raises(Inconsistent, match="asked for block 4, got block 5"):
            await ours.header(4)


async def test_what_the_observer_is_told_adds_up() -> None:
    observer = Counted()
    async with fault_node(story(20)) as node, open_node([address_of(node)], observer=observer) as ours:
        await ours.headers(range(1, 21))
        assert observer.calls("eth_getBlockByNumber", "ok") == node.asked("eth_getBlockByNumber")
        assert observer.states == [("rpc-1", False, None), ("rpc-1", True, None)]
        await ours.head()
        assert observer.states[-1] == ("rpc-1", True, 20)
    assert all(sent > 0 for *_, sent, _ in observer.requests)
