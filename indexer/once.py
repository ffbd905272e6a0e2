"""The commands that do one thing and end: fill a range, print the tables' SQL, bring the database up to date."""

from __future__ import annotations

import sys
import time
from typing import NoReturn

import msgspec
from tqdm import tqdm

from indexer import journal, parts
from indexer.contracts import load_watched
from indexer.core.ddl import event_view_ddl, hex_view_ddl, table_ddl
from indexer.core.errors import Unavailable, UserMistake
from indexer.core.model import Header, Span
from indexer.core.redaction import Redactor
from indexer.core.watched import WatchedContract
from indexer.leading import chosen_names, take_lead
from indexer.metrics import Metrics
from indexer.rpc.node import Node
from indexer.settings import Settings
from indexer.store.catalog import Registered, register
from indexer.store.database import Database
from indexer.store.deputy import newest_reorg
from indexer.store.embedded import running_url
from indexer.store.leadership import Leadership
from indexer.store.migrations import migrate
from indexer.store.writer import Writer
from indexer.sync.backfill import Progress, Wanted, gaps
from indexer.sync.indexing import Indexing
from indexer.sync.persist import persist
from indexer.sync.together import beside
from indexer.workers.channel import Begin
from indexer.workers.crew import Crew, share_of

log = journal.get(__name__)

#: Failures in quick succession after which a backfill gives up; what it wrote stays.
ATTEMPTS = 5


class Outcome(msgspec.Struct, kw_only=True):
    """What a backfill did, as it is printed."""

    from_block: int
    to_block: int
    complete: bool
    #: Rows written by this run: events and transactions.
    rows: int
    #: Blocks times sources that were missing at its start.
    missing_before: int
    missing_after: int
    seconds: float


async def backfill(
    settings: Settings,
    redact: Redactor,
    first: int,
    last: int | None,
    contracts: frozenset[str] | None,
    *,
    processes: int,
    as_json: bool,
) -> int:
    """Fill the blocks first..last (None: up to the finalized one) of the contracts (None: of all).

    At most so many processes do it, this one included. The exit code is 0 only when every block asked for is stored.

    Raises:
        Unavailable: another process writes, or the node or the database does not answer.
        UserMistake: a contract is not configured, or a block is not final yet.
    """
    journal.setup(redact, style=settings.journal.format, level="warning", chain=settings.chain.label)
    watched = load_watched(settings)
    names = chosen_names(watched, contracts)
    metrics = Metrics(settings.chain.label)
    async with parts.node(settings, metrics, redact) as node, parts.any_database(settings) as store:
        leadership = await take_lead(store, "backfill by hand; `indexer run` fills all gaps by itself")
        async with leadership:
            run = _Run(settings, watched, names, node, store, metrics, leadership, processes)
            outcome = await beside(run.fill(first, last, quiet=as_json), leadership.keep())
    _tell(outcome, as_json=as_json)
    return 0 if outcome.complete else Unavailable.exit_code


class _Run:
    """One backfill with its parts."""

    def __init__(
        self,
        settings: Settings,
        watched: tuple[WatchedContract, ...],
        contracts: frozenset[str],
        node: Node,
        store: Database,
        metrics: Metrics,
        leadership: Leadership,
        processes: int,
    ) -> None:
        self._settings = settings
        self._watched = watched
        self._contracts = contracts
        self._node = node
        self._store = store
        self._metrics = metrics
        self._leadership = leadership
        self._processes = processes

    async def fill(self, first: int, last: int | None, *, quiet: bool) -> Outcome:
        started = time.monotonic()
        writer = Writer(self._store, self._leadership.epoch, self._leadership.since)
        registered = await _register(self._settings, self._watched, self._node, writer)
        flow = parts.Flow(
            self._settings, self._node, self._store, writer, self._watched, registered, self._metrics
        )
        head = await self._node.head()
        # What the tail wrote counts as stored, so it has to be part of the chain.
        await flow.follower.reconcile(head)
        finalized = await flow.follower.finalized(head)
        await writer.set_finalized(finalized.id)
        cursor = (await flow.read_state()).cursor
        if cursor is not None and cursor.number < finalized.number:
            # Nobody follows the tail now: its next blocks are ours to fill, as after a jump.
            await writer.start_tail(cursor, finalized)
        span = _span(first, last, finalized)
        wanted = self._only(flow.wanted)
        before = await self._missing(flow, wanted, span)
        with tqdm(
            total=before,
            unit="block",
            unit_scale=True,
            desc="backfill",
            disable=quiet or not sys.stderr.isatty(),
        ) as bar:
            progress = Progress(lambda now: _show(bar, now))

            crew = Crew(self._begin, flow.backfill, flow.read_state, self._node, processes=self._processes)

            async def attempt() -> None:
                await crew.fill(span, wanted, progress)

            await persist(attempt, self._metrics, "backfilling", attempts=ATTEMPTS)
        after = await self._missing(flow, wanted, span)
        await self._index(Indexing(self._store, flow.read_state, self._watched, registered.sources))
        return Outcome(
            from_block=span.first,
            to_block=span.last,
            complete=after == 0,
            rows=progress.rows,
            missing_before=before,
            missing_after=after,
            seconds=round(time.monotonic() - started, 3),
        )

    async def _begin(self) -> Begin:
        """What another process has to know to work under our leadership."""
        url = self._settings.database.url or running_url(parts.embedded_directory())
        if url is None:
            raise Unavailable("the embedded PostgreSQL has ended")
        return Begin(
            settings=share_of(self._settings, self._processes, url),
            epoch=self._leadership.epoch,
            since=self._leadership.since,
            reorg=await newest_reorg(self._store),
        )

    async def _index(self, indexing: Indexing) -> None:
        """Build the declared indexes of the tables that are filled; the rows are complete without them."""
        try:
            await indexing.make()
        except Unavailable as error:
            log.warning("indexes not built", reason=str(error))

    def _only(self, wanted: Wanted) -> Wanted:
        addresses = [a for each in self._watched if each.name in self._contracts for a in each.addresses]
        return wanted.only(self._contracts, frozenset(addresses))

    async def _missing(self, flow: parts.Flow, wanted: Wanted, span: Span) -> int:
        """Blocks times sources that are not stored; a source's blocks before its start are not asked for."""
        state = await flow.read_state()
        return sum(len(gap) for found in gaps(wanted, state.coverage, span).values() for gap in found)


def _show(bar: tqdm[NoReturn], progress: Progress) -> None:
    bar.total = max(bar.total or 0, bar.n + progress.total - progress.done)
    bar.set_postfix(rows=progress.rows, refresh=False)
    bar.n = bar.total - (progress.total - progress.done)
    bar.refresh()


def _span(first: int, last: int | None, finalized: Header) -> Span:
    if last is None:
        last = finalized.number
    if last > finalized.number:
        raise UserMistake(
            f"--to-block {last} is not final yet: the newest final block is {finalized.number}. "
            "Ask for that one, or let `indexer run` follow the head"
        )
    if first > last:
        raise UserMistake(f"--from-block {first} is above the last block asked for, {last}")
    return Span(first, last)


async def _register(
    settings: Settings, watched: tuple[WatchedContract, ...], node: Node, writer: Writer
) -> Registered:
    return await register(
        writer,
        watched,
        chain_id=await node.chain_id(),
        genesis_hash=await node.genesis_hash(),
        chain_name=settings.chain.name,
    )


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
        return
    verdict = (
        "complete"
        if outcome.complete
        else f"NOT complete: {outcome.missing_after} blocks × sources are missing"
    )
    sys.stdout.write(
        f"blocks {outcome.from_block}..{outcome.to_block}: {outcome.rows} rows written "
        f"in {outcome.seconds:.1f} s, {verdict}\n"
    )


def print_schema(settings: Settings) -> int:
    """Print the SQL of every configured contract's tables and views."""
    watched = load_watched(settings)
    for contract in watched:
        for table in contract.tables:
            sys.stdout.write(table_ddl(table).strip() + "\n\n" + hex_view_ddl(table).strip() + "\n\n")
    tables = [(contract.name, table) for contract in watched for table in contract.tables]
    sys.stdout.write(event_view_ddl(tables).strip() + "\n")
    return 0


async def migrate_all(settings: Settings, redact: Redactor) -> int:
    """Apply the migrations, and make the tables of the configured contracts."""
    journal.setup(redact, style=settings.journal.format, level="warning", chain=settings.chain.label)
    watched = load_watched(settings)
    metrics = Metrics(settings.chain.label)
    async with parts.any_database(settings) as store:
        for migration in await migrate(store):
            sys.stdout.write(f"applied {migration.name}\n")
        async with (
            await take_lead(store, "migrate") as leadership,
            parts.node(settings, metrics, redact) as node,
        ):
            await _register(settings, watched, node, Writer(store, leadership.epoch, leadership.since))
    sys.stdout.write(f"the database is up to date for {len(watched)} contracts\n")
    return 0
