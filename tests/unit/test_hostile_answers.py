"""Answers that no node should give: each is a typed error or a right value, told in few words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from indexer.core.errors import Inconsistent, TooMuch
from indexer.core.redaction import Redactor
from indexer.core.verdicts import Refusal
from indexer.core.wire import quantity
from indexer.rpc import calls
from indexer.rpc.envelope import decode
from indexer.rpc.failures import Garbled, failure_of

KEY = "k3y5ecret0fTheProvider1234567890"
CALL = calls.chain_id()
ID = 5


def answer(text: str) -> list[Any]:
    """What one call gets of this body. Raises: Garbled, also where it stands for this call alone."""
    return answer_bytes(text.encode())


def answer_bytes(body: bytes) -> list[Any]:
    replies = decode(body, [CALL], ID, 200, None)
    for reply in replies:
        if isinstance(reply, Garbled):
            raise reply
    return replies


NOT_JSON_RPC = {
    "nothing": "",
    "a page": "<html></html>",
    "nested too deeply": '{"id":5,"result":' + "[" * 100_000 + "]" * 100_000 + "}",
    "nested too deeply beside it": '{"id":5,"result":"0x1","more":' + '{"a":' * 50_000 + "1" + "}" * 50_001,
    "not a number": '{"id":5,"result":NaN}',
    "infinity": '{"id":5,"result":-Infinity}',
    "half a surrogate pair": '{"id":5,"result":"\\ud800"}',
    "an octal number": '{"id":05,"result":"0x1"}',
    "a comment": '{"id":5,/**/"result":"0x1"}',
    "two values": '{"id":5,"result":"0x1"}{"id":5,"result":"0x2"}',
    "a number": "5",
    "null": "null",
}
WRONG = {
    "a number in place of a quantity": '{"id":5,"result":1}',
    "null": '{"id":5,"result":null}',
    "an object": '{"id":5,"result":{"result":"0x1"}}',
    "neither result nor error": '{"id":5}',
    "another id": '{"id":6,"result":"0x1"}',
    "an id as text": '{"id":"5","result":"0x1"}',
    "no id": '{"result":"0x1"}',
    "an id that is null": '{"id":null,"result":"0x1"}',
    "an id that is true": '{"id":true,"result":"0x1"}',
    "an id of thousands of digits": '{"id":' + "5" * 5_000 + ',"result":"0x1"}',
    "two answers": '[{"id":5,"result":"0x1"},{"id":5,"result":"0x2"}]',
    "one answer more": '[{"id":5,"result":"0x1"},{"id":9,"result":"0x2"}]',
    "no answers": "[]",
    "an error that is a number": '{"id":5,"error":1}',
    "an error that is a list": '{"id":5,"error":["no"]}',
    "a message that is an object": '{"id":5,"error":{"code":1,"message":{}}}',
}


@pytest.mark.parametrize("body", [*NOT_JSON_RPC.values(), *WRONG.values()], ids=[*NOT_JSON_RPC, *WRONG])
def test_what_is_no_answer_is_garbled(body: str) -> None:
    with pytest.raises(Garbled) as failure:
        answer(body)
    assert len(str(failure.value)) < 200


def test_bytes_that_are_no_text_are_garbled() -> None:
    with pytest.raises(Garbled):
        answer_bytes(b'{"id":5,"result":"\xff\xfe"}')


def test_of_a_batch_only_the_call_whose_result_cannot_be_read_is_garbled() -> None:
    body = b'[{"id":6,"result":7},{"id":5,"result":"0x1"},{"id":7}]'
    first, *others = decode(body, [CALL] * 3, ID, 200, None)
    assert first == "0x1"
    assert all(isinstance(reply, Garbled) for reply in others)


def test_fields_that_nobody_knows_change_nothing_and_the_last_of_two_keys_counts() -> None:
    assert answer('{"id":5,"result":"0x1","more":[1e999,{}],"jsonrpc":7}') == ["0x1"]
    assert answer('{"id":4,"id":5,"result":"0x2","result":"0x1"}') == ["0x1"]


@pytest.mark.parametrize(
    "error",
    [
        {},
        {"code": None},
        {"code": "x"},
        {"code": "9" * 5_000},
        {"code": -(10**18)},
        {"message": None},
        {"data": [1]},
        "no",
    ],
    ids=str,
)
def test_an_error_of_any_shape_is_a_refusal(error: object) -> None:
    (refusal,) = answer(json.dumps({"id": ID, "error": error}))
    assert isinstance(refusal, Refusal)


def test_an_error_with_more_data_about_it_is_judged_by_its_message() -> None:
    """Source: JSON-RPC 2.0, section 5.1: `data` may be any value."""
    for data in ({"from": "0x1", "limit": 10_000}, [1], "0x08c379a0", 7, None):
        error = {"code": -32005, "message": "query returned more than 10000 results", "data": data}
        (refusal,) = answer(json.dumps({"id": ID, "error": error}))
        failure = failure_of(refusal, "rpc-1", "eth_getLogs", narrowable=True, redact=Redactor())
        assert isinstance(failure, TooMuch)


def test_a_message_of_ten_megabytes_is_neither_judged_nor_shown_whole() -> None:
    message = f"https://node.example/v3/{KEY} " + "block range results limit " * 400_000
    (refusal,) = answer(json.dumps({"id": ID, "error": {"code": -32005, "message": message}}))
    assert len(refusal.message) <= 2_000
    redact = Redactor([f"https://node.example/v3/{KEY}"])
    failure = failure_of(refusal, "rpc-1", "eth_getLogs", narrowable=True, redact=redact)
    assert len(str(failure)) < 300
    assert KEY not in str(failure)


QUANTITIES = {
    "0x0": 0,
    "0x00": 0,
    "0x1": 1,
    "0xfF": 255,
    "0x" + "0" * 60 + "10": 16,
    "0x" + "f" * 64: 2**256 - 1,
}
NO_QUANTITIES = [
    *(
        "",
        "0x",
        "x1",
        "1",
        "-0x1",
        "0x-1",
        "0X1",
        " 0x1",
        "0x1 ",
        "0x1\n",
        "0x1_0",
        "0x1.0",
        "0xg",
        "latest",
        "0x\u0661",
    ),
    *("0x" + "f" * 65, "0x" + "0" * 67 + "1", "0x" + "1" * 1_000_000),
]


@pytest.mark.parametrize("text", QUANTITIES)
def test_a_quantity_in_any_spelling_has_its_value(text: str) -> None:
    assert quantity(text, "it") == QUANTITIES[text]


@pytest.mark.parametrize("text", NO_QUANTITIES, ids=[each[:12] for each in NO_QUANTITIES])
def test_what_is_no_quantity_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(Inconsistent) as refusal:
        quantity(text, "it")
    assert len(str(refusal.value)) < 200
