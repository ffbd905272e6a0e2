"""`indexer reorgs`: what the chain took back, newest first, with what was removed and added."""

from __future__ import annotations

import sys

import msgspec

from indexer import journal
from indexer.core.address import checksum_address
from indexer.core.redaction import Redactor
from indexer.leading import existing_database
from indexer.printed import Block, block
from indexer.settings import Settings
from indexer.store.reorgs import Orphan, Reorg, read_reorgs


class OrphanLine(msgspec.Struct, kw_only=True):
    """A removed event, as it is printed."""

    contract: str
    address: str
    event: str
    signature: str
    block: Block
    log_index: int
    transaction_hash: str
    args: dict[str, object]


class ReorgLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One reorg, as it is printed."""

    id: int
    happened_at: str
    depth: int
    fork: Block
    old_head: Block
    new_head: Block
    rows_removed: int
    rows_added: int
    transactions_removed: int
    transactions_added: int
    undecoded_removed: int
    #: Left out where it was not asked for.
    events: list[OrphanLine] | None = None


class Report(msgspec.Struct, kw_only=True):
    """Everything that is printed."""

    reorgs: list[ReorgLine]


async def show(
    settings: Settings, redact: Redactor, limit: int | None, *, events: bool, as_json: bool
) -> int:
    """Print the newest so many reorgs (None: all), if wanted with the events they removed.

    Raises:
        Unavailable: the database does not answer, or there is none yet.
    """
    journal.setup(redact, style=settings.journal.format, level="error", chain=settings.chain.label)
    async with existing_database(settings, read_only=True) as store:
        found = await read_reorgs(store, limit, events=events)
    report = Report(reorgs=[_line(reorg, events=events) for reorg in found])
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n" if as_json else text_of(report))
    return 0


def _line(reorg: Reorg, *, events: bool) -> ReorgLine:
    return ReorgLine(
        id=reorg.id,
        happened_at=reorg.happened_at.isoformat(),
        depth=reorg.depth,
        fork=block(reorg.fork),
        old_head=block(reorg.old_head),
        new_head=block(reorg.new_head),
        rows_removed=reorg.rows_removed,
        rows_added=reorg.rows_added,
        transactions_removed=reorg.transactions_removed,
        transactions_added=reorg.transactions_added,
        undecoded_removed=reorg.undecoded_removed,
        events=[_orphan(each) for each in reorg.orphans] if events else None,
    )


def _orphan(orphan: Orphan) -> OrphanLine:
    return OrphanLine(
        contract=orphan.contract,
        address=checksum_address(orphan.address),
        event=orphan.event,
        signature=orphan.signature,
        block=block(orphan.block),
        log_index=orphan.log_index,
        transaction_hash="0x" + orphan.transaction_hash.hex(),
        args=dict(orphan.args),
    )


def text_of(report: Report) -> str:
    """The report for people."""
    if not report.reorgs:
        return "no reorgs\n"
    return "".join(_text(line) for line in report.reorgs)


def _text(line: ReorgLine) -> str:
    lines = [
        f"{line.happened_at}  depth {line.depth} above block {_shown(line.fork)}",
        f"  head        {_shown(line.old_head)} → {_shown(line.new_head)}",
        f"  removed     {line.rows_removed:,} events, {line.transactions_removed:,} transactions, "
        f"{line.undecoded_removed:,} undecoded logs",
        f"  added       {line.rows_added:,} events, {line.transactions_added:,} transactions",
    ]
    lines += [
        f"  - block {each.block.number:,} log {each.log_index} {each.contract} {each.address} {each.event} "
        f"{msgspec.json.encode(each.args).decode()}"
        for each in line.events or ()
    ]
    return "\n".join(lines) + "\n"


def _shown(block: Block) -> str:
    return f"{block.number:,} ({block.hash[:14]}…)"
