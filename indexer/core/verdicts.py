"""What a node's refusal asks us to do: ask for less, wait, or try elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum


class Verdict(StrEnum):
    """The answer to a refusal."""

    #: Ask for fewer blocks (or wait less long for them).
    NARROW = "narrow"
    #: Ask for fewer addresses or topics.
    FEWER_ADDRESSES = "fewer_addresses"
    #: Put fewer calls into a batch, or none.
    FEWER_CALLS = "fewer_calls"
    #: The endpoint does not have the block yet.
    WAIT_FOR_HEAD = "wait_for_head"
    #: Slow down; never a reason to ask for less.
    BACK_OFF = "back_off"
    #: The method does not exist there.
    UNSUPPORTED = "unsupported"
    #: Nothing to learn from it; another endpoint, or a later time, may do better.
    ELSEWHERE = "elsewhere"
    #: No rule knows it.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Everything an endpoint said when it did not answer."""

    #: The HTTP status; None over WebSocket.
    status: int | None
    #: The JSON-RPC error code; None when there was no JSON-RPC error.
    code: int | None
    message: str
    #: Seconds from the header Retry-After.
    retry_after: float | None = None
    #: Whether the refusal met a batch as a whole.
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the numbers that the refusal gave."""

    verdict: Verdict
    #: How many the endpoint takes, if it said so: blocks for NARROW, else addresses or calls.
    limit: int | None = None
    #: Seconds to wait, if it said so.
    retry_after: float | None = None
    #: Whether the limit holds for every range, whatever it holds; else it was about this one.
    is_cap: bool = False
    #: How many logs the endpoint gives in one answer, if it said so.
    logs: int | None = None


# Over quota or too fast. Looked for first: such a message may name limits of other things as well.
_BACK_OFF = re.compile(
    r"rate.?limit|request rate|too many requests|compute units|per second|requests? (?:count|limit|per)|"
    r"daily|quota|credits?\b|\brps\b|throttl|throughput|usage limit|capacity (?:limit|exceeded)|"
    r"try again (?:later|in)|retry (?:later|in)\b",
    re.IGNORECASE,
)
_BATCH = re.compile(r"\bbatch", re.IGNORECASE)
_ADDRESSES = re.compile(
    r"contains \d+ filters|(?:max|many|exceed|limit)\w*\b[^.]{0,20}\b(?:address|topic)|"
    r"(?:address|topic)\w*\b[^.]{0,20}\b(?:limit|exceed|many)",
    re.IGNORECASE,
)
_AHEAD = re.compile(
    r"beyond (?:the )?(?:current )?head|invalid block range|BlockOutOfRange|unknown block|header not found|"
    r"block not found|(?:after|above|beyond|past) (?:the )?(?:last|latest|current|chain)",
    re.IGNORECASE,
)
_NARROW = re.compile(
    r"(?:more than|over|exceeds?)\b.{0,20}\b\d+ (?:results|logs)|logs? (?:matched|response)|"
    r"results?\b.{0,30}\b(?:limit|exceed)|"
    r"(?:response|result)s?\b.{0,20}\b(?:size|too (?:big|large))|too many (?:blocks|logs|results|events)|"
    r"blocks? (?:range|distance)|blocks distance|range\b.{0,30}\b(?:too|limit|exceed|max|allow)|"
    r"limited to (?:an? )?[\d,.]+k? ?(?:blocks? )?range|"
    r"took too long|timed? ?out|deadline exceeded|query (?:returned|exceeds)",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"method\b.{0,60}\b(?:not (?:found|supported|available|allowed|exist|whitelisted|enabled)|does not exist|"
    r"unsupported|disabled)|unsupported method|unknown method|not implemented",
    re.IGNORECASE,
)

#: Codes for "method not found" and "method not supported". Source: JSON-RPC 2.0; EIP-1474.
_UNSUPPORTED_CODES = frozenset({-32601, -32004})

# No longer than makes sense: what a node says may be anything.
_NUMBER = r"(\d[\d,]{0,14}(?:\.\d{1,3})?)\s*([km])?\b"
_SUGGESTED = re.compile(r"\[\s*(0x[0-9a-f]{1,15})\s*,\s*(0x[0-9a-f]{1,15})\s*\]", re.IGNORECASE)
_SUGGESTED_PLAIN = re.compile(r"\brange (\d{1,15})-(\d{1,15})\b", re.IGNORECASE)
# In order of trust: the first that matches gives the number of blocks.
_BLOCKS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\(\s*\d[\d,]*\s*>\s*" + _NUMBER,
        r"(?:up to|limited to|at most|within) (?:an? )?" + _NUMBER + r"[ -]?(?:blocks?|range)",
        r"max(?:imum)?\b[^\d\[]{0,40}?(?:\[[^\]]*\][^\d]{0,20})?" + _NUMBER,
        r"(?:range|blocks)\b[^\d]{0,30}(?:exceeds?|limit(?:ed)?(?: to| of)?|greater than|over|more than)\s*"
        + _NUMBER,
    )
)
#: Such a message is about what the range holds, so its number of blocks suits this range alone.
_CONTENTS = re.compile(r"\b(?:results?|logs?|events|bytes|size|response)\b", re.IGNORECASE)
_LOGS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:more than|over|exceeds?|(?:limit|cap|max(?:imum)?)(?: of)?) "
        + _NUMBER
        + r" (?:results|logs|events)\b",
        r"\b(?:results|logs)\b[^\d\[]{0,40}\b(?:limit(?: of)?|max(?:imum)?|more than) " + _NUMBER,
        r"\bmax(?:imum)? (?:results|logs) " + _NUMBER,
    )
)
_RESULTS = re.compile(r"(?:results|logs|bytes|response)\b", re.IGNORECASE)
_LIMIT = re.compile(r"(?:limit|max(?:imum)?|up to|at most)\b[^\d]{0,30}?" + _NUMBER, re.IGNORECASE)
_WAIT = re.compile(
    r"(?:retry|try again) (?:in|after) (\d{1,6}(?:\.\d{1,3})?) ?(ms|s|m)(?:ecs?|econds?|ins?|inutes?)?\b",
    re.IGNORECASE,
)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_SCALE = {"": 1, "k": 1_000, "m": 1_000_000}

#: A limit above this is no limit: the number stood for something else.
_MOST_BLOCKS = 10**9


def judge(refusal: Refusal) -> Judgement:
    """What to do about a refusal; the text decides where the code means several things.

    -32005 in particular is both "too many results" and "too many requests".
    """
    message = refusal.message
    if 429 in {refusal.status, refusal.code} or _BACK_OFF.search(message):
        return Judgement(Verdict.BACK_OFF, retry_after=_wait(refusal))
    if _BATCH.search(message):
        return Judgement(Verdict.FEWER_CALLS, limit=_limit(message))
    if _ADDRESSES.search(message):
        return Judgement(Verdict.FEWER_ADDRESSES, limit=_limit(message))
    if refusal.code in _UNSUPPORTED_CODES or _UNSUPPORTED.search(message):
        return Judgement(Verdict.UNSUPPORTED)
    if _AHEAD.search(message):
        return Judgement(Verdict.WAIT_FOR_HEAD)
    if _NARROW.search(message):
        blocks = _blocks(message)
        is_cap = blocks is not None and not _CONTENTS.search(message)
        return Judgement(Verdict.NARROW, limit=blocks, is_cap=is_cap, logs=_logs(message))
    return _without_text(refusal)


def _without_text(refusal: Refusal) -> Judgement:
    """The verdict by numbers alone, for a message that says nothing."""
    status = refusal.status or 200
    if refusal.batch and status in {400, 405, 413, 422}:
        return Judgement(Verdict.FEWER_CALLS)
    if status in {408, 413, 504, 524}:
        return Judgement(Verdict.NARROW)
    if refusal.retry_after is not None:
        return Judgement(Verdict.BACK_OFF, retry_after=refusal.retry_after)
    if refusal.batch and refusal.code is not None:
        return Judgement(Verdict.FEWER_CALLS)
    if refusal.code is None:
        return Judgement(Verdict.ELSEWHERE)
    return Judgement(Verdict.ELSEWHERE if status in {401, 403} or status >= 500 else Verdict.UNKNOWN)


def _blocks(message: str) -> int | None:
    """How many blocks the message says would do."""
    for pattern, digits in ((_SUGGESTED, 16), (_SUGGESTED_PLAIN, 10)):
        if suggested := pattern.search(message):
            first, last = int(suggested[1], digits), int(suggested[2], digits)
            return last - first + 1 if first <= last else None
    for pattern in _BLOCKS:
        found = pattern.search(message)
        if found and not _RESULTS.match(message, _next_word(message, found.end())):
            blocks = _scaled(found[1], found[2])
            return blocks if 0 < blocks <= _MOST_BLOCKS else None
    return None


def _logs(message: str) -> int | None:
    """How many logs the message says an answer may have."""
    for pattern in _LOGS:
        found = pattern.search(message)
        if found:
            return _scaled(found[1], found[2]) or None
    return None


def _next_word(message: str, at: int) -> int:
    while at < len(message) and not message[at].isalpha():
        at += 1
    return at


def _limit(message: str) -> int | None:
    found = _LIMIT.search(message)
    return _scaled(found[1], found[2]) or None if found else None


def _scaled(number: str, unit: str | None) -> int:
    return int(float(number.replace(",", "")) * _SCALE[(unit or "").lower()])


def _wait(refusal: Refusal) -> float | None:
    """Seconds to wait: the header's word before the text's."""
    if refusal.retry_after is not None:
        return refusal.retry_after
    found = _WAIT.search(refusal.message)
    return float(found[1]) * _SECONDS[found[2].lower()] if found else None


def seconds_to_wait(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for, at the given Unix time; None when it says nothing usable.

    Source: RFC 9110, section 10.2.3: a number of seconds or a date.
    """
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(r"\d{1,9}(?:\.\d+)?", text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, when.timestamp() - now)
