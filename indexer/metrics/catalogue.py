"""Every metric that is exported: the registry, the code and `docs/metrics.md` all follow this list."""

from __future__ import annotations

from indexer.metrics import specs_edges as edges
from indexer.metrics import specs_indexed as indexed
from indexer.metrics import specs_logs as logs
from indexer.metrics.spec import MetricSpec

#: By subject, in the order of the documentation.
GROUPS: tuple[tuple[str, tuple[MetricSpec, ...]], ...] = (
    (
        "The state of the index",
        (
            indexed.BLOCK_LAG,
            indexed.PROCESSING_DELAY,
            indexed.HEAD_NUMBER,
            indexed.HEAD_TIME,
            indexed.INDEXED_NUMBER,
            indexed.INDEXED_TIME,
            indexed.FINALIZED_NUMBER,
            indexed.FINALIZED_TIME,
            indexed.LAST_PROGRESS,
            indexed.SINCE_PROGRESS,
            indexed.STUCK,
            indexed.SINCE_HEAD_READ,
            indexed.SINCE_HEAD_CHANGE,
            edges.LEADER,
            edges.HALTED,
            edges.SOURCES,
            edges.BUILD_INFO,
        ),
    ),
    (
        "Events",
        (
            indexed.EVENTS,
            indexed.UNDECODED_LOGS,
            indexed.PROCESSING_DURATION,
            indexed.ADMIN_CHANGES,
            indexed.BATCH_ROWS,
            edges.STAGE_BUSY,
            edges.ERRORS,
        ),
    ),
    ("Transactions and gas", (indexed.CONTRACT_TRANSACTIONS, indexed.CONTRACT_FAILURES, indexed.GAS_PRICE)),
    ("Reorgs", (indexed.REORGS, indexed.REORG_DEPTH, indexed.REMOVED_EVENTS)),
    (
        "Coverage and backfill",
        (
            indexed.COVERED_BLOCKS,
            indexed.GAP_BLOCKS,
            indexed.BACKFILL_BLOCKS,
            indexed.BACKFILL_DONE,
            indexed.BACKFILL_ETA,
            indexed.BACKFILL_STUCK,
        ),
    ),
    (
        "The node",
        (
            edges.RPC_REQUESTS,
            edges.RPC_DURATION,
            edges.RPC_SENT,
            edges.RPC_RECEIVED,
            edges.RPC_UNKNOWN_ERRORS,
            edges.BLOCK_PROOFS,
            edges.HEADER_PROOFS,
            edges.BLOOM_RECHECKS,
            edges.RPC_DISAGREEMENTS,
            edges.RPC_UP,
            edges.RPC_HEAD,
        ),
    ),
    (
        "Audits",
        (edges.AUDIT_TIME, edges.AUDIT_DIFFERENCES, edges.AUDIT_UNREPAIRED, edges.AUDIT_UNSURE),
    ),
    ("Alerts", (edges.ALERTS_RECEIVED,)),
    (
        "The database",
        (
            edges.COMMIT_DURATION,
            edges.POOL_CONNECTIONS,
            edges.DATABASE_UP,
            edges.DATABASE_SIZE,
            edges.POOL_IDLE,
            edges.POOL_MOST,
        ),
    ),
    (
        "Backups",
        (edges.BACKUP_TIME, edges.BACKUP_SIZE, edges.BACKUP_DURATION, edges.BACKUP_VERIFIED),
    ),
    ("Our own HTTP endpoints", (edges.HTTP_REQUESTS, edges.HTTP_DURATION)),
    ("The program's own log", (logs.RECORDS, logs.SENT, logs.DROPPED, logs.QUEUED)),
)

CATALOGUE: tuple[MetricSpec, ...] = tuple(spec for _, specs in GROUPS for spec in specs)
