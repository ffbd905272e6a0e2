"""The logs of a range together with the header of every block, each held against the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from indexer.core.bloomcheck import unexplained
from indexer.core.errors import Inconsistent
from indexer.core.logs import RangeLogs
from indexer.core.model import Header, Span
from indexer.core.source import LogFilter
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.observer import Disagreement
from indexer.rpc.ranges import read_untimed_logs, require_order_of_times


@dataclass(frozen=True, slots=True)
class HeadedRange:
    """The logs of a range, with the time of each block that has one, and what the headers say of them."""

    logs: RangeLogs
    #: All of the range, in order.
    headers: list[Header]
    endpoint: Endpoint
    #: The blocks whose bloom filter may hold logs that did not come.
    doubtful: list[Header]


async def read_headed_range(
    endpoint: Endpoint,
    span: Span,
    wanted: LogFilter,
    headers_of: Callable[[Sequence[int]], Awaitable[list[Header]]],
) -> HeadedRange:
    """The filter's logs in the span, after every header was linked and compared with them.

    Args:
        headers_of: reads headers, from any endpoint, and proves them where that is wanted.

    Raises: as `read_range_logs`, and
        Inconsistent: the headers do not link, or the logs are not of these blocks, or a bloom filter excludes
            one of them.
    """
    last, logs = await read_untimed_logs(endpoint, span, wanted)
    headers = await headers_of(range(span.first, span.last + 1))
    _require_links(endpoint, headers)
    if headers[-1].id != last.id:
        raise Inconsistent(f"{endpoint.name}: block {last.id} became {headers[-1].id} meanwhile")
    logs = logs.with_headers(headers)
    require_order_of_times(endpoint, logs, last)
    try:
        with endpoint.checking():
            doubtful = await asyncio.to_thread(unexplained, headers, logs, wanted)
    except Inconsistent:
        endpoint.tell_disagreement(Disagreement.BLOOM)
        raise
    return HeadedRange(logs, headers, endpoint, doubtful)


def _require_links(endpoint: Endpoint, headers: Sequence[Header]) -> None:
    for parent, header in pairwise(headers):
        if not header.follows(parent.id):
            raise Inconsistent(f"{endpoint.name}: block {header.id} is not a child of {parent.id}")
