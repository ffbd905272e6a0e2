"""JSON-RPC 2.0 requests to bytes, and answers from bytes; what does not fit is refused whole.

Source: the JSON-RPC 2.0 specification.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder, Encoder

from indexer.core.verdicts import Refusal
from indexer.rpc.calls import Call
from indexer.rpc.failures import Garbled

#: What reading a body may end with: not JSON, of other types, or nested deeper than anybody means it.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: Where an answer is larger than this many bytes it is decoded in a thread, so that others are not held up.
BIG_BYTES = 256 * 1024


class _Request(Struct):
    jsonrpc: str
    id: int
    method: str
    params: tuple[object, ...]


class _Error(Struct):
    # Some servers leave one of them out, or write the code as text.
    code: int | str | None = None
    message: str | None = None


class _Answer(Struct):
    id: int | str | None = None
    result: Raw | UnsetType = UNSET
    error: _Error | str | None = None


_ENCODER = Encoder()
_ONE = Decoder(_Answer)
_EITHER = Decoder(list[_Answer] | _Answer)
#: Characters of an error's message that are looked at; a node may send millions.
_LONGEST_MESSAGE = 2_000
#: An error code as text; a longer one is none.
_CODE = re.compile("-?[0-9]{1,9}")


def encode(calls: Sequence[Call[Any]], first_id: int) -> list[bytes]:
    """The calls as JSON, one by one, with ids counting up from the first."""
    return [
        _ENCODER.encode(_Request("2.0", first_id + at, call.method, call.params))
        for at, call in enumerate(calls)
    ]


def joined(encoded: Sequence[bytes]) -> bytes:
    """The request's body: a lone call as it is, several as a batch."""
    return encoded[0] if len(encoded) == 1 else b"[" + b",".join(encoded) + b"]"


def decode(
    body: bytes | bytearray,
    calls: Sequence[Call[Any]],
    first_id: int,
    status: int | None,
    retry_after: float | None,
) -> list[Any | Refusal | Garbled]:
    """What was answered to each call, in their order: its result, a refusal, or that it cannot be read.

    Where a batch is refused as a whole, the refusal stands for each of its calls.

    Raises:
        Garbled: the answer is no JSON-RPC, or some call has no answer or two.
    """
    try:
        answered = _EITHER.decode(body)
    except UNREADABLE as error:
        # The decoder's words may repeat the body, which may repeat the request.
        raise Garbled("not JSON-RPC" if _is_syntax(error) else "a field of the wrong type") from None
    if not isinstance(answered, list):
        if len(calls) > 1:
            return [_whole(answered, status, retry_after)] * len(calls)
        answered = [answered]
    return _in_order(answered, calls, first_id, status, retry_after)


def told_refusals(
    body: bytes | bytearray, calls: Sequence[Call[Any]], first_id: int, status: int, retry_after: float | None
) -> list[Any]:
    """What an answer with an error status says of each call; some providers put JSON-RPC errors there."""
    if len(calls) > 1 and body.lstrip()[:1] == b"[":
        replies = decode(body, calls, first_id, status, retry_after)
        if all(isinstance(reply, Refusal) for reply in replies):
            return replies
    return [told_refusal(body, status, retry_after, batch=len(calls) > 1)] * len(calls)


def told_refusal(body: bytes | bytearray, status: int, retry_after: float | None, *, batch: bool) -> Refusal:
    """The refusal in the answer with an error status, as far as it can be read."""
    try:
        answer = _ONE.decode(body)
    except UNREADABLE:
        answer = _Answer()
    if answer.error is not None:
        return _refusal(answer.error, status, retry_after, batch=batch)
    # Plain text is worth reading ("rate limit exceeded"), a page of HTML is not.
    text = "" if body.lstrip()[:1] == b"<" else body[:500].decode("utf-8", "replace")
    return Refusal(status, None, text, retry_after, batch)


def _is_syntax(error: Exception) -> bool:
    return not isinstance(error, msgspec.ValidationError)


def _whole(answer: _Answer, status: int | None, retry_after: float | None) -> Refusal:
    if answer.error is None:
        raise Garbled("one answer to a batch")
    return _refusal(answer.error, status, retry_after, batch=True)


def _in_order(
    answered: Sequence[_Answer],
    calls: Sequence[Call[Any]],
    first_id: int,
    status: int | None,
    retry_after: float | None,
) -> list[Any | Refusal | Garbled]:
    by_id: dict[int | str | None, _Answer] = {answer.id: answer for answer in answered}
    if len(calls) == 1 and len(answered) == 1 and answered[0].id is None and answered[0].error is not None:
        # A request that could not even be read is refused without an id.
        by_id = {first_id: answered[0]}
    if len(by_id) != len(answered):
        raise Garbled("two answers with the same id")
    if by_id.keys() != set(range(first_id, first_id + len(calls))):
        raise Garbled(f"{len(answered)} answers whose ids are not those of the {len(calls)} calls")
    return [_result(by_id[first_id + at], call, status, retry_after) for at, call in enumerate(calls)]


def _result(
    answer: _Answer, call: Call[Any], status: int | None, retry_after: float | None
) -> Any | Refusal | Garbled:
    if answer.error is not None:
        return _refusal(answer.error, status, retry_after, batch=False)
    if isinstance(answer.result, UnsetType):
        return Garbled("an answer with neither a result nor an error")
    try:
        return call.decoder.decode(answer.result)
    except UNREADABLE:
        return Garbled(f"a result of {call.method} with a field of the wrong type")


def _refusal(error: _Error | str, status: int | None, retry_after: float | None, *, batch: bool) -> Refusal:
    if isinstance(error, str):
        return Refusal(status, None, error[:_LONGEST_MESSAGE], retry_after, batch)
    code = error.code
    if isinstance(code, str):
        code = int(code) if _CODE.fullmatch(code) else None
    # A code must be there: an error object without one is an error of unknown kind all the same.
    message = (error.message or "")[:_LONGEST_MESSAGE]
    return Refusal(status, code if code is not None else 0, message, retry_after, batch)
