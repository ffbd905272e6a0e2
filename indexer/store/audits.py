"""The journal of audits: what each one that came to its end has found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from indexer.core.model import Span
from indexer.store.database import Database

RECORD = """
    insert into indexer.audit (
        first_block, last_block, against, sampled, verdict, compared, rows, differences,
        unsure_blocks, repaired_blocks, unrepaired_blocks
    ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
READ_LAST = "select * from indexer.audit order by id desc limit 1"


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What an audit has found."""

    span: Span
    #: ``rpc``, ``receipts``, or the name of an endpoint.
    against: str
    #: Whether only random parts of the span were compared.
    sampled: bool
    #: ``clean``, ``different`` or ``cannot_tell``.
    verdict: str
    #: Blocks times sources.
    compared: int
    rows: int
    #: Rows that were missing, extra or altered, repaired ones included.
    differences: int
    #: Blocks of which it could not be told.
    unsure_blocks: int
    repaired_blocks: int
    unrepaired_blocks: int


@dataclass(frozen=True, slots=True)
class FinishedAudit:
    """An audit's result and when it was there."""

    finished_at: datetime
    result: AuditResult


async def record_audit(database: Database, result: AuditResult) -> None:
    """Add the result to the journal; it needs no leadership, because it changes no rows of the chain.

    Raises:
        Unavailable, UserMistake: the database takes nothing; nothing was recorded.
    """
    async with database.connection() as connection:
        await connection.execute(
            RECORD,
            result.span.first,
            result.span.last,
            result.against,
            result.sampled,
            result.verdict,
            result.compared,
            result.rows,
            result.differences,
            result.unsure_blocks,
            result.repaired_blocks,
            result.unrepaired_blocks,
        )


async def last_audit(database: Database) -> FinishedAudit | None:
    """The newest entry of the journal; None when there never was an audit."""
    async with database.connection() as connection:
        row = await connection.fetchrow(READ_LAST)
    return audit_of(row)


def audit_of(row: asyncpg.Record | None) -> FinishedAudit | None:
    """The entry of a row of the journal."""
    if row is None:
        return None
    return FinishedAudit(
        row["finished_at"],
        AuditResult(
            span=Span(row["first_block"], row["last_block"]),
            against=row["against"],
            sampled=row["sampled"],
            verdict=row["verdict"],
            compared=row["compared"],
            rows=row["rows"],
            differences=row["differences"],
            unsure_blocks=row["unsure_blocks"],
            repaired_blocks=row["repaired_blocks"],
            unrepaired_blocks=row["unrepaired_blocks"],
        ),
    )
