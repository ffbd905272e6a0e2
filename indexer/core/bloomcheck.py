"""Blocks held against their own bloom filters: what logs are missing, and what logs cannot be there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from indexer.core.arrays import Flags
from indexer.core.bloom import BloomProbe, Pair, bits_of
from indexer.core.errors import Inconsistent
from indexer.core.logs import RangeLogs
from indexer.core.model import Header
from indexer.core.source import LogFilter
from indexer.core.wire import WireLog, octets


def unexplained(headers: Sequence[Header], logs: RangeLogs, wanted: LogFilter) -> list[Header]:
    """The blocks whose bloom filter allows a log that was asked for, while no log of that kind came.

    Of every other block no log that was asked for was left out entirely by kind: a kind that came once may
    still have come too seldom. The filters are believed.

    Args:
        headers: all blocks of the logs' span, in order.

    Raises:
        Inconsistent: a log came of a kind that its block's filter excludes.
    """
    probe = _probe(wanted.probed)
    blooms = [header.logs_bloom for header in headers]
    missing: Flags = probe.found(blooms)
    if logs.columns is not None:
        _require_allowed(blooms, logs)
        rows = logs.columns.numbers - logs.span.first
        for kind, (address, topic0, _) in enumerate(logs.columns.kinds):
            for column in _columns(probe, address, topic0):
                missing[rows[logs.columns.kind == kind], column] = False
    return [headers[row] for row in np.flatnonzero(missing.any(axis=1)).tolist()]


def require_in_bloom(header: Header, logs: Iterable[WireLog]) -> None:
    """Return when the block's bloom filter allows every one of its logs, by the address and all topics.

    Raises:
        Inconsistent: it excludes one.
    """
    bloom = int.from_bytes(header.logs_bloom, "big")
    for log in logs:
        where = f"block {header.id}, log {log.log_index}"
        items = [octets(log.address, f"{where}, address", 20)]
        items += [octets(topic, f"{where}, topic", 32) for topic in log.topics]
        bits = bits_of(items)
        if bloom & bits != bits:
            raise Inconsistent(f"{where}: the block's bloom filter has no such log. {_WAY_OUT}")


_WAY_OUT = "Where a chain does not keep the filter, chain.logs_bloom = false is the way out"


def _require_allowed(blooms: Sequence[bytes], logs: RangeLogs) -> None:
    """As `require_in_bloom`, by the address and the first topic."""
    columns = logs.columns
    assert columns is not None
    kinds = BloomProbe((address, topic0) for address, topic0, _ in columns.kinds)
    of_kind = np.array(
        [kinds.positions[address, topic0] for address, topic0, _ in columns.kinds], dtype=np.intp
    )
    allowed = kinds.found(blooms)[columns.numbers - logs.span.first, of_kind[columns.kind]]
    excluded = np.flatnonzero(~allowed)
    if len(excluded):
        at = int(excluded[0])
        raise Inconsistent(
            f"block {columns.numbers[at]}, log {columns.indexes[at]}: the block's bloom filter has no such log. "
            f"{_WAY_OUT}"
        )


def _columns(probe: BloomProbe, address: bytes, topic0: bytes | None) -> list[int]:
    """Where the pairs stand that a log of this address and first topic is of."""
    pairs: set[Pair] = {(address, topic0), (address, None)}
    return [column for pair in pairs if (column := probe.positions.get(pair)) is not None]


@lru_cache(maxsize=64)  # one for each set of sources that is asked for
def _probe(pairs: tuple[Pair, ...]) -> BloomProbe:
    return BloomProbe(pairs)
