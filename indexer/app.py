"""The long-lived process: builds the parts, joins them, and closes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from indexer import __version__, journal, parts, sentry
from indexer.contracts import load_watched
from indexer.core.errors import BelowFinality, IndexerError, LostLeadership, TooDeep
from indexer.core.health import Limits
from indexer.core.redaction import Redactor
from indexer.core.watched import WatchedContract
from indexer.http.alerts import AlertPages
from indexer.http.report import Health, Readiness
from indexer.http.server import HttpServer
from indexer.metrics import Metrics
from indexer.rpc.heads import Heads
from indexer.rpc.node import Node
from indexer.settings import Settings
from indexer.shipping import ship
from indexer.store.alerts import AlertJournal
from indexer.store.catalog import read_chain, register
from indexer.store.database import Database
from indexer.store.embedded import EmbeddedPostgres
from indexer.store.halts import record_halt
from indexer.store.leadership import wait_for_leadership
from indexer.store.migrations import migrate
from indexer.store.writer import Writer
from indexer.sync.indexing import Indexing
from indexer.sync.loops import Wake, follow, keep_filled, keep_indexed, watch_head
from indexer.sync.persist import LONGEST_PAUSE_SECONDS, PASSING, persist
from indexer.sync.together import together
from indexer.sync.watching import watch_database

log = journal.get(__name__)


async def run(
    settings: Settings, redact: Redactor, *, started: Callable[[HttpServer, Metrics], None] = lambda *_: None
) -> None:
    """Index until cancelled.

    The order matters: the endpoints answer before anything else is there, and the head is watched whether or
    not anybody follows it.

    Args:
        started: is told the server and the metrics as soon as the endpoints answer.

    Raises:
        UserMistake, WrongChain, Fatal: a person must look.
    """
    metrics = Metrics(settings.chain.label)
    journal.setup(
        redact,
        style=settings.journal.format,
        level=settings.journal.level,
        chain=settings.chain.label,
        counted=metrics.logs.record,
    )
    if settings.logs.logstash is not None:
        metrics.logs.shipping(ship(settings.logs.logstash, redact))
    watched = load_watched(settings)
    metrics.expect(watched)
    sentry.chain_is(settings.chain.label)
    readiness = Readiness()
    health = Health(
        metrics,
        readiness,
        Limits(
            settings.health.stalled_seconds,
            settings.health.silent_chain_seconds,
            settings.health.backfill_stalled_seconds,
        ),
        probe_seconds=settings.health.probe_seconds,
        redact=redact,
    )
    alerts = AlertPages(settings.alerts.token, count=metrics.alerts_received, wall=metrics.observed.wall)
    log.info("started", version=__version__, contracts=len(watched), endpoints=len(settings.chain.rpc))
    async with (
        HttpServer(settings.http.host, settings.http.port, metrics, health, alerts) as server,
        parts.node(settings, metrics, redact) as node,
        parts.database_server(settings) as embedded,
    ):
        started(server, metrics)
        process = Process(settings, watched, metrics, readiness, alerts, node, embedded)
        heads = node.heads(
            poll_seconds=settings.chain.poll_seconds,
            stall_seconds=settings.timeouts.websocket_stall_seconds,
            told=metrics.head_read,
        )
        await together(
            heads.run(), watch_head(heads, metrics), process.index(heads), process.watch_embedded()
        )


class Process:
    """What is the same from one leadership to the next."""

    def __init__(
        self,
        settings: Settings,
        watched: tuple[WatchedContract, ...],
        metrics: Metrics,
        readiness: Readiness,
        alerts: AlertPages,
        node: Node,
        embedded: EmbeddedPostgres | None,
    ) -> None:
        self._settings = settings
        self._watched = watched
        self._metrics = metrics
        self._readiness = readiness
        self._alerts = alerts
        self._node = node
        self._embedded = embedded

    async def watch_embedded(self) -> None:
        """End with the embedded server, if there is one."""
        if self._embedded is not None:
            await self._embedded.watch()

    async def index(self, heads: Heads) -> None:
        """Lead whenever nobody else does, and write as long as we lead; over and over.

        A reorg below finality ends the writing. Whether it begins again when the chain agrees with us once more,
        or only after a person has looked, is the configuration's choice.
        """

        async def lead() -> None:
            try:
                await self._connect_and_lead(heads)
            finally:
                self._readiness.database = None
                self._alerts.store = None
                self._metrics.database(False)
                self._metrics.leader(None)

        while True:
            try:
                await persist(lead, self._metrics, "indexing", (*PASSING, LostLeadership))
            except BelowFinality as error:
                waits = self._settings.chain.below_finality == "wait"
                kind = "too_deep" if isinstance(error, TooDeep) else "below_finality"
                self._metrics.error(error)
                self._metrics.halted(str(error), kind, waits=waits)
                log.critical("halted", kind=kind, reason=str(error), error=error)
                await self._remember_halt(kind, str(error))
                if not waits:
                    await persist(self._serve_halted, self._metrics, "serving what is stored")
            await asyncio.sleep(LONGEST_PAUSE_SECONDS)

    async def _remember_halt(self, kind: str, reason: str) -> None:
        """Leave the reason where it can be read when this process is gone, as far as that is possible."""
        try:
            async with parts.database(self._settings, self._url()) as store:
                await record_halt(store, kind, reason)
        except IndexerError as error:
            log.warning("the halt was not noted in the database", reason=str(error))

    async def _serve_halted(self) -> NoReturn:
        """Keep the database's health readable; whoever mends the cause starts the process again."""
        url = self._url()
        async with parts.database(self._settings, url, read_only=True) as store:
            self._readiness.database = store.ping
            self._alerts.store = AlertJournal(store)
            try:
                await watch_database(store, self._metrics)
            finally:
                self._readiness.database = None
                self._alerts.store = None
                self._metrics.database(False)

    def _url(self) -> str:
        if self._embedded is not None:
            return self._embedded.url
        assert self._settings.database.url is not None
        return self._settings.database.url

    async def _connect_and_lead(self, heads: Heads) -> None:
        async with parts.database(self._settings, self._url()) as store:
            self._readiness.database = store.ping
            self._metrics.database(True)
            self._metrics.pool(lambda: (store.size, store.idle, store.most))
            for migration in await migrate(store):
                log.info("migrated", migration=migration.name)
            self._readiness.schema_current = True
            self._alerts.store = AlertJournal(store)
            identity = (await self._node.chain_id(), await self._node.genesis_hash())
            chain = self._metrics.chain_is(identity[0])
            sentry.chain_is(chain)
            journal.chain_is(chain)
            self._readiness.chain_right = await read_chain(store) in {None, identity}
            await together(watch_database(store, self._metrics), self._lead(heads, store))

    async def _lead(self, heads: Heads, store: Database) -> None:
        async with await wait_for_leadership(store, waiting=self._stand_by) as leadership:
            self._metrics.leader(True)
            log.info("leading", epoch=leadership.epoch)
            writer = Writer(store, leadership.epoch, leadership.since)
            await together(leadership.keep(), self._write(heads, store, writer))

    def _stand_by(self, leader: str) -> None:
        self._metrics.leader(False)
        log.info("standing by", leader=leader)

    async def _write(self, heads: Heads, store: Database, writer: Writer) -> None:
        registered = await register(
            writer,
            self._watched,
            chain_id=await self._node.chain_id(),
            genesis_hash=await self._node.genesis_hash(),
            chain_name=self._settings.chain.name,
        )
        self._readiness.chain_right = True
        self._metrics.watch(registered.sources, parts.contract_addresses(self._watched))
        wake = Wake()
        flow = parts.Flow(
            self._settings,
            self._node,
            store,
            writer,
            self._watched,
            registered,
            self._metrics,
            moved=wake.moved,
        )
        await together(
            follow(flow.follower, heads, self._metrics),
            keep_filled(flow.follower, flow.backfill, wake, self._metrics),
            keep_indexed(
                Indexing(store, flow.read_state, self._watched, registered.sources), wake, self._metrics
            ),
        )
