"""The parts as the settings describe them: the node, the database, the tail and the backfill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from indexer import sentry
from indexer.core.batch import Decoder
from indexer.core.model import BlockId
from indexer.core.source import filter_of
from indexer.core.watched import WatchedContract
from indexer.metrics import Metrics
from indexer.rpc.address import EndpointAddress
from indexer.rpc.node import Node
from indexer.rpc.opening import open_node
from indexer.rpc.remembered import Remembered
from indexer.rpc.transport import Timing
from indexer.settings import Settings
from indexer.store.catalog import Registered
from indexer.store.database import Database, Timeouts, open_database
from indexer.store.embedded import EmbeddedPostgres, running_url
from indexer.store.reading import State, read_state, stored_at_or_below
from indexer.store.writer import Writer
from indexer.sync.backfill import Backfill, Wanted
from indexer.sync.blocks import BlockReader, Watching
from indexer.sync.failedtransactions import FailedTransactions
from indexer.sync.follow import Follower
from indexer.sync.replacing import BelowFinalityPolicy, Replacing
from indexer.sync.tally import Tally

#: Seconds in which a question of a person is answered or given up.
IMPATIENT_SECONDS = 5.0


def embedded_directory() -> Path:
    """Where the embedded database lives: under the working directory."""
    return Path.cwd() / ".indexer" / "postgres"


def impatient(settings: Settings) -> Settings:
    """The settings with a node that has to answer soon."""
    waits = replace(
        settings.timeouts, request_seconds=IMPATIENT_SECONDS, retry_total_seconds=IMPATIENT_SECONDS
    )
    return replace(settings, timeouts=waits)


def addresses(settings: Settings) -> tuple[EndpointAddress, ...]:
    """The configured endpoints."""
    return tuple(
        EndpointAddress(each.name, each.url, each.requests_per_second, each.gzip)
        for each in settings.chain.rpc
    )


def timing(settings: Settings) -> Timing:
    """How long the node may take."""
    waits = settings.timeouts
    return Timing(waits.connect_seconds, waits.request_seconds, waits.retry_total_seconds)


def node(
    settings: Settings,
    metrics: Metrics,
    redact: Callable[[str], str],
    *,
    genesis_hash: bytes | None = None,
) -> AbstractAsyncContextManager[Node]:
    """The configured endpoints as one node, reporting to the metrics; the genesis hash is checked where it is known."""
    metrics.endpoints(each.name for each in settings.chain.rpc)
    return open_node(
        addresses(settings),
        chain_id=settings.chain.id,
        genesis_hash=genesis_hash,
        timing=timing(settings),
        observer=Remembered(metrics) if sentry.is_on() else metrics,
        redact=redact,
        prove=settings.chain.proof == "receipts",
        logs_bloom=settings.chain.logs_bloom,
    )


@asynccontextmanager
async def database_server(settings: Settings) -> AsyncIterator[EmbeddedPostgres | None]:
    """The embedded server for as long as it is needed; None where the configuration names a database."""
    if settings.database.url is not None:
        yield None
        return
    server = EmbeddedPostgres(embedded_directory())
    async with server:
        yield server


@asynccontextmanager
async def database(settings: Settings, url: str, *, read_only: bool = False) -> AsyncIterator[Database]:
    """Connections to the database at the URL."""
    opened = await open_database(
        url,
        max_connections=settings.database.connections,
        timeouts=Timeouts(statement=settings.timeouts.statement_seconds),
        read_only=read_only,
        slow_seconds=settings.logs.slow_query_seconds,
    )
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def any_database(settings: Settings, *, read_only: bool = False) -> AsyncIterator[Database]:
    """Connections to the configured database, or to the embedded one, which is started if it does not run."""
    async with AsyncExitStack() as stack:
        url = settings.database.url or running_url(embedded_directory())
        if url is None:
            server = await stack.enter_async_context(database_server(settings))
            assert server is not None
            url = server.url
        yield await stack.enter_async_context(database(settings, url, read_only=read_only))


def contract_addresses(watched: tuple[WatchedContract, ...]) -> dict[bytes, str]:
    """The contract's name by address; of two contracts at one address the first."""
    names: dict[bytes, str] = {}
    for contract in watched:
        for address in contract.addresses:
            names.setdefault(address, contract.name)
    return names


def wanted(settings: Settings, watched: tuple[WatchedContract, ...], registered: Registered) -> Wanted:
    """What a backfill has to bring: all events, and transactions where the configuration wants those of old blocks."""
    starts: dict[bytes, int] = {}
    for contract in watched:
        for address in contract.addresses:
            starts[address] = min(contract.start_block, starts.get(address, contract.start_block))
    old: Mapping[bytes, int] = {}
    if settings.chain.transactions == "all":
        old = registered.transaction_sources
    return Wanted(registered.sources, old, {each: starts[address] for address, each in old.items()})


def backfill(
    settings: Settings,
    node: Node,
    writer: Writer,
    read_state: Callable[[], Awaitable[State]],
    wanted: Wanted,
    metrics: Metrics,
    tally: Tally,
    failed: FailedTransactions,
) -> Backfill:
    """The backfill of what is wanted, as the configuration describes it."""
    return Backfill(
        node,
        writer,
        read_state,
        wanted,
        metrics,
        tally,
        failed,
        workers=settings.backfill.parallel,
        max_range_blocks=settings.backfill.max_range_blocks,
        proof=settings.backfill.proof,
    )


class Flow:
    """The tail and the backfill over one node and one writer."""

    def __init__(
        self,
        settings: Settings,
        node: Node,
        store: Database,
        writer: Writer,
        watched: tuple[WatchedContract, ...],
        registered: Registered,
        metrics: Metrics,
        moved: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self.wanted = wanted(settings, watched, registered)
        self._store = store
        tally = Tally(registered.sources, metrics)
        failed = FailedTransactions(contract_addresses(watched))
        reader = BlockReader(
            Decoder(registered.sources),
            Watching(
                filter_of(registered.sources) if registered.sources else None,
                frozenset(registered.transaction_sources),
                transactions=settings.chain.transactions != "off",
            ),
            metrics,
        )
        chain = settings.chain
        policy = BelowFinalityPolicy(chain.max_reorg_depth, rolls_back=chain.below_finality == "rollback")
        self.follower = Follower(
            node,
            writer,
            self.read_state,
            reader,
            Replacing(writer, reader, self._stored_at_or_below, metrics, tally, policy),
            metrics,
            tally,
            failed,
            confirmations=chain.confirmations,
            moved=moved,
        )
        self.backfill = backfill(settings, node, writer, self.read_state, self.wanted, metrics, tally, failed)

    async def read_state(self) -> State:
        """Where the database is."""
        return await read_state(self._store)

    async def _stored_at_or_below(self, number: int) -> BlockId | None:
        return await stored_at_or_below(self._store, number)
