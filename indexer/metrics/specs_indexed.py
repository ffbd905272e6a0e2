"""The metrics of what is indexed: blocks, events, transactions, reorgs and coverage."""

from __future__ import annotations

from indexer.metrics.spec import MetricSpec

EVENTS = MetricSpec(
    "indexer_events_total",
    "counter",
    "events",
    "Events written to the database.",
    "after the commit of a followed block or a backfilled range",
    ("contract", "event_type"),
)
BLOCK_LAG = MetricSpec(
    "indexer_block_lag",
    "gauge",
    "blocks",
    "Blocks between the node's head and the newest indexed block.",
    "at the scrape, from the head and the cursor as last seen; grows while the indexer is stuck",
)
PROCESSING_DURATION = MetricSpec(
    "indexer_event_processing_duration_seconds",
    "histogram",
    "seconds",
    "Time from having the logs of a block or range to having them committed.",
    "after each commit",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0),
)
PROCESSING_DELAY = MetricSpec(
    "indexer_event_processing_delay_seconds",
    "gauge",
    "seconds",
    "Age of the newest indexed block.",
    "at the scrape: now minus the block's time; grows while the indexer, or the chain, stands still",
)
GAS_PRICE = MetricSpec(
    "indexer_avg_gas_price",
    "gauge",
    "gwei",
    "Mean gas price of the newest 20 followed blocks: the base fee, else what transactions paid.",
    "with each followed block",
)
CONTRACT_TRANSACTIONS = MetricSpec(
    "indexer_contract_tx_total",
    "counter",
    "transactions",
    "Transactions sent to, or creating, a watched contract, by status success or failed.",
    "after the commit of the transactions' blocks",
    ("contract", "status"),
)
CONTRACT_FAILURES = MetricSpec(
    "indexer_contract_tx_failed_total",
    "counter",
    "transactions",
    "Failed transactions to a watched contract, by reason out_of_gas or reverted.",
    "after the commit of the transactions' blocks",
    ("contract", "reason"),
)
ADMIN_CHANGES = MetricSpec(
    "indexer_admin_changes_total",
    "counter",
    "events",
    "Indexed RoleGranted and RoleRevoked events of the roles DEFAULT_ADMIN_ROLE and ADMIN_ROLE.",
    "after the commit of a followed block or a backfilled range",
    ("contract", "change"),
)
REORGS = MetricSpec(
    "indexer_reorgs_total",
    "counter",
    "reorgs",
    "Reorgs that replaced stored blocks.",
    "after the commit of the replacement",
)
REORG_DEPTH = MetricSpec(
    "indexer_reorg_depth",
    "histogram",
    "blocks",
    "Stored blocks that a reorg replaced.",
    "after the commit of the replacement",
    buckets=(1, 2, 3, 5, 10, 20, 50, 100),
)
HEAD_NUMBER = MetricSpec(
    "indexer_head_block_number",
    "gauge",
    "block number",
    "The node's newest block.",
    "when a new head is seen, whatever the rest of the indexer does",
)
HEAD_TIME = MetricSpec(
    "indexer_head_block_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "Time of the node's newest block.",
    "when a new head is seen",
)
INDEXED_NUMBER = MetricSpec(
    "indexer_indexed_block_number",
    "gauge",
    "block number",
    "The cursor: the newest block in the database.",
    "after each commit of the tail; goes back in a reorg",
)
INDEXED_TIME = MetricSpec(
    "indexer_indexed_block_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "Time of the newest block in the database.",
    "after each commit of the tail",
)
FINALIZED_NUMBER = MetricSpec(
    "indexer_finalized_block_number",
    "gauge",
    "block number",
    "The newest block that counts as final.",
    "when the node's finality advances",
)
FINALIZED_TIME = MetricSpec(
    "indexer_finalized_block_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "Time of the newest block that counts as final.",
    "when the node's finality advances",
)
LAST_PROGRESS = MetricSpec(
    "indexer_last_progress_timestamp_seconds",
    "gauge",
    "Unix seconds",
    "When the cursor last moved.",
    "after each commit of the tail",
)
SINCE_PROGRESS = MetricSpec(
    "indexer_seconds_since_progress",
    "gauge",
    "seconds",
    "Time since the cursor last moved, or since the start if it never did; absent in a standby.",
    "at the scrape; grows while the indexer, the node, the database or the chain stands still",
)
STUCK = MetricSpec(
    "indexer_stuck_seconds",
    "gauge",
    "seconds",
    "Time without the cursor moving in which there was a newer block and a node that answered; 0: all is well.",
    "at the scrape; back to 0 when the cursor moves or is at the head",
)
SINCE_HEAD_READ = MetricSpec(
    "indexer_seconds_since_head_read",
    "gauge",
    "seconds",
    "Time since any endpoint last told its newest block, be it a new one or not; since the start if none did.",
    "at the scrape; grows while no endpoint answers, or all ask us to wait",
)
SINCE_HEAD_CHANGE = MetricSpec(
    "indexer_seconds_since_head_change",
    "gauge",
    "seconds",
    "Time since the head last became another block, or since the start if there was none.",
    "at the scrape; grows while the chain, or every endpoint, stands still",
)
BACKFILL_STUCK = MetricSpec(
    "indexer_backfill_stuck_seconds",
    "gauge",
    "seconds",
    "Time without a written range in which ranges were missing and a node answered; 0: all is well.",
    "at the scrape; back to 0 with each range that is written, or when none is missing",
)
COVERED_BLOCKS = MetricSpec(
    "indexer_coverage_blocks",
    "gauge",
    "blocks",
    "Blocks whose events are in the database, summed over the contract's sources.",
    "when coverage is read from the database",
    ("contract",),
)
GAP_BLOCKS = MetricSpec(
    "indexer_gap_blocks",
    "gauge",
    "blocks",
    "Wanted blocks that are not yet in the database, summed over the contract's sources.",
    "when coverage is read from the database",
    ("contract",),
)
BACKFILL_BLOCKS = MetricSpec(
    "indexer_backfill_blocks",
    "gauge",
    "blocks",
    "Blocks of the running backfill, summed over its sources; 0: none is running.",
    "when a backfill begins or ends",
)
BACKFILL_DONE = MetricSpec(
    "indexer_backfill_done_blocks",
    "gauge",
    "blocks",
    "Blocks of the running backfill that are written.",
    "after the commit of a range",
)
BACKFILL_ETA = MetricSpec(
    "indexer_backfill_eta_seconds",
    "gauge",
    "seconds",
    "Time the running backfill still needs at its pace so far; absent while there is no pace.",
    "at the scrape; grows while the backfill is stuck",
)
BATCH_ROWS = MetricSpec(
    "indexer_batch_rows",
    "histogram",
    "rows",
    "Event rows written in one transaction.",
    "after each commit",
    buckets=(0, 1, 10, 100, 1_000, 10_000, 50_000, 100_000),
)
UNDECODED_LOGS = MetricSpec(
    "indexer_undecoded_logs_total",
    "counter",
    "logs",
    "Logs of a watched event that could not be made a row, or only with loss, by reason.",
    "after the commit that stores them in indexer.undecoded_log",
    ("contract", "reason"),
)
REMOVED_EVENTS = MetricSpec(
    "indexer_reorg_removed_events_total",
    "counter",
    "events",
    "Events that reorgs took out of the database.",
    "after the commit of the replacement",
)
