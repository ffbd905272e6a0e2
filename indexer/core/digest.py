"""Counts and hashes of rows by source and bucket of blocks: what they stand for, and where two sets differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from indexer.core.model import Span
from indexer.core.spans import without

#: Blocks of one bucket; the first one begins with block 0.
BUCKET_BLOCKS = 1_000
#: Hashes of rows are added up modulo this, so that their order does not matter.
HASH_MODULUS = 2**64


@dataclass(frozen=True, slots=True, order=True)
class SourceKey:
    """What makes a source the same in two databases."""

    contract: str
    address: bytes
    #: Empty for transactions.
    signature: str
    #: Digest of the event's ABI, with the names and what is indexed; empty for transactions.
    abi_digest: bytes = field(repr=False)

    @property
    def what(self) -> str:
        """The event's signature, or ``transactions``."""
        return self.signature or "transactions"


@dataclass(frozen=True, slots=True, order=True)
class BucketKey:
    """Some rows of one source in one bucket of blocks."""

    source: SourceKey
    #: ``event``, ``transactions`` or ``undecoded``.
    part: str
    bucket: int

    @property
    def first_block(self) -> int:
        return self.bucket * BUCKET_BLOCKS

    @property
    def last_block(self) -> int:
        return self.first_block + BUCKET_BLOCKS - 1


@dataclass(frozen=True, slots=True)
class RowsDigest:
    """How many rows there are, and the sum of their hashes modulo 2^64."""

    rows: int
    hash: int


NO_ROWS = RowsDigest(0, 0)
Coverage = Mapping[SourceKey, tuple[Span, ...]]
Digests = Mapping[BucketKey, RowsDigest]


@dataclass(frozen=True, slots=True)
class CoverageDifference:
    """Blocks of a source that only one of two databases has."""

    source: SourceKey
    only_ours: tuple[Span, ...]
    only_theirs: tuple[Span, ...]


def total(digests: Digests) -> RowsDigest:
    """All buckets as one."""
    return RowsDigest(
        sum(each.rows for each in digests.values()),
        sum(each.hash for each in digests.values()) % HASH_MODULUS,
    )


def different_rows(ours: Digests, theirs: Digests) -> list[tuple[BucketKey, RowsDigest, RowsDigest]]:
    """The buckets whose rows differ, with our digest and the other one, in order.

    Both are of the same blocks; a bucket without rows is in neither.
    """
    keys = sorted(ours.keys() | theirs.keys())
    pairs = [(key, ours.get(key, NO_ROWS), theirs.get(key, NO_ROWS)) for key in keys]
    return [pair for pair in pairs if pair[1] != pair[2]]


def different_coverage(ours: Coverage, theirs: Coverage) -> list[CoverageDifference]:
    """The sources of which one database has other blocks than the other, in order."""
    found = []
    for source in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(source, ()), theirs.get(source, ())
        if here != there:
            found.append(CoverageDifference(source, without(here, there), without(there, here)))
    return found
