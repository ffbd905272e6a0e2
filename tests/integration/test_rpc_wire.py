"""Bytes that are no answer: none is believed, none holds us up for ever, and none spoils the next answer."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from indexer.core.errors import TooMuch, Unavailable
from indexer.core.model import Span
from indexer.rpc import pool
from indexer.rpc.address import EndpointAddress
from indexer.rpc.opening import open_node
from indexer.rpc.transport import Timing
from tests.fixtures.node import Batch, Change, Endless, Fault, FaultNode, Hang, Http, Raw, Reset, fault_node
from tests.fixtures.rpc import address_of, story, wanted

pytestmark = pytest.mark.integration

Json = Any
GENESIS = {"jsonrpc": "2.0", "id": 1, "result": "0x7a69"}
BODY = json.dumps([GENESIS, GENESIS | {"id": 2, "result": None}]).encode()
PACKED = gzip.compress(BODY * 100)
DEEP = b"[" * 1_000_000
#: Long enough for a slow machine to answer what is sound.
TIMING = Timing(request_seconds=2.0, retry_total_seconds=3.0)
IMPATIENT = Timing(request_seconds=0.3, retry_total_seconds=60.0)


def head_of(*headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode()


def told(result: bytes) -> Http:
    return Http(200, b'[{"jsonrpc":"2.0","id":1,"result":' + result + b"}]")


BROKEN: dict[str, Fault] = {
    "nothing, half-closed": Raw(b"", "half_close"),
    "nothing, closed": Raw(b""),
    "half a body, half-closed": Raw(head_of(f"Content-Length: {len(BODY)}") + BODY[:50], "half_close"),
    "half a head": Raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "half a chunk": Raw(head_of("Transfer-Encoding: chunked") + b"ff\r\n[{"),
    "a chunk of no size": Raw(head_of("Transfer-Encoding: chunked") + b"zz\r\n[{}]\r\n0\r\n\r\n"),
    "no HTTP": Raw(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "a length that is too short": Raw(head_of("Content-Length: 20") + BODY),
    "a length that is too long": Raw(head_of("Content-Length: 100000") + BODY),
    "a length that is no number": Raw(head_of("Content-Length: many") + BODY),
    "two lengths": Raw(head_of("Content-Length: 5", f"Content-Length: {len(BODY)}") + BODY),
    "a head without end": Raw(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 1234567890\r\n" * 20_000),
    "a line without end": Raw(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"1" * 1_000_000),
    "gzip cut short": Http(200, PACKED[:-12], {"Content-Encoding": "gzip"}),
    "gzip with a flipped bit": Http(
        200, PACKED[:30] + bytes([PACKED[30] ^ 64]) + PACKED[31:], {"Content-Encoding": "gzip"}
    ),
    "gzip that is deflate": Http(200, zlib.compress(BODY), {"Content-Encoding": "gzip"}),
    "an encoding that nobody asked for": Http(200, b"\x0b\x02\x80", {"Content-Encoding": "br"}),
    "204": Http(204),
    "a page of text": Http(200, b"upstream connect error or disconnect/reset before headers"),
    "null": Http(200, b"null"),
    "an empty list": Http(200, b"[]"),
    "a number": Http(200, b"17"),
    "nested for ever": Http(200, DEEP),
    "a result nested for ever": told(DEEP),
    "an unknown field nested for ever": told(b'"0x1","more":' + DEEP),
    "not a number": told(b"NaN"),
    "half a surrogate": told(b'"\\ud800"'),
    "a code of 5,000 digits": Http(200, b'{"id":1,"error":{"code":"' + b"9" * 5000 + b'","message":"x"}}'),
    "a code of signs": Http(200, b'{"id":1,"error":{"code":"--5","message":"x"}}'),
    "an error that is a list": Http(200, b'{"id":1,"error":["no"]}'),
    "an empty error": Http(200, b'{"id":1,"error":{}}'),
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The pause before a second attempt is longer than the total time, so the first failure is what is seen."""
    with monkeypatch.context() as patch:
        patch.setattr(pool, "FIRST_PAUSE_SECONDS", 1000.0)
        patch.setattr(pool, "LONGEST_PAUSE_SECONDS", 1000.0)
        yield


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.usefixtures("impatient")
async def test_what_is_no_answer_is_a_failure_and_the_next_answer_is_right(fault: Fault) -> None:
    async with fault_node(story(3)) as node, open_node([address_of(node)], timing=TIMING) as ours:
        rule = node.fault(fault)
        with pytest.raises(Unavailable, match="rpc-1"):
            await ours.head()
        assert rule.hits
        node.heal()
        assert (await ours.head()).hash == node.chain.head.hash


ENDLESS: dict[str, Fault] = {
    "hanging": Hang(),
    "half a body, then nothing": Raw(head_of("Content-Length: 100000") + BODY, "keep"),
    "half a head, then nothing": Raw(b"HTTP/1.1 200 OK\r\n", "keep"),
    "drop by drop": Endless(b" ", pause_seconds=0.05),
    "in a flood": Endless(b" " * 100_000),
    "in a flood, unpacked": Http(200, gzip.compress(b" " * 3_000_000), {"Content-Encoding": "gzip"}),
    "announced": Raw(head_of("Content-Length: 999999999999") + b"[", "keep"),
}


@pytest.mark.parametrize("fault", ENDLESS.values(), ids=ENDLESS.keys())
async def test_an_answer_without_end_is_given_up_by_time_or_by_size(fault: Fault) -> None:
    timing = Timing(request_seconds=0.3, retry_total_seconds=0.6, response_bytes=1_000_000)
    async with (
        fault_node(story(3)) as node,
        fault_node(node.fake) as other,
        open_node([address_of(node)], timing=timing) as ours,
        open_node([address_of(node), address_of(other, "rpc-2")], timing=IMPATIENT) as both,
    ):
        await ours.chain_id()
        await both.chain_id()
        node.fault(fault)
        # Too long an answer may be cured by a shorter range; a header has no shorter form.
        with pytest.raises(TooMuch):
            await ours.range_logs(Span(1, 3), wanted())
        with pytest.raises(Unavailable):
            await ours.head()
        assert (await both.header(3)) == (await both.header_by_hash(node.chain.head.hash))
        assert other.asked("eth_getBlockByNumber") > 1


SPOILT_BATCHES: dict[str, Batch] = {
    "one more": Batch(lambda answers: [*answers, answers[0] | {"id": 999_999}]),
    "one missing, one of nobody": Batch(lambda answers: [*answers[1:], answers[0] | {"id": 999_999}]),
    "ids as text": Batch(lambda answers: [answer | {"id": str(answer["id"])} for answer in answers]),
    "without ids": Batch(lambda answers: [answer | {"id": None} for answer in answers]),
    "one answer alone": Batch(lambda answers: answers[0]),
    "an object of answers": Batch(lambda answers: {str(at): answer for at, answer in enumerate(answers)}),
    "nothing": Batch(lambda _: []),
    "a list of texts": Batch(lambda answers: [json.dumps(answer) for answer in answers]),
}


@pytest.mark.parametrize("spoilt", SPOILT_BATCHES.values(), ids=SPOILT_BATCHES.keys())
@pytest.mark.usefixtures("impatient")
async def test_a_batch_whose_answers_cannot_be_told_apart_is_thrown_away_whole(spoilt: Batch) -> None:
    async with fault_node(story(10)) as node, open_node([address_of(node)], timing=TIMING) as ours:
        await ours.chain_id()
        node.fault(spoilt)
        with pytest.raises(Unavailable, match="rpc-1"):
            await ours.headers(range(1, 11))
        node.heal()
        assert [header.number for header in await ours.headers(range(1, 11))] == list(range(1, 11))


async def test_answers_that_change_places_with_their_ids_are_told_by_their_content() -> None:
    def swapped(answers: list[Json]) -> list[Json]:
        first, second, *rest = answers
        return [first | {"result": second["result"]}, second | {"result": first["result"]}, *rest]

    async with (
        fault_node(story(10)) as node,
        fault_node(node.fake) as other,
        open_node([address_of(node), address_of(other, "rpc-2")]) as ours,
    ):
        await ours.chain_id()
        node.fault(Batch(swapped))
        assert [header.number for header in await ours.headers(range(1, 11))] == list(range(1, 11))
        assert other.asked("eth_getBlockByNumber") == 1 + 10  # the genesis block, then all of them


async def test_of_a_batch_only_what_cannot_be_read_is_asked_again() -> None:
    def spoilt(answers: list[Json]) -> list[Json]:
        return [answer | ({"result": 17} if at % 3 else {}) for at, answer in enumerate(answers)]

    async with fault_node(story(10)) as node, open_node([address_of(node)]) as ours:
        await ours.chain_id()
        before = node.asked("eth_getBlockByNumber")
        node.fault(Batch(spoilt))
        assert [header.number for header in await ours.headers(range(1, 11))] == list(range(1, 11))
        # Ten, then two thirds of what is left each time: six, four, two, one.
        assert node.asked("eth_getBlockByNumber") - before == 10 + 6 + 4 + 2 + 1


def ws_address_of(node: FaultNode) -> EndpointAddress:
    return EndpointAddress("rpc-1", node.ws_url)


WS_BROKEN: dict[str, Fault] = {
    "closed": Reset(),
    "garbage": Http(200, b"\xff\x00{"),
    "nested for ever": Http(200, b'{"x":' + DEEP),
    "a field nested for ever": Http(200, b'{"id":1,"x":' + DEEP),
    "a wrong type": Change(lambda _: ["0x1"]),
    "silent": Hang(),
}


@pytest.mark.parametrize("fault", WS_BROKEN.values(), ids=WS_BROKEN.keys())
@pytest.mark.usefixtures("impatient")
async def test_a_websocket_that_breaks_or_falls_silent_is_opened_anew(fault: Fault) -> None:
    timing = Timing(request_seconds=0.5, retry_total_seconds=60.0)
    async with fault_node(story(3)) as node, open_node([ws_address_of(node)], timing=timing) as ours:
        assert (await ours.head()).number == 3
        before = node.websockets
        # What breaks the connection breaks it for this question, and not for the next one.
        node.fault(fault, times=1)
        with pytest.raises(Unavailable):
            await ours.head()
        assert (await ours.head()).hash == node.chain.head.hash
        assert node.websockets == before + (0 if isinstance(fault, Change) else 1)
