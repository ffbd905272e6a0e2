"""`indexer digest`: counts and hashes of what is stored, to be compared with another database."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from indexer import journal, parts
from indexer.core.address import checksum_address
from indexer.core.digest import (
    BUCKET_BLOCKS,
    BucketKey,
    Coverage,
    CoverageDifference,
    RowsDigest,
    SourceKey,
    different_coverage,
    different_rows,
    total,
)
from indexer.core.errors import Inconsistent, Unavailable, UserMistake
from indexer.core.model import Span
from indexer.core.redaction import Redactor
from indexer.core.spans import overlap
from indexer.leading import existing_database, require_current
from indexer.settings import Settings
from indexer.store.catalog import read_chain
from indexer.store.database import Connection, Database
from indexer.store.digests import read_digests
from indexer.store.sources import StoredSource, read_final, read_sources

#: Exit codes of a comparison.
EQUAL, DIFFERENT, CANNOT_TELL = 0, 1, 2


class BucketLine(msgspec.Struct, kw_only=True):
    """One bucket of a source, as it is printed."""

    part: str
    first_block: int
    last_block: int
    rows: int
    hash: str


class SourceLine(msgspec.Struct, kw_only=True):
    """One source, as it is printed."""

    contract: str
    address: str
    #: The signature; None for transactions.
    event: str | None
    #: First and last block of each range looked at.
    covered: list[tuple[int, int]]
    rows: int
    hash: str
    buckets: list[BucketLine]


class Digest(msgspec.Struct, kw_only=True):
    """Everything that is printed of one database."""

    from_block: int
    to_block: int
    bucket_blocks: int
    rows: int
    #: Of everything together.
    hash: str
    sources: list[SourceLine]


class DifferenceLine(msgspec.Struct, kw_only=True):
    """One bucket whose rows differ though both databases cover the same blocks."""

    contract: str
    address: str
    event: str | None
    part: str
    first_block: int
    last_block: int
    rows_here: int
    rows_there: int
    hash_here: str
    hash_there: str


class CoverageLine(msgspec.Struct, kw_only=True):
    """Blocks of one source that only one database has: their rows were not compared."""

    contract: str
    address: str
    event: str | None
    only_here: list[tuple[int, int]]
    only_there: list[tuple[int, int]]


class ComparisonReport(msgspec.Struct, kw_only=True):
    """Everything that is printed of a comparison."""

    from_block: int
    to_block: int
    #: Rows of ours that were compared.
    rows: int
    equal: bool
    differences: list[DifferenceLine]
    coverage: list[CoverageLine]


@dataclass(frozen=True, slots=True)
class _Side:
    """One database in one snapshot."""

    connection: Connection
    sources: tuple[StoredSource, ...]
    #: The newest block known as final.
    final: int | None

    def covered(self, within: Span) -> dict[SourceKey, tuple[Span, ...]]:
        found = {source.key: overlap(source.covered, [within]) for source in self.sources}
        return {key: spans for key, spans in found.items() if spans}


async def show(
    settings: Settings,
    redact: Redactor,
    first: int,
    last: int | None,
    other: str | None,
    *,
    as_json: bool,
) -> int:
    """Print the digests of the blocks first..last (None: the newest final one), or how two databases differ.

    Args:
        other: URL of the database to compare with; None only prints.

    Raises:
        UserMistake: nothing is final yet, the span is empty, or the databases are of different chains.
        Unavailable: our database does not answer, and nothing is compared.
    """
    journal.setup(redact, style=settings.journal.format, level="error", chain=settings.chain.label)
    if other is None:
        async with existing_database(settings, read_only=True) as store, _side(store) as side:
            report = await _digest(side, _span(first, last, side.final))
        _write(report, _text_of(report), as_json=as_json)
        return EQUAL
    try:
        async with (
            existing_database(settings, read_only=True) as store,
            parts.database(settings, other, read_only=True) as far,
        ):
            await require_current(far)
            compared = await _compare(store, far, first, last)
    except (Unavailable, Inconsistent) as error:
        sys.stderr.write(f"indexer: it cannot be told: {redact(str(error))}\n")
        return CANNOT_TELL
    _write(compared, _text_of_comparison(compared), as_json=as_json)
    if compared.differences:
        return DIFFERENT
    return CANNOT_TELL if compared.coverage else EQUAL


@asynccontextmanager
async def _side(store: Database) -> AsyncIterator[_Side]:
    async with store.transaction(isolation="repeatable read read only", statement_seconds=0) as connection:
        yield _Side(connection, await read_sources(connection), await read_final(connection))


async def _digest(side: _Side, span: Span) -> Digest:
    covered = side.covered(span)
    found = await read_digests(side.connection, side.sources, covered)
    lines = []
    for key in sorted(covered):
        own = {bucket: digest for bucket, digest in found.items() if bucket.source == key}
        whole = total(own)
        lines.append(
            SourceLine(
                contract=key.contract,
                address=checksum_address(key.address),
                event=key.signature or None,
                covered=_pairs(covered[key]),
                rows=whole.rows,
                hash=_hex(whole),
                buckets=[_bucket(bucket, own[bucket]) for bucket in sorted(own)],
            )
        )
    whole = total(found)
    return Digest(
        from_block=span.first,
        to_block=span.last,
        bucket_blocks=BUCKET_BLOCKS,
        rows=whole.rows,
        hash=_hex(whole),
        sources=lines,
    )


async def _compare(store: Database, far: Database, first: int, last: int | None) -> ComparisonReport:
    chains = await read_chain(store), await read_chain(far)
    if chains[0] != chains[1]:
        here, there = ("nothing yet" if chain is None else f"chain {chain[0]}" for chain in chains)
        raise UserMistake(
            f"the databases are not of the same chain (id and genesis block): {store.name} holds {here}, "
            f"{far.name} {there}"
        )
    async with _side(store) as ours, _side(far) as theirs:
        span = _span(first, last, ours.final, theirs.final)
        near, distant = ours.covered(span), theirs.covered(span)
        common = {
            key: both for key in near.keys() & distant.keys() if (both := overlap(near[key], distant[key]))
        }
        found = await read_digests(ours.connection, ours.sources, common)
        other = await read_digests(theirs.connection, theirs.sources, common)
    return _report(span, common, found, other, different_coverage(near, distant))


def _report(
    span: Span,
    common: Coverage,
    found: dict[BucketKey, RowsDigest],
    other: dict[BucketKey, RowsDigest],
    coverage: Iterable[CoverageDifference],
) -> ComparisonReport:
    differences = [
        DifferenceLine(
            contract=key.source.contract,
            address=checksum_address(key.source.address),
            event=key.source.signature or None,
            part=key.part,
            first_block=key.first_block,
            last_block=key.last_block,
            rows_here=one.rows,
            rows_there=two.rows,
            hash_here=_hex(one),
            hash_there=_hex(two),
        )
        for key, one, two in different_rows(found, other)
    ]
    uncommon = [
        CoverageLine(
            contract=each.source.contract,
            address=checksum_address(each.source.address),
            event=each.source.signature or None,
            only_here=_pairs(each.only_ours),
            only_there=_pairs(each.only_theirs),
        )
        for each in coverage
    ]
    return ComparisonReport(
        from_block=span.first,
        to_block=span.last,
        rows=total(found).rows,
        equal=not differences and not uncommon and bool(common),
        differences=differences,
        coverage=uncommon,
    )


def _span(first: int, last: int | None, *final: int | None) -> Span:
    if last is None:
        known = [each for each in final if each is not None]
        if len(known) < len(final):
            raise UserMistake("a database has no final block yet; let `indexer run` follow the chain first")
        last = min(known)
    if first > last:
        raise UserMistake(f"--from-block {first} is above the last block to look at, {last}")
    return Span(first, last)


def _bucket(key: BucketKey, digest: RowsDigest) -> BucketLine:
    return BucketLine(
        part=key.part,
        first_block=key.first_block,
        last_block=key.last_block,
        rows=digest.rows,
        hash=_hex(digest),
    )


def _hex(digest: RowsDigest) -> str:
    return f"{digest.hash:016x}"


def _pairs(spans: Iterable[Span]) -> list[tuple[int, int]]:
    return [(span.first, span.last) for span in spans]


def _write(report: Digest | ComparisonReport, text: str, *, as_json: bool) -> None:
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n" if as_json else text)


def _text_of(report: Digest) -> str:
    lines = [
        f"blocks {report.from_block:,}..{report.to_block:,}: {report.rows:,} rows, hash {report.hash}",
        "",
    ]
    for source in report.sources:
        lines.append(f"{source.contract} {source.address} {source.event or 'transactions'}")
        lines += [
            f"  {each.part:12}  {each.first_block:>12,}..{each.last_block:<12,} {each.rows:>10,} rows  {each.hash}"
            for each in source.buckets
        ]
    return "\n".join(lines) + "\n"


def _text_of_comparison(report: ComparisonReport) -> str:
    lines = [
        f"{each.contract} {each.address} {each.event or 'transactions'}, {each.part}, "
        f"blocks {each.first_block:,}..{each.last_block:,}: "
        f"{each.rows_here:,} rows {each.hash_here} here, {each.rows_there:,} rows {each.hash_there} there"
        for each in report.differences
    ]
    lines += [
        f"{each.contract} {each.address} {each.event or 'transactions'}: not compared, only here "
        f"{_shown(each.only_here)}, only there {_shown(each.only_there)}"
        for each in report.coverage
    ]
    verdict = "equal" if report.equal else f"{len(report.differences)} buckets differ"
    lines.append(
        f"blocks {report.from_block:,}..{report.to_block:,}, {report.rows:,} rows compared: {verdict}"
    )
    if report.coverage:
        lines[-1] += f", {len(report.coverage)} sources do not have the same blocks"
    return "\n".join(lines) + "\n"


def _shown(spans: list[tuple[int, int]]) -> str:
    return ", ".join(f"{first:,}..{last:,}" for first, last in spans) or "nothing"
