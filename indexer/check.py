"""`indexer check`: everything that would keep the indexer from working, each with its remedy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import msgspec

from indexer import journal, parts, sentrycheck
from indexer.contracts import load_watched
from indexer.core.errors import IndexerError
from indexer.core.finding import Finding
from indexer.core.redaction import Redactor
from indexer.core.source import LogFilter, Source, filter_of
from indexer.core.watched import WatchedContract
from indexer.rpc.probe import probe
from indexer.rpc.proofprobe import Configured
from indexer.settings import Settings
from indexer.store.rights import check_database

_SIGNS = {True: "ok  ", False: "FAIL", None: "note"}


async def show(settings: Settings, redact: Redactor, *, as_json: bool, try_sentry: bool = False) -> int:
    """Print every finding; the exit code is 1 when something must be mended.

    Args:
        try_sentry: also send a test error to Sentry.

    Raises: UserMistake when the configuration cannot be used at all.
    """
    journal.setup(redact, style=settings.journal.format, level="error", chain=settings.chain.label)
    watched = load_watched(settings)
    findings = [_configuration(watched)]
    for address in parts.addresses(settings):
        findings += await probe(
            address,
            chain_id=settings.chain.id,
            wanted=_filter(watched),
            timing=parts.timing(parts.impatient(settings)),
            redact=redact,
            proof=Configured(settings.chain.proof, settings.backfill.proof, settings.chain.logs_bloom),
        )
    findings += await _database(settings)
    findings += await sentrycheck.findings(settings.sentry, redact, send=try_sentry)
    _print(findings, redact, as_json=as_json)
    return 1 if any(finding.ok is False for finding in findings) else 0


def _configuration(watched: Sequence[WatchedContract]) -> Finding:
    events = sum(len(contract.tables) for contract in watched)
    return Finding("configuration", True, f"{len(watched)} contracts with {events} events")


def _filter(watched: Sequence[WatchedContract]) -> LogFilter | None:
    sources = [
        Source(0, contract.name, address, table.event, table, contract.start_block)
        for contract in watched
        for address in contract.addresses
        for table in contract.tables
    ]
    return filter_of(sources) if sources else None


async def _database(settings: Settings) -> list[Finding]:
    try:
        async with parts.any_database(settings) as store:
            return list(await check_database(store))
    except IndexerError as error:
        return [
            Finding("database", False, str(error), "make sure that it runs, and that database.url is right")
        ]


def _print(findings: Sequence[Finding], redact: Callable[[str], str], *, as_json: bool) -> None:
    if as_json:
        lines = [
            {"subject": each.subject, "ok": each.ok, "message": redact(each.message), "remedy": each.remedy}
            for each in findings
        ]
        failed = sum(each.ok is False for each in findings)
        sys.stdout.write(msgspec.json.encode({"failed": failed, "findings": lines}).decode() + "\n")
        return
    width = max(len(each.subject) for each in findings)
    for each in findings:
        sys.stdout.write(f"{_SIGNS[each.ok]}  {each.subject:{width}}  {redact(each.message)}\n")
        if each.remedy and each.ok is not True:
            sys.stdout.write(f"      {'':{width}}  → {each.remedy}\n")
