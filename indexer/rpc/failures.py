"""The ways in which an endpoint fails to answer, each as an error that says what to do.

::

    Unavailable
     ├ Disconnected    no connection, or it broke           ┐
     ├ TimedOut        no answer in time                    │ the endpoint's health suffers
     ├ Garbled         not a JSON-RPC answer                │
     ├ Refused         an error status or code              ┘
     ├ TooLarge        the answer has more bytes than we read
     ├ RateLimited     the endpoint rests for a while
     ├ Behind          the endpoint does not have the block yet
     ├ Unsupported     the endpoint lacks the method
     ├ BatchRefused    the endpoint wants fewer calls at once
     └ Unrecognised    an error message that no rule knows
    TooMuch
     └ TooManyAddresses
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from indexer.core.errors import IndexerError, TooMuch, Unavailable
from indexer.core.verdicts import Refusal, Verdict, judge
from indexer.rpc.observer import Outcome

_SHOWN = 200  # characters of a node's message in ours


class Failure(Unavailable):
    """No answer from one endpoint."""

    outcome: ClassVar[Outcome] = Outcome.REFUSED


class Disconnected(Failure):
    """There was no connection, or it broke before the answer was complete."""

    outcome = Outcome.CONNECTION


class TimedOut(Failure):
    """The answer did not come in time."""

    outcome = Outcome.TIMEOUT


class Garbled(Failure):
    """What came is not the JSON-RPC answer to the request."""

    outcome = Outcome.INVALID


class TooLarge(Failure):
    """The answer has more bytes than we read."""

    outcome = Outcome.TOO_MUCH


class Refused(Failure):
    """The endpoint said no, in a way from which there is nothing to learn."""


class RateLimited(Failure):
    """The endpoint wants fewer requests in a time."""

    outcome = Outcome.RATE_LIMITED


class Behind(Failure):
    """The endpoint does not have the block yet."""

    outcome = Outcome.BEHIND


class Unsupported(Failure):
    """The endpoint does not have the method."""

    outcome = Outcome.UNSUPPORTED


class Unrecognised(Failure):
    """The endpoint gave an error that no rule knows."""

    outcome = Outcome.UNKNOWN


class BatchRefused(Failure):
    """The endpoint does not take so many calls in one request."""

    outcome = Outcome.TOO_MUCH

    def __init__(self, message: str, limit: int | None = None) -> None:
        super().__init__(message)
        #: How many it takes, if it said so.
        self.limit = limit


class TooManyAddresses(TooMuch):
    """The endpoint wants fewer addresses or topics in one filter."""

    def __init__(self, message: str, limit: int | None = None) -> None:
        super().__init__(message, addresses=True)
        #: How many it takes, if it said so.
        self.limit = limit


#: Failures that make an endpoint look ill.
UNHEALTHY = (Disconnected, TimedOut, Garbled, Refused)


def outcome_of(error: IndexerError) -> Outcome:
    """The label under which the end of a call is counted."""
    return error.outcome if isinstance(error, Failure) else Outcome.TOO_MUCH


def failure_of(
    refusal: Refusal, endpoint: str, method: str, *, narrowable: bool, redact: Callable[[str], str]
) -> Failure | TooMuch:
    """The error to raise for what an endpoint said.

    A verdict that cannot be followed, because the call asks for one thing only, becomes `Refused`.
    """
    judgement = judge(refusal)
    text = _told(refusal, endpoint, method, redact)
    verdict = judgement.verdict
    if verdict is Verdict.NARROW and narrowable:
        return TooMuch(text, blocks=judgement.limit, is_cap=judgement.is_cap, logs=judgement.logs)
    if verdict is Verdict.FEWER_ADDRESSES and narrowable:
        return TooManyAddresses(text, judgement.limit)
    if verdict is Verdict.FEWER_CALLS and refusal.batch:
        return BatchRefused(text, judgement.limit)
    if verdict is Verdict.BACK_OFF:
        return RateLimited(text, judgement.retry_after)
    kinds = {
        Verdict.WAIT_FOR_HEAD: Behind,
        Verdict.UNSUPPORTED: Unsupported,
        Verdict.UNKNOWN: Unrecognised,
    }
    return kinds.get(verdict, Refused)(text)


def _told(refusal: Refusal, endpoint: str, method: str, redact: Callable[[str], str]) -> str:
    numbers = []
    if refusal.status not in {None, 200}:
        numbers.append(f"HTTP {refusal.status}")
    if refusal.code is not None:
        numbers.append(f"code {refusal.code}")
    said = redact(refusal.message)[:_SHOWN]
    return f"{endpoint}, {method}: {', '.join([*numbers, said or 'no message'])}"
