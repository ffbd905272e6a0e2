"""The logs of a range of blocks from one endpoint, made sure of as far as one endpoint can."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from indexer.core.errors import Inconsistent, IndexerError, TooMuch
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import Header, Span
from indexer.core.source import LogFilter
from indexer.core.wire import WireHeader, WireLog
from indexer.rpc import calls
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import Refused, TimedOut, TooManyAddresses, Unrecognised
from indexer.rpc.headers import numbered
from indexer.rpc.health import FAILURES_TO_OPEN

#: More logs than this are checked in a thread, so that others are not held up.
_MANY_LOGS = 2_000
#: The smallest number of results at which providers are known to cut answers off.
_SMALLEST_CAP = 1_000


async def read_range_logs(
    endpoint: Endpoint,
    span: Span,
    wanted: LogFilter,
    headers: Callable[[Sequence[int]], Awaitable[list[Header]]],
) -> RangeLogs:
    """The filter's logs in canonical blocks of the span, with the time of each block that has one.

    Args:
        headers: reads the headers of blocks whose times did not come with the logs, from any endpoint.

    Raises:
        TooMuch: fewer blocks are wanted, or could tell us more.
        Behind: the endpoint does not have the whole span.
        Inconsistent: the answer contradicts itself or what was asked.
    """
    header, logs = await read_untimed_logs(endpoint, span, wanted)
    if untimed := logs.untimed:
        logs = logs.with_headers(await headers(untimed))
    require_order_of_times(endpoint, logs, header)
    return logs


async def read_untimed_logs(endpoint: Endpoint, span: Span, wanted: LogFilter) -> tuple[Header, RangeLogs]:
    """The span's last block, and the filter's logs without the times that the answer did not tell.

    Raises: as `read_range_logs`.
    """
    most = endpoint.most_blocks()
    if most is not None and len(span) > most:
        # What it said before it would only say again.
        raise TooMuch(
            f"blocks {span}: {endpoint.name} takes ranges of {most} at most", blocks=most, is_cap=True
        )
    try:
        header, found = await _ask(endpoint, span, wanted)
    except IndexerError as error:
        if isinstance(error, TooMuch):
            endpoint.refused_range(span, error)
        about_span = narrowed(error, endpoint, span)
        if about_span is None:
            raise
        raise about_span from error
    with endpoint.checking():
        if len(found) > _MANY_LOGS:
            logs = await asyncio.to_thread(check_range_logs, span, wanted, found)
        else:
            logs = check_range_logs(span, wanted, found)
        return header, logs.with_headers([header])


def require_order_of_times(endpoint: Endpoint, logs: RangeLogs, last: Header) -> None:
    """No block is older than one before it, none younger than the last one of the range.

    Source: Ethereum Yellow Paper, section 4.3.4: a timestamp is greater than the parent's; on some chains equal.
    """
    before = 0
    for number, time in (*sorted(logs.times.items()), (last.number, last.timestamp)):
        if time < before:
            raise Inconsistent(f"{endpoint.name}: block {number} is of {time}, one before it of {before}")
        before = time


def narrowed(error: IndexerError, endpoint: Endpoint, span: Span) -> IndexerError | None:
    """The error as one about the span; None when it has nothing to do with its length.

    What fewer blocks may cure is a TooMuch, unless there is only one. A time-out is taken for too large a
    question, until several in a row show that the endpoint is down.
    """
    single = len(span) == 1
    if isinstance(error, TooMuch):
        if single:
            return Refused(f"block {span.first} alone is too much: {error}")
        blocks = error.blocks if error.blocks is not None and 0 < error.blocks < len(span) else None
        is_cap = error.is_cap and blocks is not None
        return TooMuch(f"blocks {span}: {error}", blocks=blocks, is_cap=is_cap, logs=error.logs)
    slow = isinstance(error, TimedOut) and endpoint.health.failures < FAILURES_TO_OPEN
    if not single and (slow or isinstance(error, Unrecognised)):
        return TooMuch(f"blocks {span}: {error}")
    return None


async def _ask(endpoint: Endpoint, span: Span, wanted: LogFilter) -> tuple[Header, list[WireLog]]:
    """The last block's header, and the logs as they came.

    Where the endpoint wants fewer addresses the filter is split, and the limit remembered.
    """
    most = endpoint.filter_limit
    while True:
        parts = calls.split_filter(wanted, most)
        try:
            header, *answers = await _ask_parts(endpoint, span, parts)
        except TooMuch as error:
            most = fewer(error, parts) if error.addresses or len(span) == 1 else None
            if most is None:
                raise
            if isinstance(error, TooManyAddresses):
                endpoint.filter_limit = most
            continue
        for answer in answers:
            _require_complete(endpoint, span, len(answer))
        return header, answers[0] if len(answers) == 1 else [log for answer in answers for log in answer]


async def _ask_parts(
    endpoint: Endpoint, span: Span, parts: Sequence[LogFilter]
) -> tuple[Header, *tuple[list[WireLog], ...]]:
    # A node that fell behind answers a range beyond its head with fewer logs and no error. So its block at
    # the end of the range is asked for in the same request, and first: what it had then it has for the logs.
    # So is the chain: no hash that we know tells whether these blocks are of ours.
    chain, last, *answers = await endpoint.ask_all(
        [calls.chain_id(), calls.header_at(span.last), *(calls.logs_in(span, part) for part in parts)]
    )
    endpoint.require_chain(chain)
    wire: WireHeader | None = last
    return numbered(endpoint, wire, span.last), *answers


def fewer(error: TooMuch, parts: Sequence[LogFilter]) -> int | None:
    """How many addresses and topics to put into one filter now; None when there is only one of each."""
    largest = max((max(len(part.addresses), len(part.topic0s or ())) for part in parts), default=0)
    if largest <= 1:
        return None
    limit = error.limit if isinstance(error, TooManyAddresses) else None
    return limit if limit is not None and 0 < limit < largest else largest // 2


def _require_complete(endpoint: Endpoint, span: Span, count: int) -> None:
    """Refuse an answer whose number of logs looks like a limit rather than like a coincidence.

    Raises:
        TooMuch: it does, and smaller ranges can tell; a single block is counted and let pass.
    """
    if not is_round_cap(count):
        return
    if len(span) > 1:
        raise TooMuch(f"{endpoint.name}: exactly {count} logs in blocks {span}, probably cut off")
    endpoint.unexplained("eth_getLogs", None, f"exactly {count} logs in block {span.first}, kept")


def is_round_cap(count: int) -> bool:
    """Whether a number of results is one at which providers cut: 1, 2 or 5 and at least three zeros."""
    if count < _SMALLEST_CAP:
        return False
    digits = str(count)
    return digits[0] in "125" and set(digits[1:]) == {"0"}
