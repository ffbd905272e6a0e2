"""`indexer status`: how far the database is, and how far the node."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from indexer import journal, parts
from indexer.contracts import load_watched
from indexer.core.address import checksum_address
from indexer.core.declaredindex import resolved
from indexer.core.errors import IndexerError
from indexer.core.model import BlockId, Header, Span
from indexer.core.plan import missing
from indexer.core.redaction import Redactor
from indexer.core.watched import WatchedContract
from indexer.leading import existing_database
from indexer.metrics import Metrics
from indexer.printed import Block, block
from indexer.settings import Settings
from indexer.store.audits import FinishedAudit
from indexer.store.halts import Halt
from indexer.store.reading import ReorgStatus, SourceStatus, StoredStatus, read_status


class SourceLine(msgspec.Struct, kw_only=True):
    """One source, as it is printed."""

    contract: str
    address: str
    #: None for transactions.
    event: str | None
    start_block: int
    covered: list[tuple[int, int]]
    #: Missing up to the cursor.
    gaps: list[tuple[int, int]]
    rows: int
    active: bool


class ReorgLine(msgspec.Struct, kw_only=True):
    """The last reorg, as it is printed."""

    happened_at: str
    depth: int
    fork: Block
    old_head: Block
    new_head: Block
    rows_removed: int
    rows_added: int


class AuditLine(msgspec.Struct, kw_only=True):
    """The last audit, as it is printed."""

    finished_at: str
    from_block: int
    to_block: int
    against: str
    sampled: bool
    #: ``clean``, ``different`` or ``cannot_tell``.
    verdict: str
    #: Rows, repaired ones included.
    differences: int
    unsure_blocks: int
    unrepaired_blocks: int


class HaltLine(msgspec.Struct, kw_only=True):
    """Why writing stopped, as it is printed."""

    halted_at: str
    #: ``below_finality`` or ``too_deep``.
    kind: str
    reason: str


class IndexLine(msgspec.Struct, kw_only=True):
    """One declared index, as it is printed."""

    table: str
    name: str
    #: None where it is not declared any more.
    columns: list[str] | None
    #: ``ready``, ``building``, ``invalid`` (a build was broken off) or ``waiting`` (for the table to be filled).
    state: str


class Report(msgspec.Struct, kw_only=True):
    """Everything that is printed."""

    chain_id: int | None
    head: Block | None
    indexed: Block | None
    finalized: Block | None
    lag_blocks: int | None
    delay_seconds: float | None
    node_error: str | None
    writer: str | None
    #: When the cursor last moved, and how long ago; None: it never did.
    last_progress_at: str | None
    last_progress_seconds: float | None
    halted: HaltLine | None
    updated_at: str
    rows: int
    gap_blocks: int
    undecoded: dict[str, int]
    reorgs: int
    last_reorg: ReorgLine | None
    #: Events that reorgs removed; `indexer.orphaned_event` keeps them.
    orphaned: int
    last_audit: AuditLine | None
    database_bytes: int
    sources: list[SourceLine]
    indexes: list[IndexLine]


async def show(settings: Settings, redact: Redactor, *, as_json: bool) -> int:
    """Print the status; the exit code is 0 whenever the database could be read.

    Raises:
        Unavailable: the database does not answer, or there is none yet.
    """
    journal.setup(redact, style=settings.journal.format, level="error", chain=settings.chain.label)
    watched = load_watched(settings)
    async with existing_database(settings, read_only=True) as store:
        stored = await read_status(store)
    head, node_error = await _head(settings, redact)
    report = report_of(stored, head, node_error, datetime.now(UTC), watched)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n" if as_json else text_of(report))
    return 0


async def _head(settings: Settings, redact: Redactor) -> tuple[Header | None, str | None]:
    """The node's head, or why there is none."""
    try:
        async with parts.node(parts.impatient(settings), Metrics(settings.chain.label), redact) as node:
            return await node.head(), None
    except IndexerError as error:
        return None, redact(str(error))


def report_of(
    stored: StoredStatus,
    head: Header | None,
    node_error: str | None,
    now: datetime,
    watched: Sequence[WatchedContract] = (),
) -> Report:
    """The stored and the node's numbers, put side by side."""
    cursor, finalized = stored.state.cursor, stored.state.finalized
    delay = None if stored.state.cursor_time is None else now.timestamp() - stored.state.cursor_time
    lines = [_source(source, cursor) for source in stored.sources]
    leader = stored.leader
    return Report(
        chain_id=stored.chain_id,
        head=block(head.id) if head else None,
        indexed=block(cursor) if cursor else None,
        finalized=block(finalized) if finalized else None,
        lag_blocks=max(0, head.number - cursor.number) if head and cursor else None,
        delay_seconds=None if delay is None else round(max(0.0, delay), 1),
        node_error=node_error,
        writer=f"pid {leader.pid} on {leader.host} since {leader.since:%Y-%m-%d %H:%M:%S}"
        if leader
        else None,
        last_progress_at=stored.updated_at.isoformat() if cursor else None,
        last_progress_seconds=round(max(0.0, (now - stored.updated_at).total_seconds()), 1)
        if cursor
        else None,
        halted=_halt(stored.halt),
        updated_at=stored.updated_at.isoformat(),
        rows=sum(source.rows for source in stored.sources),
        gap_blocks=sum(last - first + 1 for line in lines if line.active for first, last in line.gaps),
        undecoded=dict(stored.undecoded),
        reorgs=stored.reorgs,
        last_reorg=_reorg(stored.last_reorg),
        orphaned=stored.orphaned,
        last_audit=_audit(stored.audit),
        database_bytes=stored.size_bytes,
        sources=lines,
        indexes=_indexes(stored, watched),
    )


def _indexes(stored: StoredStatus, watched: Sequence[WatchedContract]) -> list[IndexLine]:
    """What is declared, and what is there though it is not."""
    there = {(each.schema, each.name): each for each in stored.indexes}
    lines: list[IndexLine] = []
    for contract in watched:
        known = {
            table.event.digest: replace(table, schema=place[0], name=place[1])
            for table in contract.tables
            if (place := stored.tables.get((contract.name, table.event.digest)))
        }
        for index in resolved(contract.indexes, known):
            held = there.pop((index.table.schema, index.name), None)
            lines.append(
                IndexLine(
                    table=f"{index.table.schema}.{index.table.name}",
                    name=index.name,
                    columns=list(index.columns),
                    state=held.state if held else "waiting",
                )
            )
    lines += [
        IndexLine(table=f"{each.schema}.{each.table}", name=each.name, columns=None, state=each.state)
        for each in there.values()
    ]
    return lines


def _source(source: SourceStatus, cursor: BlockId | None) -> SourceLine:
    gaps: list[Span] = []
    if cursor is not None and source.start_block <= cursor.number:
        gaps = missing(Span(source.start_block, cursor.number), source.covered)
    return SourceLine(
        contract=source.contract,
        address=checksum_address(source.address),
        event=source.signature,
        start_block=source.start_block,
        covered=_pairs(source.covered),
        gaps=_pairs(gaps),
        rows=source.rows,
        active=source.active,
    )


def _pairs(spans: Iterable[Span]) -> list[tuple[int, int]]:
    return [(span.first, span.last) for span in spans]


def _reorg(reorg: ReorgStatus | None) -> ReorgLine | None:
    if reorg is None:
        return None
    return ReorgLine(
        happened_at=reorg.happened_at.isoformat(),
        depth=reorg.depth,
        fork=block(reorg.fork),
        old_head=block(reorg.old_head),
        new_head=block(reorg.new_head),
        rows_removed=reorg.rows_removed,
        rows_added=reorg.rows_added,
    )


def _audit(audit: FinishedAudit | None) -> AuditLine | None:
    if audit is None:
        return None
    found = audit.result
    return AuditLine(
        finished_at=audit.finished_at.isoformat(),
        from_block=found.span.first,
        to_block=found.span.last,
        against=found.against,
        sampled=found.sampled,
        verdict=found.verdict,
        differences=found.differences,
        unsure_blocks=found.unsure_blocks,
        unrepaired_blocks=found.unrepaired_blocks,
    )


def _halt(halt: Halt | None) -> HaltLine | None:
    if halt is None:
        return None
    return HaltLine(halted_at=halt.halted_at.isoformat(), kind=halt.kind, reason=halt.reason)


def text_of(report: Report) -> str:
    """The report for people."""
    lines = [f"HALTED      since {report.halted.halted_at}: {report.halted.reason}"] if report.halted else []
    lines += [
        f"chain       {report.chain_id if report.chain_id is not None else 'not known yet'}",
        f"head        {_number(report.head) if report.head else 'unknown: ' + (report.node_error or '')}",
        f"indexed     {_number(report.indexed)}" + _lag(report),
        f"finalized   {_number(report.finalized)}",
        f"rows        {report.rows:,}",
        f"missing     {report.gap_blocks:,} blocks × sources",
        f"undecoded   {sum(report.undecoded.values()):,}"
        + "".join(f"  {reason}: {logs:,}" for reason, logs in report.undecoded.items()),
        f"reorgs      {report.reorgs:,}, {report.orphaned:,} events orphaned"
        + _last_reorg(report.last_reorg),
        f"audit       {_last_audit(report.last_audit)}",
        f"writer      {report.writer or 'none yet'}",
        f"progress    {_progress(report)}",
        f"database    {report.database_bytes / 1e6:,.1f} MB",
        "",
    ]
    width = max((len(_name(source)) for source in report.sources), default=0)
    lines += [
        f"{_name(source):{width}}  {source.rows:>10,} rows  covered {_ranges(source.covered)}"
        + (f"  missing {_ranges(source.gaps)}" if source.gaps and source.active else "")
        + ("" if source.active else "  (not configured any more)")
        for source in report.sources
    ]
    lines += ["", *map(_index, report.indexes)] if report.indexes else []
    return "\n".join(lines) + "\n"


def _index(index: IndexLine) -> str:
    columns = "not declared any more" if index.columns is None else ", ".join(index.columns)
    return f"index {index.table} ({columns}): {index.state}"


def _name(source: SourceLine) -> str:
    return f"{source.contract} {source.address[:8]}… {(source.event or 'transactions').partition('(')[0]}"


def _number(block: Block | None) -> str:
    return "none yet" if block is None else f"{block.number:,}"


def _lag(report: Report) -> str:
    if report.lag_blocks is None or report.delay_seconds is None:
        return ""
    return f"   {report.lag_blocks:,} blocks behind, {report.delay_seconds:,.0f} s old"


def _last_reorg(reorg: ReorgLine | None) -> str:
    if reorg is None:
        return ""
    return f"   last {reorg.happened_at}: depth {reorg.depth} above block {reorg.fork.number:,}"


def _progress(report: Report) -> str:
    if report.last_progress_seconds is None:
        return "none yet"
    return f"{report.last_progress_seconds:,.0f} s ago, at {report.last_progress_at}"


def _last_audit(audit: AuditLine | None) -> str:
    if audit is None:
        return "none yet"
    words = {"clean": "no difference", "different": f"{audit.differences:,} differences"}
    found = words.get(audit.verdict, "it could not be told")
    if audit.unsure_blocks:
        found += f", {audit.unsure_blocks:,} blocks could not be told"
    if audit.unrepaired_blocks:
        found += f", {audit.unrepaired_blocks:,} blocks not repaired"
    sampled = " (a sample)" if audit.sampled else ""
    blocks = f"blocks {audit.from_block:,}–{audit.to_block:,}{sampled} against {audit.against}"
    return f"{audit.finished_at}, {blocks}: {found}"


def _ranges(spans: list[tuple[int, int]]) -> str:
    if not spans:
        return "nothing"
    shown = ", ".join(f"{first:,}–{last:,}" for first, last in spans[:3])
    return shown if len(spans) <= 3 else f"{shown} and {len(spans) - 3} more"
