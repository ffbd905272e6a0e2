"""What an audit found, as it is printed."""

from __future__ import annotations

import msgspec

#: Differences that the text shows; JSON has all that were kept.
SHOWN = 40


class DifferenceLine(msgspec.Struct, kw_only=True):
    """One row that is not as it should be, as it is printed."""

    block: int
    kind: str
    part: str
    #: Log index or transaction index.
    position: int
    #: None where no source is concerned: of the block itself, or a row with a foreign address.
    contract: str | None
    address: str | None
    event: str | None


class SourceLine(msgspec.Struct, kw_only=True):
    """How many differences of one source there are, as they are printed."""

    contract: str | None
    address: str | None
    event: str | None
    part: str
    missing: int
    extra: int
    altered: int


class UnsureLine(msgspec.Struct, kw_only=True):
    """Blocks of which it could not be told, as they are printed."""

    first_block: int
    last_block: int
    reason: str


class Report(msgspec.Struct, kw_only=True):
    """Everything that is printed."""

    from_block: int
    to_block: int
    against: str
    #: Of the sample; None where everything was compared.
    seed: int | None
    #: Blocks times sources: compared, and left out because they are not stored.
    compared: int
    not_stored: int
    rows: int
    #: How many times a block's receipts were proved by its hash, by the verdict; empty where none were read.
    proofs: dict[str, int]
    differences_total: int
    sources: list[SourceLine]
    #: The first ones.
    differences: list[DifferenceLine]
    unsure: list[UnsureLine]
    #: Blocks with differences: put right, and not.
    repaired_blocks: int
    unrepaired_blocks: int
    rows_removed: int
    rows_added: int
    seconds: float
    #: ``clean``, ``different`` or ``cannot_tell``.
    verdict: str


def text_of(report: Report) -> str:
    """The report for people."""
    lines = [
        f"{each.kind:8} block {each.block:,}, {each.part} {each.position}{_of(each)}"
        for each in report.differences[:SHOWN]
    ]
    if report.differences_total > SHOWN:
        lines.append(f"… {report.differences_total - SHOWN:,} more")
    lines += [
        f"{each.missing:,} missing, {each.extra:,} extra, {each.altered:,} altered: {each.part}{_of(each)}"
        for each in report.sources
    ]
    lines += [
        f"cannot tell: blocks {each.first_block:,}..{each.last_block:,}: {each.reason}"
        for each in report.unsure
    ]
    if report.repaired_blocks or report.unrepaired_blocks:
        lines.append(
            f"repaired: {report.repaired_blocks:,} blocks, {report.rows_removed:,} rows out, "
            f"{report.rows_added:,} in; not repaired: {report.unrepaired_blocks:,} blocks"
        )
    if report.proofs:
        told = ", ".join(f"{verdict} {count:,}" for verdict, count in sorted(report.proofs.items()))
        lines.append(f"receipts against the block's hash: {told}")
    if report.not_stored:
        lines.append(f"not compared: {report.not_stored:,} blocks × sources that are not stored")
    sampled = "" if report.seed is None else f", a sample of seed {report.seed}"
    lines.append(
        f"blocks {report.from_block:,}..{report.to_block:,} against {report.against}{sampled}: "
        f"{report.compared:,} blocks × sources and {report.rows:,} rows compared in {report.seconds:.1f} s, "
        + {"clean": "no difference", "different": f"{report.differences_total:,} differences"}.get(
            report.verdict, "it could not be told for all of them"
        )
    )
    return "\n".join(lines) + "\n"


def _of(line: DifferenceLine | SourceLine) -> str:
    if line.contract is None:
        return ""
    return f" of {line.contract} {line.address} {line.event or 'transactions'}"
