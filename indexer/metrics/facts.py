"""What the flow tells about itself: one method for each thing that happens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Exemplar

import indexer
from indexer.core.abi import EventSpec
from indexer.core.adminroles import CHANGES
from indexer.core.health import Halted
from indexer.core.model import Encoded, FollowedBlock, Header, Transaction
from indexer.core.source import Source
from indexer.core.watched import WatchedContract
from indexer.metrics import labels
from indexer.metrics import specs_edges as edges
from indexer.metrics import specs_indexed as indexed
from indexer.metrics.logged import LogMetrics
from indexer.metrics.observed import Observed
from indexer.metrics.pace import Pace
from indexer.metrics.registry import Instruments
from indexer.metrics.rpcfacts import RpcFacts
from indexer.metrics.spec import MetricSpec
from indexer.metrics.stages import Stage, StageTimes

#: Wei in a gwei.
_GWEI = 1e9
#: Followed blocks over which the gas price is averaged.
_GAS_PRICE_BLOCKS = 20
#: The `chain` label until the chain is known.
_UNKNOWN_CHAIN = "unknown"


class Metrics(RpcFacts):
    """Records facts; a registry of its own exports them.

    Methods named after something that was done are called after it is committed and not before, so no number
    runs ahead of the database. Lag, delay and the like are computed when they are read, from `observed`.
    It is also what the RPC edge reports its calls to.
    """

    def __init__(
        self,
        chain: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            Instruments(lambda: self._chain or _UNKNOWN_CHAIN),
            Observed(clock, wall),
            StageTimes(clock, self._spent),
        )
        self._chain = chain
        self._clock = clock
        #: The program's own log.
        self.logs = LogMetrics(self._instruments)
        self._pace = Pace(clock)
        self._gas_prices: deque[float] = deque(maxlen=_GAS_PRICE_BLOCKS)
        #: Open, idle and most connections.
        self._pool: Callable[[], tuple[int, int, int]] | None = None
        self._database_up = False
        self._database_bytes: int | None = None
        #: Contract and event of each source id, and the contract of each address.
        self._sources: dict[int, tuple[str, str]] = {}
        self._contracts: dict[bytes, str] = {}
        self._read_at_scrape()
        self._instruments.gauge(edges.BUILD_INFO).labels(indexer.__version__).set(1)
        for error_type in sorted(labels.ERROR_TYPES):
            self._instruments.counter(edges.ERRORS).labels(error_type)
        for reason in labels.HALTS:
            self._instruments.gauge(edges.HALTED).labels(reason)
        for stage in labels.STAGES:
            self._instruments.counter(edges.STAGE_BUSY).labels(stage)
        for status in labels.ALERT_STATUSES:
            self._instruments.counter(edges.ALERTS_RECEIVED).labels(status)

    @property
    def registry(self) -> CollectorRegistry:
        """What `/metrics` shows, as values; collecting it does no I/O."""
        return self._instruments.registry

    def page(self, *, openmetrics: bool = False) -> bytes:
        """What `/metrics` answers; making it does no I/O.

        Args:
            openmetrics: OpenMetrics 1.0.0 with exemplars, instead of the Prometheus text format.
        """
        return self._instruments.page(openmetrics=openmetrics)

    @property
    def chain(self) -> str | None:
        """The `chain` label; None until it is known."""
        return self._chain

    def chain_is(self, chain_id: int) -> str:
        """The chain's id is known now; it becomes the label unless the configuration gave one. The label."""
        self._chain = self._chain or str(chain_id)
        return self._chain

    def expect(self, watched: Iterable[WatchedContract]) -> None:
        """Begin the series of these contracts at 0, before there is a node, a database or the lead.

        What is counted first would else be no increase: Prometheus has to see the 0 before it.
        """
        for contract in watched:
            self._begin(contract.name)
            for table in contract.tables:
                self._begin_event(contract.name, table.event)

    def watch(self, sources: Iterable[Source], contracts: Mapping[bytes, str]) -> None:
        """Begin the series of these sources, and of the contracts at these addresses, at 0."""
        for source in sources:
            self._sources[source.id] = (source.contract, source.event.name)
            self._begin_event(source.contract, source.event)
        self._contracts.update(contracts)
        self._instruments.gauge(edges.SOURCES).set(len(self._sources))
        for contract in {contract for contract, _ in self._sources.values()} | set(contracts.values()):
            self._begin(contract)

    def wrote(self, encoded: Encoded) -> None:
        """These events and undecoded logs are committed."""
        events = self._instruments.counter(indexed.EVENTS)
        undecoded = self._instruments.counter(indexed.UNDECODED_LOGS)
        for source_id, rows in encoded.counts.items():
            events.labels(*self._source(source_id)).inc(rows)
        for (source_id, change), count in encoded.admin_changes.items():
            contract, _ = self._source(source_id)
            self._instruments.counter(indexed.ADMIN_CHANGES).labels(contract, change).inc(count)
        for log in encoded.undecoded:
            reason = labels.bounded(log.reason, labels.UNDECODED_REASONS)
            undecoded.labels(self._source(log.source_id)[0], reason).inc()
        self._instruments.histogram(indexed.BATCH_ROWS).observe(encoded.rows)

    @contextmanager
    def processing(self, block: int) -> Iterator[None]:
        """Time what happens to the logs of a block, or a range from that block on, from here to their commit.

        A failure is not counted.
        """
        with self._timed(indexed.PROCESSING_DURATION, block):
            yield

    @contextmanager
    def commit(self, block: int) -> Iterator[None]:
        """Time the transaction that writes a block, or a range from that block on; a failure is not counted."""
        with self._stages.commit(), self._timed(edges.COMMIT_DURATION, block):
            yield

    def fetching(self) -> AbstractContextManager[None]:
        """Time waiting for, and reading, the answers of a block or range, their checks left out."""
        return self._stages.fetch()

    def decoding(self) -> AbstractContextManager[None]:
        """Time making rows of a block or range."""
        return self._stages.decode()

    def transactions(self, transactions: Sequence[Transaction]) -> None:
        """These transactions are committed; those that merely touched a watched contract do not count."""
        totals = self._instruments.counter(indexed.CONTRACT_TRANSACTIONS)
        failures = self._instruments.counter(indexed.CONTRACT_FAILURES)
        for transaction in transactions:
            contract = self._contract(transaction.recipient) or self._contract(transaction.created)
            if contract is None:
                continue
            totals.labels(contract, "success" if transaction.success else "failed").inc()
            if transaction.failure is not None:
                failures.labels(contract, transaction.failure).inc()

    def gas_price(self, block: FollowedBlock) -> None:
        """Take a block's gas price into the average: its base fee, else the mean of what was paid in it."""
        paid = [transaction.effective_gas_price_wei for transaction in block.transactions]
        if block.header.base_fee_wei is not None:
            self._gas_prices.append(float(block.header.base_fee_wei))
        elif paid:
            self._gas_prices.append(sum(paid) / len(paid))

    def head_seen(self, header: Header) -> None:
        """The node's newest block; told by whoever watches the head, however the rest fares."""
        self.observed.head_seen(header.number, header.hash, header.timestamp)

    def head_read(self) -> None:
        """An endpoint told its newest block, be it a new one or not."""
        self.observed.head_read()

    def finalized_seen(self, number: int, timestamp: int | None = None) -> None:
        observed = self.observed
        if number != observed.finalized_number:
            observed.finalized_timestamp = None
        observed.finalized_number = number
        observed.finalized_timestamp = timestamp or observed.finalized_timestamp

    def cursor_at(self, number: int, timestamp: int | None) -> None:
        """The committed cursor, and the time of its block where it is known."""
        self.observed.cursor_at(number, timestamp)

    def reorged(self, depth: int, removed_events: int) -> None:
        """A reorg's replacement is committed."""
        self._instruments.counter(indexed.REORGS).inc()
        self._instruments.histogram(indexed.REORG_DEPTH).observe(depth)
        self._instruments.counter(indexed.REMOVED_EVENTS).inc(removed_events)

    def error(self, error: BaseException | str, doing: str = "indexing") -> None:
        """An error reached a loop that now tries again, or stops; what the loop does is in its words."""
        error_type = labels.error_type(error)
        self._instruments.counter(edges.ERRORS).labels(error_type).inc()
        self.observed.failed(doing, error_type, str(error))

    def coverage(self, contract: str, covered_blocks: int, gap_blocks: int) -> None:
        """What the database holds of a contract and what it lacks, summed over its sources."""
        self._instruments.gauge(indexed.COVERED_BLOCKS).labels(contract).set(covered_blocks)
        self._instruments.gauge(indexed.GAP_BLOCKS).labels(contract).set(gap_blocks)

    def backfill(self, total_blocks: int, done_blocks: int) -> None:
        """How far the backfill is; both equal when it has ended."""
        self._pace.at(total_blocks, done_blocks)
        self.observed.backfill_at(max(0, total_blocks - done_blocks))

    @property
    def backfill_eta_seconds(self) -> float | None:
        """Seconds that the running backfill still needs at its pace so far; None while it has none."""
        return self._pace.remaining_seconds

    def pool(self, sizes: Callable[[], tuple[int, int, int]]) -> None:
        """Read the pool's open and idle connections, and how many there may be, from here at each scrape."""
        self._pool = sizes

    def database(self, up: bool) -> None:
        """Whether the database answers and takes what is written."""
        self._database_up = up

    def database_size(self, size_bytes: int) -> None:
        """How large the database is on its disk."""
        self._database_bytes = size_bytes

    def leader(self, leads: bool | None) -> None:
        """This process writes; or stands by for another one that does; None: neither, for now."""
        self.observed.leads(leads)

    def halted(self, reason: str, kind: str, *, waits: bool) -> None:
        """Writing has stopped, until a person looks or by itself; the reason holds no secret."""
        self.observed.halted = Halted(reason, waits)
        self._tell_halt(kind)

    def goes_on(self) -> None:
        """Whatever had stopped the writing is over."""
        if self.observed.halted is not None:
            self.observed.halted = None
            self._tell_halt(None)

    def audited(self, ended_at: float, differences: int, unrepaired_blocks: int, unsure_blocks: int) -> None:
        """What the newest audit has found, its end in Unix seconds."""
        self._instruments.gauge(edges.AUDIT_TIME).set(ended_at)
        self._instruments.gauge(edges.AUDIT_DIFFERENCES).set(differences)
        self._instruments.gauge(edges.AUDIT_UNREPAIRED).set(unrepaired_blocks)
        self._instruments.gauge(edges.AUDIT_UNSURE).set(unsure_blocks)

    def alerts_received(self, status: str, alerts: int) -> None:
        """So many alerts of this status, firing or resolved, were told by Alertmanager and are stored."""
        self._instruments.counter(edges.ALERTS_RECEIVED).labels(status).inc(alerts)

    def backup(self, succeeded_at: float, size_bytes: int, seconds: float, verified_at: float) -> None:
        """The last backup that succeeded, and when one was last tried out; times in Unix seconds, 0: none."""
        self._instruments.gauge(edges.BACKUP_TIME).set(succeeded_at)
        self._instruments.gauge(edges.BACKUP_SIZE).set(size_bytes)
        self._instruments.gauge(edges.BACKUP_DURATION).set(seconds)
        self._instruments.gauge(edges.BACKUP_VERIFIED).set(verified_at)

    def http_serves(self, paths: Iterable[str], statuses: Iterable[int]) -> None:
        """Begin the counters of our own HTTP paths with these statuses at 0."""
        known = tuple(statuses)
        for path in paths:
            self._instruments.histogram(edges.HTTP_DURATION).labels(path)
            for status in known:
                self._instruments.counter(edges.HTTP_REQUESTS).labels(path, str(status))

    def http_request(self, path: str | None, status: int, seconds: float) -> None:
        """A request to one of our paths was answered; None: to no path of ours."""
        path = labels.OTHER if path is None else path
        self._instruments.counter(edges.HTTP_REQUESTS).labels(path, str(status)).inc()
        self._instruments.histogram(edges.HTTP_DURATION).labels(path).observe(seconds)

    def _read_at_scrape(self) -> None:
        seen, read = self.observed, self._instruments.read
        read(indexed.BLOCK_LAG, lambda: seen.lag)
        read(indexed.PROCESSING_DELAY, lambda: seen.delay_seconds)
        read(indexed.HEAD_NUMBER, lambda: seen.head_number)
        read(indexed.HEAD_TIME, lambda: seen.head_timestamp)
        read(indexed.INDEXED_NUMBER, lambda: seen.cursor_number)
        read(indexed.INDEXED_TIME, lambda: seen.cursor_timestamp)
        read(indexed.FINALIZED_NUMBER, lambda: seen.finalized_number)
        read(indexed.FINALIZED_TIME, lambda: seen.finalized_timestamp)
        read(indexed.LAST_PROGRESS, lambda: seen.cursor_changed_wall)
        read(edges.LEADER, lambda: int(bool(seen.leader)))
        read(indexed.SINCE_PROGRESS, self._seconds_since_progress)
        read(indexed.STUCK, lambda: seen.tail.seconds)
        read(indexed.SINCE_HEAD_READ, lambda: seen.since(seen.head_read_at))
        read(indexed.SINCE_HEAD_CHANGE, lambda: seen.since(seen.head_changed_at))
        read(indexed.BACKFILL_STUCK, lambda: seen.backfill.seconds)
        read(edges.DATABASE_UP, lambda: int(self._database_up))
        read(edges.DATABASE_SIZE, lambda: self._database_bytes)
        read(indexed.GAS_PRICE, self._mean_gas_price_gwei)
        read(indexed.BACKFILL_BLOCKS, lambda: self._pace.total)
        read(indexed.BACKFILL_DONE, lambda: self._pace.done)
        read(indexed.BACKFILL_ETA, lambda: self._pace.remaining_seconds)
        read(edges.POOL_CONNECTIONS, lambda: self._pool()[0] if self._pool else None)
        read(edges.POOL_IDLE, lambda: self._pool()[1] if self._pool else None)
        read(edges.POOL_MOST, lambda: self._pool()[2] if self._pool else None)

    def _begin(self, contract: str) -> None:
        for status in labels.STATUSES:
            self._instruments.counter(indexed.CONTRACT_TRANSACTIONS).labels(contract, status)
        for failure in labels.FAILURES:
            self._instruments.counter(indexed.CONTRACT_FAILURES).labels(contract, failure)
        for reason in labels.UNDECODED_REASONS:
            self._instruments.counter(indexed.UNDECODED_LOGS).labels(contract, reason)

    def _begin_event(self, contract: str, event: EventSpec) -> None:
        self._instruments.counter(indexed.EVENTS).labels(contract, event.name)
        if event.topic0 is not None and event.topic0 in CHANGES:
            self._instruments.counter(indexed.ADMIN_CHANGES).labels(contract, CHANGES[event.topic0])

    def _tell_halt(self, kind: str | None) -> None:
        for reason in labels.HALTS:
            self._instruments.gauge(edges.HALTED).labels(reason).set(reason == kind)

    def _seconds_since_progress(self) -> float | None:
        if self.observed.leader is False:
            return None
        return self.observed.since(self.observed.cursor_changed_at)

    def _mean_gas_price_gwei(self) -> float | None:
        prices = self._gas_prices
        return sum(prices) / len(prices) / _GWEI if prices else None

    def _spent(self, stage: Stage, seconds: float) -> None:
        self._instruments.counter(edges.STAGE_BUSY).labels(stage).inc(seconds)

    @contextmanager
    def _timed(self, spec: MetricSpec, block: int) -> Iterator[None]:
        started = self._clock()
        yield
        seconds = self._clock() - started
        seen_in = Exemplar({"block": str(block)}, seconds, round(self.observed.wall(), 3))
        self._instruments.histogram(spec).observe(seconds, seen_in)

    def _source(self, source_id: int) -> tuple[str, str]:
        return self._sources.get(source_id, (labels.OTHER, labels.OTHER))

    def _contract(self, address: bytes | None) -> str | None:
        return None if address is None else self._contracts.get(address)
