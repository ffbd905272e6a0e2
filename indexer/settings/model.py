"""The settings as values, complete and checked; secrets do not show when they are printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from indexer.core.proof import ProofLevel

#: Of which blocks transactions are recorded: all, only those the tail follows, or none.
TransactionsPolicy = Literal["all", "follow", "off"]
#: How far a followed block is proved: its receipts against its hash, or only its links to other blocks.
ProofPolicy = Literal["receipts", "linked"]
#: What happens when the chain changes below what it had called final.
BelowFinalityPolicy = Literal["halt", "wait", "rollback"]


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """One node, known everywhere by its name because its URL may hold a key."""

    name: str
    #: `http://`, `https://`, `ws://` or `wss://`.
    url: str = field(repr=False)
    #: None: as many as the node takes.
    requests_per_second: float | None = None
    #: Whether compressed answers are asked for: slower on the same machine, 5 to 10 times less to carry.
    gzip: bool = True


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """The chain, the nodes that serve it, and how far each is believed."""

    #: EIP-155 chain id; None takes the node's.
    id: int | None
    #: For the `chain` label of the metrics.
    name: str | None
    rpc: tuple[EndpointSettings, ...]
    #: How far below the head a block counts as final where the node has no `finalized` tag.
    confirmations: int = 64
    poll_seconds: float = 1.0
    transactions: TransactionsPolicy = "all"
    #: A deeper reorg stops the program.
    max_reorg_depth: int = 128
    below_finality: BelowFinalityPolicy = "halt"
    #: Some chains hash their blocks in ways of their own; there only `linked` is possible.
    proof: ProofPolicy = "receipts"
    #: False on chains whose blocks have no bloom filter over their logs, or an empty one.
    logs_bloom: bool = True

    @property
    def label(self) -> str | None:
        """The `chain` label as far as it is known without asking the node."""
        return self.name or (None if self.id is None else str(self.id))


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    #: None: the embedded PostgreSQL.
    url: str | None = field(default=None, repr=False)
    #: Connections of the pool, at most.
    connections: int = 8


@dataclass(frozen=True, slots=True)
class HttpSettings:
    host: str = "127.0.0.1"
    #: 0: a free one, told in the journal.
    port: int = 9464


@dataclass(frozen=True, slots=True)
class HealthSettings:
    #: How long the cursor may stand still below the head before the indexer counts as stuck.
    stalled_seconds: float = 120.0
    #: How long the head may stand still before the chain counts as halted.
    silent_chain_seconds: float = 300.0
    #: How long a backfill may bring nothing of what is missing before the indexer counts as stuck.
    backfill_stalled_seconds: float = 600.0
    #: The time-out of each check.
    probe_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class BackfillSettings:
    #: Ranges in flight at the same time; each holds one answer of the node in memory.
    parallel: int = 4
    #: No range is longer, however few logs it holds.
    max_range_blocks: int = 100_000
    #: How far ranges are proved: not at all, by each block's bloom filter, or by its receipts.
    proof: ProofLevel = "linked"


@dataclass(frozen=True, slots=True)
class TimeoutSettings:
    connect_seconds: float = 5.0
    #: One request to the node, from sending to the last byte of its answer.
    request_seconds: float = 30.0
    #: All attempts of one request together.
    retry_total_seconds: float = 60.0
    #: A WebSocket that announced no head for so long is opened anew.
    websocket_stall_seconds: float = 60.0
    #: One statement in the database.
    statement_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class JournalSettings:
    format: Literal["auto", "json", "text"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class AlertSettings:
    #: Whoever knows it may post alerts and read their history; None: nobody may.
    token: str | None = field(default=None, repr=False)
    #: Alertmanager, for test alerts.
    alertmanager_url: str = field(default="http://127.0.0.1:9093", repr=False)


@dataclass(frozen=True, slots=True)
class SentrySettings:
    """Where errors are reported besides the journal; read from the environment alone."""

    #: `https://KEY@HOST/PROJECT`; None: nowhere.
    dsn: str | None = field(default=None, repr=False)
    environment: str = "production"
    #: None: this program's name and version.
    release: str | None = None
    #: The share of steps that are traced, from 0 to 1.
    traces_sample_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class LogsSettings:
    """Where the journal goes beside standard error, and what it tells of the database."""

    #: Host and port of a Logstash input that takes JSON lines by TCP; None: nowhere.
    logstash: tuple[str, int] | None = None
    #: A statement or transaction that takes longer has a line with its `query_duration`.
    slow_query_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class ContractSettings:
    """A contract to watch; the ABI file exists, and has not been read yet."""

    name: str
    addresses: tuple[bytes, ...]
    abi: Path
    start_block: int = 0
    #: Event names or signatures as in the ABI; None: all of them.
    events: tuple[str, ...] | None = None
    #: By event name or signature: the columns of each index on its table.
    indexes: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    chain: ChainSettings
    contracts: tuple[ContractSettings, ...]
    database: DatabaseSettings = DatabaseSettings()
    http: HttpSettings = HttpSettings()
    health: HealthSettings = HealthSettings()
    backfill: BackfillSettings = BackfillSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    journal: JournalSettings = JournalSettings()
    alerts: AlertSettings = AlertSettings()
    sentry: SentrySettings = SentrySettings()
    logs: LogsSettings = LogsSettings()
    #: The file they came from.
    path: Path | None = None

    def secrets(self) -> tuple[str, ...]:
        """Every URL that may hold a key or a password, and the token."""
        urls = [endpoint.url for endpoint in self.chain.rpc]
        urls += [each for each in (self.database.url, self.alerts.token, self.sentry.dsn) if each]
        return tuple(urls)
