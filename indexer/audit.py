"""`indexer audit`: is what is stored what the chain says, block by block, and if not, put it right."""

from __future__ import annotations

import secrets
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from typing import NoReturn

import msgspec
from tqdm import tqdm

from indexer import journal, parts
from indexer.auditreport import DifferenceLine, Report, SourceLine, UnsureLine, text_of
from indexer.contracts import load_watched
from indexer.core.address import checksum_address
from indexer.core.difference import Difference, sample
from indexer.core.errors import Inconsistent, IndexerError, Unavailable, UserMistake, WrongChain
from indexer.core.model import Span
from indexer.core.plan import Piece, merge_gaps
from indexer.core.redaction import Redactor
from indexer.core.spans import overlap, without
from indexer.leading import chosen_names, existing_database, require_current, take_lead
from indexer.rpc.node import Node
from indexer.rpc.observer import RpcObserver, SilentObserver
from indexer.rpc.opening import open_node
from indexer.settings import Settings
from indexer.store.audits import AuditResult, record_audit
from indexer.store.catalog import read_chain
from indexer.store.database import Database
from indexer.store.sources import StoredSource, read_final, read_sources
from indexer.store.writer import Writer
from indexer.sync.audit import Audit, Findings
from indexer.sync.together import beside
from indexer.sync.truth import TruthReader

log = journal.get(__name__)

#: Exit codes.
CLEAN, DIFFERENT, CANNOT_TELL = 0, 1, 2
#: Blocks of one sampled range; against receipts it is one block.
SAMPLED_BLOCKS = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be audited, as the arguments say."""

    first: int
    #: None: the newest final block.
    last: int | None
    #: None: all configured ones.
    contracts: frozenset[str] | None
    #: ``rpc``, ``receipts``, or the name of an endpoint.
    against: str
    sample: int | None
    seed: int | None
    repair: bool


async def audit(settings: Settings, redact: Redactor, wanted: Wanted, *, as_json: bool) -> int:
    """Compare the wanted blocks with the chain, print the report, and put right what differs if asked to.

    The exit code is 0 when nothing differs, 1 when something does or did, 2 when that could not be told.

    Raises:
        UserMistake: an unknown contract or endpoint, or blocks that are not final or not stored.
        WrongChain: the node serves another chain than the database holds.
        Unavailable: to repair, and another process writes.
    """
    journal.setup(redact, style=settings.journal.format, level="warning", chain=settings.chain.label)
    names = chosen_names(load_watched(settings), wanted.contracts)
    asked = _endpoints(settings, wanted.against)
    try:
        report = await _audited(settings, asked, redact, wanted, names, quiet=as_json)
    except (Unavailable, Inconsistent) as error:
        if wanted.repair and isinstance(error, _Busy):
            raise
        sys.stderr.write(f"indexer: it cannot be told: {redact(str(error))}\n")
        return CANNOT_TELL
    for line in report.unsure:
        line.reason = redact(line.reason)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n" if as_json else text_of(report))
    return {"clean": CLEAN, "different": DIFFERENT}.get(report.verdict, CANNOT_TELL)


class _Busy(Unavailable):
    """Another process writes."""


def _endpoints(settings: Settings, against: str) -> Settings:
    """The settings with the endpoint of that name alone, or with another than the preferred one first."""
    endpoints = settings.chain.rpc
    if against not in {"rpc", "receipts"}:
        chosen = tuple(each for each in endpoints if each.name == against)
        if not chosen:
            raise UserMistake(
                f"--against {against}: it is neither rpc nor receipts, and no endpoint has this name; "
                f"there are {', '.join(each.name for each in endpoints)}"
            )
    else:
        # What is stored came from the first one, mostly; it should not be its own witness.
        chosen = endpoints[1:] + endpoints[:1]
    return replace(settings, chain=replace(settings.chain, rpc=chosen))


async def _audited(
    settings: Settings,
    asked: Settings,
    redact: Redactor,
    wanted: Wanted,
    names: frozenset[str],
    *,
    quiet: bool,
) -> Report:
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        # Truth is loaded into temporary tables, which a connection for reading only may not make.
        store = await stack.enter_async_context(existing_database(settings, read_only=False))
        proofs = _Proofs()
        node = await stack.enter_async_context(_node(asked, proofs, redact))
        await _require_chain(store, node)
        writer, keep = None, []
        if wanted.repair:
            try:
                leadership = await take_lead(store, "repair")
            except Unavailable as error:
                raise _Busy(str(error)) from error
            await stack.enter_async_context(leadership)
            writer, keep = Writer(store, leadership.epoch, leadership.since), [leadership.keep()]
        plan = await _plan(store, wanted, names)
        with tqdm(
            total=plan.blocks,
            unit="block",
            unit_scale=True,
            desc="audit",
            disable=quiet or not sys.stderr.isatty(),
        ) as bar:
            work = Audit(
                TruthReader(node, receipts=wanted.against == "receipts"),
                store,
                writer,
                plan.everyone,
                against=wanted.against,
                workers=settings.backfill.parallel,
                max_range_blocks=settings.backfill.max_range_blocks,
                progress=lambda piece: _advance(bar, piece),
            )
            findings = await beside(work.run(plan.pieces), *keep)
        report = _report(wanted, plan, findings, proofs.counts, time.monotonic() - started)
        await _note(store, report, findings)
    return report


async def _note(store: Database, report: Report, findings: Findings) -> None:
    """Leave the result in the database, for the metrics of whoever indexes and for `indexer status`."""
    result = AuditResult(
        span=Span(report.from_block, report.to_block),
        against=report.against,
        sampled=report.seed is not None,
        verdict=report.verdict,
        compared=report.compared,
        rows=report.rows,
        differences=report.differences_total,
        unsure_blocks=sum(len(span) for span, _ in findings.unsure),
        repaired_blocks=report.repaired_blocks,
        unrepaired_blocks=report.unrepaired_blocks,
    )
    try:
        await record_audit(store, result)
    except IndexerError as error:
        # The report stands all the same.
        log.warning("the audit was not noted in the database", reason=str(error))


class _Proofs(SilentObserver):
    """Counts the verdicts on receipts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def proof(self, endpoint: str, verdict: str) -> None:  # noqa: ARG002 - the observer's signature
        self.counts[str(verdict)] += 1


def _node(settings: Settings, observer: RpcObserver, redact: Redactor) -> AbstractAsyncContextManager[Node]:
    return open_node(
        parts.addresses(settings),
        chain_id=settings.chain.id,
        timing=parts.timing(settings),
        observer=observer,
        redact=redact,
        prove=settings.chain.proof == "receipts",
        logs_bloom=settings.chain.logs_bloom,
    )


def _advance(bar: tqdm[NoReturn], piece: Piece) -> None:
    bar.update(len(piece.span) * len(piece.source_ids))


async def _require_chain(store: Database, node: Node) -> None:
    await require_current(store)
    held = await read_chain(store)
    found = (await node.chain_id(), await node.genesis_hash())
    if held is not None and held != found:
        raise WrongChain(
            f"the database holds chain {held[0]} with genesis 0x{held[1].hex()[:12]}…, the node is on chain "
            f"{found[0]} with genesis 0x{found[1].hex()[:12]}…"
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is going to be compared."""

    span: Span
    everyone: tuple[StoredSource, ...]
    pieces: list[Piece]
    #: Blocks times sources.
    blocks: int
    not_stored: int
    seed: int | None


async def _plan(store: Database, wanted: Wanted, names: frozenset[str]) -> _Plan:
    async with store.transaction(isolation="repeatable read read only") as connection:
        everyone, final = await read_sources(connection), await read_final(connection)
    span = _span(wanted, final)
    receipts = wanted.against == "receipts"
    chosen = [
        each
        for each in everyone
        if each.active and each.contract in names and (receipts or each.table is not None)
    ]
    covered = {each.id: overlap(each.covered, [span]) for each in chosen}
    pieces = merge_gaps(covered)
    if not pieces:
        raise UserMistake(f"none of the blocks {span} is stored for {', '.join(sorted(names))}")
    uncovered = [gap for spans in covered.values() for gap in without([span], spans)]
    seed = None
    if wanted.sample is not None:
        seed = wanted.seed if wanted.seed is not None else secrets.randbelow(2**32)
        pieces = sample(pieces, wanted.sample, 1 if receipts else SAMPLED_BLOCKS, seed)
    return _Plan(
        span=span,
        everyone=everyone,
        pieces=pieces,
        blocks=sum(len(piece.span) * len(piece.source_ids) for piece in pieces),
        not_stored=sum(map(len, uncovered)),
        seed=seed,
    )


def _span(wanted: Wanted, final: int | None) -> Span:
    if final is None:
        raise UserMistake("no block is final yet; let `indexer run` follow the chain first")
    last = final if wanted.last is None else wanted.last
    if last > final:
        raise UserMistake(f"--to-block {last} is not final yet: the newest final block we know is {final}")
    if wanted.first > last:
        raise UserMistake(f"--from-block {wanted.first} is above the last block to look at, {last}")
    return Span(wanted.first, last)


def _report(
    wanted: Wanted, plan: _Plan, findings: Findings, proofs: Mapping[str, int], seconds: float
) -> Report:
    total = findings.counts.total()
    verdict = "different" if total else "cannot_tell" if findings.unsure else "clean"
    return Report(
        from_block=plan.span.first,
        to_block=plan.span.last,
        against=wanted.against,
        seed=plan.seed,
        compared=findings.compared,
        not_stored=plan.not_stored,
        rows=findings.rows,
        proofs=dict(proofs),
        differences_total=total,
        sources=_by_source(plan.everyone, findings),
        differences=_lines(plan.everyone, findings.differences),
        unsure=[
            UnsureLine(first_block=span.first, last_block=span.last, reason=reason)
            for span, reason in findings.unsure
        ],
        repaired_blocks=findings.repaired,
        unrepaired_blocks=findings.unrepaired,
        rows_removed=findings.replaced.removed,
        rows_added=findings.replaced.added,
        seconds=round(seconds, 3),
        verdict=verdict,
    )


def _by_source(everyone: Iterable[StoredSource], findings: Findings) -> list[SourceLine]:
    names = {each.id: each for each in everyone}
    found: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
    for (source_id, part, kind), count in findings.counts.items():
        found[-1 if source_id is None else source_id, part][kind] = count
    return [
        SourceLine(
            **_named(names.get(source_id)),
            part=part,
            missing=counts.get("missing", 0),
            extra=counts.get("extra", 0),
            altered=counts.get("altered", 0),
        )
        for (source_id, part), counts in sorted(found.items())
    ]


def _lines(everyone: Iterable[StoredSource], differences: Sequence[Difference]) -> list[DifferenceLine]:
    names = {each.id: each for each in everyone}
    return [
        DifferenceLine(
            block=each.block,
            kind=each.kind,
            part=each.part,
            position=each.position,
            **_named(None if each.source_id is None else names[each.source_id]),
        )
        for each in sorted(differences, key=lambda each: (each.block, each.part, each.position, each.kind))
    ]


def _named(source: StoredSource | None) -> dict[str, str | None]:
    if source is None:
        return {"contract": None, "address": None, "event": None}
    return {
        "contract": source.contract,
        "address": checksum_address(source.address),
        "event": source.key.signature or None,
    }
