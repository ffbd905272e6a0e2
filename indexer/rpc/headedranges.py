"""The logs of a range together with the header of every block, each held against the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from indexer.core.bloomcheck import unexplained
from indexer.core.errors import Inconsistent
from indexer.core.logs import RangeLogs
from indexer.core.model import Header, Span
from indexer.core.source import LogFilter
from indexer.core.wire import WireHeader
from indexer.rpc.blocks import Checks
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import Behind
from indexer.rpc.headers import ask_headers, numbered
from indexer.rpc.observer import Disagreement
from indexer.rpc.proving import require_headers_proved
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


async def read_headed_range(endpoint: Endpoint, span: Span, wanted: LogFilter, checks: Checks) -> HeadedRange:
    """The filter's logs in the span, after every header was proved, linked, and compared with them.

    Raises: as `read_range_logs`, and
        Inconsistent: a header is not what its hash commits to, or the headers do not link, or the logs are not
            of these blocks, or a bloom filter excludes one of them.
    """
    last, logs = await read_untimed_logs(endpoint, span, wanted)
    numbers = range(span.first, span.last + 1)
    wires: list[WireHeader] = []
    for number, wire in zip(numbers, await ask_headers(endpoint, numbers), strict=True):
        if wire is None:
            raise Behind(f"{endpoint.name}: block {number} is not there yet")
        wires.append(wire)
    if checks.prove:
        await require_headers_proved(endpoint, wires)
    headers = await asyncio.to_thread(_linked, endpoint, numbers, wires)
    if headers[-1].id != last.id:
        raise Inconsistent(f"{endpoint.name}: block {last.id} became {headers[-1].id} meanwhile")
    logs = logs.with_headers(headers)
    require_order_of_times(endpoint, logs, last)
    try:
        doubtful = await asyncio.to_thread(unexplained, headers, logs, wanted)
    except Inconsistent:
        endpoint.tell_disagreement(Disagreement.BLOOM)
        raise
    return HeadedRange(logs, headers, endpoint, doubtful)


def _linked(endpoint: Endpoint, numbers: Sequence[int], wires: Sequence[WireHeader]) -> list[Header]:
    headers = [numbered(endpoint, wire, number) for number, wire in zip(numbers, wires, strict=True)]
    for parent, header in pairwise(headers):
        if not header.follows(parent.id):
            raise Inconsistent(f"{endpoint.name}: block {header.id} is not a child of {parent.id}")
    return headers
