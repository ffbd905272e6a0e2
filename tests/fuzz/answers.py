"""Fuzzes what a node answers: it becomes a right value or a typed error, whatever it is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Raw
from msgspec.json import decode as decode_json
from msgspec.json import encode

from indexer.core.batch import Decoder
from indexer.core.block import check_block
from indexer.core.bloomcheck import unexplained
from indexer.core.errors import IndexerError
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import BlockId, Span
from indexer.core.proof import prove_block, prove_header
from indexer.core.redaction import Redactor
from indexer.core.source import LogFilter, filter_of
from indexer.core.verdicts import Refusal
from indexer.core.wire import WireLog, header_of, octets, quantity
from indexer.rpc import calls
from indexer.rpc.calls import Call
from indexer.rpc.envelope import decode, told_refusal
from indexer.rpc.failures import Garbled, failure_of
from tests.fixtures.fakechain import FakeChain, FakeTransaction
from tests.fixtures.fakelogs import LEDGER_ADDRESSES, TRANSFER_OF_TOKENS, emit
from tests.fixtures.fakenode import FakeNode
from tests.fixtures.wirelogs import event, sources_of
from tests.fuzz.choices import Choices

NAME = "answers"

Json = Any

KEY = "k3y5ecret0fTheProvider1234567890"
URL = f"https://node.example/v3/{KEY}"
#: Characters of a message; it is made of a few numbers, and of a bounded part of what the node said.
LONGEST_MESSAGE = 1_200
FIRST_ID = 7

#: What no field should hold. Texts with a mark become JSON that Python's writer would not write.
MARK = "\u2603"
HOSTILE: tuple[Json, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        1.0,
        2**63,
        f"{MARK}{2**64}",
        f"{MARK}{-(2**70)}",
        f"{MARK}1e400",
        "",
        " ",
        "0x",
        "0x0",
        "0x00",
        "0X1",
    ),
    *("0x-1", "-0x1", "0x1 ", " 0x1", "0x" + "0" * 65 + "1", "0x" + "f" * 66, "0x" + "f" * 64, "0x1_0"),
    *("0xg", "0x\u0661", "1", "latest", "0x7fffffffffffffff", "0x8000000000000000", "0xffffffffffffffff"),
    *(
        "0x80000000",
        "0x7fffffff",
        "0xABCDEF",
        "\0",
        "\n0x1",
        "a" * 5_000,
        "null",
        "true",
        [],
        {},
        [[]],
        [None],
    ),
    *(
        [0] * 50,
        {"": {}},
        {"code": -32005, "message": URL},
        [{"id": 1}] * 3,
        "0x" + "ab" * 32,
        "0x" + "00" * 20,
    ),
    *(f"{MARK}NaN", f"{MARK}-Infinity", f'{MARK}"\\ud800"', f"{MARK}01", f"{MARK}1e999999999", f"{MARK}'x'"),
    *(
        f"{MARK}" + "9" * 6_000,
        f"{MARK}" + "[" * 3_000 + "]" * 3_000,
        f"{MARK}" + '{"a":' * 3_000 + "1" + "}" * 3_000,
    ),
    *(f"{MARK}", f'{MARK}"\\u0000"', f'{MARK}"\\x"', f"{MARK}-0", f"{MARK}/**/1", f"{MARK}1,1"),
)
MESSAGES = (
    *("", "limit exceeded", "rate limited: " + URL, f"try again in {'9' * 400} seconds", "x" * 300_000),
    *(
        f"query returned more than {'1' * 500} results",
        "max is [0x1, 0x" + "f" * 300 + "]",
        "batch limit 1e9",
    ),
    *(
        "blocks range is limited to 0",
        "up to 99999999999999999999 blocks",
        "limited to 1,,,,,k range",
        "\0\x1b[2J",
    ),
    *("daily" * 3_000, "block " * 20_000, "range " * 20_000, "results " * 20_000, "method " * 20_000),
)
NEW_KEYS = (
    "id",
    "result",
    "error",
    "number",
    "hash",
    "removed",
    "topics",
    "logs",
    "blockTimestamp",
    "",
    "code",
)


class Target:
    """Reads the answer to one of a few questions."""

    def __init__(self) -> None:
        chain = FakeChain()
        for number in range(3):
            logs = tuple(
                emit(LEDGER_ADDRESSES[at % 2], TRANSFER_OF_TOKENS, bytes(19) + b"\1", bytes(19) + b"\2", at)
                for at in range(2 + number)
            )
            chain.mine(
                [
                    FakeTransaction(number * 2, bytes(20), LEDGER_ADDRESSES[0], logs[:1]),
                    FakeTransaction(number * 2 + 1, bytes(20), LEDGER_ADDRESSES[1], logs[1:], success=True),
                ]
            )
        node = FakeNode(chain)
        transfer = event("Transfer", "address indexed from", "address indexed to", "uint256 value")
        self._sources = [
            source
            for place, address in enumerate(LEDGER_ADDRESSES)
            for source in sources_of("Ledger", address, transfer, first_id=place + 1)
        ]
        self._decoder = Decoder(self._sources)
        self._filter = filter_of(self._sources)
        self._redact = Redactor([URL])
        self._block = BlockId(chain.head.number, chain.head.hash)
        self._span = Span(0, 3)
        block_hash = chain.head.hash
        questions: list[tuple[list[Call[Any]], Callable[[list[Any]], str]]] = [
            ([calls.chain_id(), calls.header_at(3), calls.logs_in(self._span, self._filter)], self._range),
            ([calls.logs_in(self._span, self._filter)], self._logs),
            (
                [
                    calls.block_of_hash(block_hash),
                    calls.logs_of(block_hash, self._filter),
                    calls.receipts_of(block_hash),
                ],
                self._whole_block,
            ),
            ([calls.header_at(number) for number in range(4)], self._headers),
            ([calls.chain_id()], self._chain),
        ]
        #: Each with the honest answer to it.
        self._questions = [
            (asked, check, encode([_honest(node, FIRST_ID + at, call) for at, call in enumerate(asked)]))
            for asked, check in questions
        ]
        self._true_logs = _contents(true_logs(node, block_hash, self._filter))

    def __call__(self, octets_: bytes) -> str:
        choices = Choices(octets_)
        asked, check, honest = choices.pick(self._questions)
        body = self._body(honest, choices)
        try:
            if choices.below(16) == 15:
                return self._refused(
                    [told_refusal(body, choices.pick((200, 429, 500, 413)), None, batch=True)]
                )
            results = decode(body, asked, FIRST_ID, choices.pick((200, 200, 429, 503, None)), None)
            unreadable = [each for each in results if isinstance(each, Garbled)]
            if unreadable:
                raise unreadable[0]
            refusals = [each for each in results if isinstance(each, Refusal)]
            return self._refused(refusals) if refusals else check(results)
        except IndexerError as error:
            return self._told(error)

    def _told(self, error: IndexerError) -> str:
        message = str(error)
        assert len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} characters: {message[:300]}"
        assert KEY not in message, "the message holds the node's key"
        return (
            f"{type(error).__name__}: {''.join(each for each in message[:60] if not each.isdigit())[:24]!r}"
        )

    def _refused(self, refusals: Sequence[Refusal]) -> str:
        for refusal in refusals:
            failure = failure_of(refusal, "rpc-1", "eth_getLogs", narrowable=True, redact=self._redact)
            told = self._told(failure)
        return told

    def _body(self, honest: bytes, choices: Choices) -> bytes:
        """The honest answer with some things changed: values first, then bytes of the text."""
        answers: Json = decode_json(honest)
        if len(answers) == 1 and choices.below(8) != 7:
            answers = answers[0]
        for _ in range(choices.below(4)):
            answers = _changed(answers, choices)
        if choices.below(8) == 7:
            error = {
                "code": choices.pick((-32005, "-32005", "9" * 50, None, f"{MARK}{2**80}", 1.5)),
                "message": choices.pick(MESSAGES),
            }
            answers = _with_error(
                answers, error | choices.pick(({}, {"data": [1]}, {"data": {"a": 1}})), choices
            )
        text = _written(answers)
        for _ in range(choices.pick((0, 0, 0, 0, 1, 2, 4))):
            at, piece = choices.number(2) % (len(text) + 1), choices.octets(choices.below(6))
            text = text[:at] + piece + text[at + choices.below(6) :]
        return text

    def _chain(self, results: list[Any]) -> str:
        number = quantity(results[0], "chain id")
        assert number == int(results[0], 16)
        return "a chain id"

    def _headers(self, results: list[Any]) -> str:
        headers = [header_of(wire) for wire in results if wire is not None]
        proofs = {str(prove_header(wire).verdict) for wire in results if wire is not None}
        for header, wire in zip(headers, (each for each in results if each), strict=True):
            assert header.number == int(wire.number, 16)
            assert header.hash == bytes.fromhex(wire.hash[2:])
            assert header.timestamp == int(wire.timestamp, 16)
        return f"headers {sorted(proofs)}"

    def _logs(self, results: list[Any]) -> str:
        return f"{self._checked(results[0])} logs"

    def _range(self, results: list[Any]) -> str:
        quantity(results[0], "chain id")
        wire = results[1]
        if wire is None:
            return "no last block"
        logs = check_range_logs(self._span, self._filter, results[2]).with_headers([header_of(wire)])
        return f"a range with {self._checked(results[2])} logs, {len(logs.times)} times"

    def _whole_block(self, results: list[Any]) -> str:
        wire, logs, receipts = results
        if wire is None or receipts is None:
            return "no block"
        block = check_block(self._block, wire, logs, receipts, self._filter, frozenset(LEDGER_ADDRESSES))
        assert block.header.id == self._block
        proof = prove_block(wire, receipts, transactions=len(wire.transactions))
        if block.header.logs_bloom.strip(b"\0"):
            unexplained([block.header], block.logs, self._filter)
        self._decoder.encode(block.logs)
        if proof.proved:
            # The hash was asked for: whatever is proved by it is what the chain has.
            assert _contents(block.logs.logs) == self._true_logs, "wrong logs were proved"
        return f"a block {proof.verdict}"

    def _checked(self, wires: list[WireLog]) -> int:
        """How many logs there are, after making sure that the checks let only right ones through."""
        logs = check_range_logs(self._span, self._filter, wires)
        _assert_right(logs, self._span, self._filter)
        if not logs.untimed:
            encoded = self._decoder.encode(logs)
            assert encoded.rows + len(encoded.undecoded) == len(wires)
        return len(wires)


def true_logs(node: FakeNode, block_hash: bytes, wanted: LogFilter) -> list[WireLog]:
    """What an honest node answers for a block's logs."""
    call = calls.logs_of(block_hash, wanted)
    return list(call.decoder.decode(Raw(encode(_honest(node, 1, call)["result"]))))


def _honest(node: FakeNode, number: int, call: Call[Any]) -> Json:
    return node.answer({"jsonrpc": "2.0", "id": number, "method": call.method, "params": list(call.params)})


def _contents(logs: Sequence[WireLog]) -> list[tuple[object, ...]]:
    return [
        (
            quantity(each.log_index, "index"),
            octets(each.address, "address"),
            [octets(topic, "topic") for topic in each.topics],
            octets(each.data, "data"),
            octets(each.transaction_hash, "transaction"),
        )
        for each in logs
    ]


def _assert_right(logs: RangeLogs, span: Span, wanted: LogFilter) -> None:
    """The columns are what the texts say, read in the plainest way."""
    places = []
    for at, log in enumerate(logs.logs):
        assert logs.columns is not None
        number, index = int(log.block_number, 16), int(log.log_index, 16)
        places.append((number, index))
        assert span.first <= number <= span.last
        topics = [bytes.fromhex(each[2:]) for each in log.topics]
        assert wanted.admits(bytes.fromhex(log.address[2:]), topics[0] if topics else None)
        assert list(logs.columns.topics_of(at)) == topics
        assert logs.columns.data_of(at) == bytes.fromhex(log.data[2:])
        assert logs.blocks[number] == bytes.fromhex(log.block_hash[2:])
        assert logs.columns.transaction_hashes[at].tobytes() == bytes.fromhex(log.transaction_hash[2:])
        assert not log.removed
    assert places == sorted(set(places))


def _changed(value: Json, choices: Choices, depth: int = 0) -> Json:
    """The value with one thing in it changed, somewhere."""
    if depth < 7 and isinstance(value, dict) and value and choices.below(12):
        key = choices.pick(sorted(value))
        match choices.below(12):
            case 0:
                del value[key]
            case 1:
                value[choices.pick(NEW_KEYS)] = copy.deepcopy(value[key])
            case 2:
                value[choices.pick(NEW_KEYS)] = copy.deepcopy(choices.pick(HOSTILE))
            case _:
                value[key] = _changed(value[key], choices, depth + 1)
        return value
    if depth < 7 and isinstance(value, list) and value and choices.below(12):
        at = choices.below(len(value))
        match choices.below(10):
            case 0:
                del value[at]
            case 1:
                value.insert(choices.below(len(value) + 1), copy.deepcopy(value[at]))
            case 2:
                value[at], value[0] = value[0], value[at]
            case _:
                value[at] = _changed(value[at], choices, depth + 1)
        return value
    if isinstance(value, str) and choices.below(3):
        at, piece = choices.below(len(value) + 1), choices.octets(choices.below(4)).decode("latin-1")
        return choices.pick(
            (value[:at] + piece + value[at + len(piece) :], value.upper(), value[:at], value + piece)
        )
    return copy.deepcopy(choices.pick(HOSTILE))


def _with_error(answers: Json, error: Json, choices: Choices) -> Json:
    """An error in the place of an answer, or of all of them."""
    if isinstance(answers, list) and answers and choices.below(2):
        answers[choices.below(len(answers))] = {"jsonrpc": "2.0", "id": FIRST_ID, "error": error}
        return answers
    return {"jsonrpc": "2.0", "id": choices.pick((None, FIRST_ID, "7", -1)), "error": error}


def _written(value: Json) -> bytes:
    """JSON, with the marked texts put in as they are."""
    written, *parts = encode(value).split(f'"{MARK}'.encode())
    for part in parts:
        # Up to the quote that ends the text, which may hold escaped quotes itself.
        at = 0
        while part[at : at + 1] != b'"':
            at += 2 if part[at : at + 1] == b"\\" else 1
        written += decode_json(b'"' + part[: at + 1]).encode("utf-8", "surrogatepass") + part[at + 1 :]
    return written
