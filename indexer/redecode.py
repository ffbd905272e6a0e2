"""`indexer redecode`: undecoded logs again, with the ABIs that are configured now, without the node."""

from __future__ import annotations

import sys

import msgspec

from indexer import journal
from indexer.contracts import load_watched
from indexer.core.address import checksum_address
from indexer.core.errors import UserMistake
from indexer.core.redaction import Redactor
from indexer.leading import chosen_names, existing_database, take_lead
from indexer.settings import Settings
from indexer.store.catalog import read_chain, register
from indexer.store.database import Database
from indexer.store.reading import read_status
from indexer.store.redecoding import Redecoded, redecode_all
from indexer.store.sources import StoredSource, read_sources
from indexer.store.writer import Writer
from indexer.sync.together import beside


class SourceLine(msgspec.Struct, kw_only=True):
    """A source that got rows, as it is printed."""

    contract: str
    address: str
    event: str
    rows: int


class Report(msgspec.Struct, kw_only=True):
    """Everything that is printed."""

    rows: int
    sources: list[SourceLine]
    #: Entries that newer sources took over, and the blocks they cover with them.
    taken_over: int
    blocks_taken_over: int
    #: Entries that were removed because their log has a row, or an entry, of a newer source.
    outdated: int
    #: Entries that stay until a backfill has brought the blocks for the newer source.
    waiting: int
    #: What is undecoded now, by reason; of ``lossy_text`` the rows are there.
    undecoded: dict[str, int]


async def redecode(
    settings: Settings, redact: Redactor, contracts: frozenset[str] | None, *, as_json: bool
) -> int:
    """Read the undecoded logs of these contracts (None: of all) again, and print what came of it.

    Raises:
        UserMistake: a contract is not configured, or the database holds nothing yet.
        Unavailable: another process writes.
    """
    journal.setup(redact, style=settings.journal.format, level="warning", chain=settings.chain.label)
    watched = load_watched(settings)
    names = chosen_names(watched, contracts)
    async with existing_database(settings, read_only=False) as store:
        chain = await read_chain(store)
        if chain is None:
            raise UserMistake("the database holds nothing yet; `indexer run` fills it")
        async with await take_lead(store, "redecode") as leadership:
            writer = Writer(store, leadership.epoch, leadership.since)
            await register(
                writer, watched, chain_id=chain[0], genesis_hash=chain[1], chain_name=settings.chain.name
            )
            done = await beside(redecode_all(writer, names), leadership.keep())
        report = _report(done, await _sources(store), dict((await read_status(store)).undecoded))
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n" if as_json else text_of(report))
    return 0


async def _sources(store: Database) -> dict[int, StoredSource]:
    async with store.connection() as connection:
        return {each.id: each for each in await read_sources(connection)}


def _report(done: Redecoded, sources: dict[int, StoredSource], undecoded: dict[str, int]) -> Report:
    return Report(
        rows=done.rows.total(),
        sources=[
            SourceLine(
                contract=sources[source_id].contract,
                address=checksum_address(sources[source_id].address),
                event=sources[source_id].key.signature,
                rows=count,
            )
            for source_id, count in sorted(done.rows.items())
        ],
        taken_over=done.taken_over,
        blocks_taken_over=done.blocks_taken_over,
        outdated=done.outdated,
        waiting=done.waiting,
        undecoded=undecoded,
    )


def text_of(report: Report) -> str:
    """The report for people."""
    lines = [f"{each.rows:,} rows of {each.contract} {each.address} {each.event}" for each in report.sources]
    if report.taken_over or report.blocks_taken_over:
        lines.append(
            f"{report.taken_over:,} entries and {report.blocks_taken_over:,} blocks taken over from events "
            "that are no longer configured"
        )
    if report.outdated:
        lines.append(f"{report.outdated:,} outdated entries removed: their logs are stored elsewhere")
    if report.waiting:
        lines.append(f"{report.waiting:,} entries stay until `indexer run` or `backfill` has their blocks")
    left = ", ".join(f"{reason}: {count:,}" for reason, count in report.undecoded.items()) or "none"
    lines.append(f"{report.rows:,} logs redecoded; undecoded now: {left}")
    return "\n".join(lines) + "\n"
