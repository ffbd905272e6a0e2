"""The metrics of the program itself, the node it asks and the database it writes to."""

from __future__ import annotations

from indexer.metrics.spec import MetricSpec

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

ERRORS = MetricSpec(
    "indexer_errors_total",
    "counter",
    "errors",
    "Errors that interrupted following or backfilling, by what is to be done about them.",
    "when an error reaches the loop that then tries again or stops",
    ("error_type",),
)
RPC_REQUESTS = MetricSpec(
    "indexer_rpc_requests_total",
    "counter",
    "calls",
    "JSON-RPC calls, by endpoint name, method and how they ended.",
    "when a call ends",
    ("endpoint", "method", "outcome"),
)
RPC_DURATION = MetricSpec(
    "indexer_rpc_request_duration_seconds",
    "histogram",
    "seconds",
    "Time from sending a JSON-RPC call to having its answer.",
    "when a call ends",
    ("endpoint", "method"),
    _LATENCY,
)
RPC_SENT = MetricSpec(
    "indexer_rpc_sent_bytes_total",
    "counter",
    "bytes",
    "Bytes of JSON-RPC requests.",
    "when a call ends",
    ("endpoint",),
)
RPC_RECEIVED = MetricSpec(
    "indexer_rpc_received_bytes_total",
    "counter",
    "bytes",
    "Bytes of JSON-RPC answers.",
    "when a call ends",
    ("endpoint",),
)
RPC_UNKNOWN_ERRORS = MetricSpec(
    "indexer_rpc_unknown_errors_total",
    "counter",
    "errors",
    "Errors of an endpoint that no rule knows.",
    "when such an answer comes",
    ("endpoint",),
)
BLOCK_PROOFS = MetricSpec(
    "indexer_block_proofs_total",
    "counter",
    "blocks",
    "Followed blocks whose receipts were held against the block's hash; wrong: a log was missing or altered.",
    "when a followed block was read with its receipts",
    ("endpoint", "verdict"),
)
HEADER_PROOFS = MetricSpec(
    "indexer_header_proofs_total",
    "counter",
    "headers",
    "Headers read without receipts whose fields were held against their hash.",
    "when headers of a backfilled range, or of a followed block, were read",
    ("endpoint", "verdict"),
)
BLOOM_RECHECKS = MetricSpec(
    "indexer_bloom_rechecks_total",
    "counter",
    "blocks",
    "Blocks asked for again because their bloom filter may hold logs that did not come; found: they were left out.",
    "when such a block was asked for again",
    ("outcome",),
)
RPC_DISAGREEMENTS = MetricSpec(
    "indexer_rpc_disagreements_total",
    "counter",
    "answers",
    "Answers of an endpoint thrown away because another source, or the block's bloom filter, contradicts them.",
    "when such an answer is thrown away",
    ("endpoint", "kind"),
)
RPC_UP = MetricSpec(
    "indexer_rpc_endpoint_up",
    "gauge",
    "1 or 0",
    "Whether the endpoint is being used.",
    "when an endpoint fails or recovers",
    ("endpoint",),
)
RPC_HEAD = MetricSpec(
    "indexer_rpc_endpoint_head_block_number",
    "gauge",
    "block number",
    "The newest block the endpoint has shown.",
    "when the endpoint shows a newer one",
    ("endpoint",),
)
COMMIT_DURATION = MetricSpec(
    "indexer_commit_duration_seconds",
    "histogram",
    "seconds",
    "Duration of one writing transaction in the database.",
    "after each commit",
    buckets=_LATENCY,
)
POOL_CONNECTIONS = MetricSpec(
    "indexer_database_pool_connections",
    "gauge",
    "connections",
    "Open connections to the database.",
    "at the scrape",
)
POOL_IDLE = MetricSpec(
    "indexer_database_pool_idle_connections",
    "gauge",
    "connections",
    "Open connections to the database that wait for work.",
    "at the scrape",
)
POOL_MOST = MetricSpec(
    "indexer_database_pool_max_connections",
    "gauge",
    "connections",
    "Connections to the database that there may be; exhausted when as many are open and none is idle.",
    "never",
)
DATABASE_SIZE = MetricSpec(
    "indexer_database_size_bytes",
    "gauge",
    "bytes",
    "Size of the database on the disk of its server; absent until it was read.",
    "about once a minute while there are connections",
)
DATABASE_UP = MetricSpec(
    "indexer_database_up",
    "gauge",
    "1 or 0",
    "Whether there are connections to the database, and it takes what is written.",
    "when connections are opened or given up; every few seconds, and each time /health is asked",
)
AUDIT_TIME = MetricSpec(
    "indexer_audit_last_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "When the newest audit ended; 0: there was none.",
    "within a minute after an audit",
)
AUDIT_DIFFERENCES = MetricSpec(
    "indexer_audit_differences",
    "gauge",
    "rows",
    "Rows that the newest audit found missing, extra or altered, repaired ones included.",
    "within a minute after an audit",
)
AUDIT_UNREPAIRED = MetricSpec(
    "indexer_audit_unrepaired_blocks",
    "gauge",
    "blocks",
    "Blocks in which the newest audit found differences and left them as they are.",
    "within a minute after an audit",
)
AUDIT_UNSURE = MetricSpec(
    "indexer_audit_unsure_blocks",
    "gauge",
    "blocks",
    "Blocks of which the newest audit could not tell.",
    "within a minute after an audit",
)
STAGE_BUSY = MetricSpec(
    "indexer_stage_busy_seconds_total",
    "counter",
    "seconds",
    "Time spent fetching, decoding and committing blocks and ranges; what runs side by side adds up.",
    "when a stage of a block or range ends, well or not",
    ("stage",),
)
HTTP_REQUESTS = MetricSpec(
    "indexer_http_requests_total",
    "counter",
    "requests",
    "Requests to our own HTTP endpoints, by path and status.",
    "when a request was answered",
    ("path", "status"),
)
HTTP_DURATION = MetricSpec(
    "indexer_http_request_duration_seconds",
    "histogram",
    "seconds",
    "Time from having a request to having its answer ready.",
    "when a request was answered",
    ("path",),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
BACKUP_TIME = MetricSpec(
    "indexer_backup_last_success_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "When the last backup succeeded; 0: none known.",
    "within a minute after a backup",
)
BACKUP_SIZE = MetricSpec(
    "indexer_backup_size_bytes",
    "gauge",
    "bytes",
    "Size of the last successful backup; 0: none known.",
    "within a minute after a backup",
)
BACKUP_DURATION = MetricSpec(
    "indexer_backup_duration_seconds",
    "gauge",
    "seconds",
    "How long the last successful backup took; 0: none known.",
    "within a minute after a backup",
)
BACKUP_VERIFIED = MetricSpec(
    "indexer_backup_verified_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "When a backup was last restored on trial and found right; 0: never.",
    "within a minute after such a trial",
)
LEADER = MetricSpec(
    "indexer_leader",
    "gauge",
    "1 or 0",
    "Whether this process is the one that writes.",
    "when leadership is won or lost",
)
HALTED = MetricSpec(
    "indexer_halted",
    "gauge",
    "1 or 0",
    "Whether writing has stopped, by what the chain did: changed below its finality, or too deep.",
    "when the chain changes below its finality, and when it agrees with us again",
    ("reason",),
)
SOURCES = MetricSpec(
    "indexer_sources",
    "gauge",
    "sources",
    "Pairs of contract address and event that are indexed.",
    "when the contracts are registered",
)
BUILD_INFO = MetricSpec(
    "indexer_build_info",
    "gauge",
    "1",
    "The program's version.",
    "never",
    ("version",),
)
