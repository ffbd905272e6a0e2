"""Indexer internals: what holds the indexer up, and what it thinks of its nodes and of its own work."""

from __future__ import annotations

from dashboards import limits
from dashboards.board import CHAIN, RATE, Board, Choice, Query, Row, graph, number
from dashboards.counting import per_second, percentiles, quantile
from dashboards.nodes import NODES, PROOFS

OURS = 'chain=~"$chain"'


BOTTLENECK = (
    graph(
        "Bottleneck: fetch, decode or commit",
        "Seconds a second that blocks and ranges spend in each stage; several at once make more than 1. "
        "The highest is what to make faster.",
        Query(per_second("stage", "indexer_stage_busy_seconds_total", OURS), "{{stage}}"),
        unit="s",
        stacked=True,
    ),
    graph(
        "From logs to commit",
        "indexer_event_processing_duration_seconds: from having the logs of a block or range to having them committed.",
        *percentiles(f"indexer_event_processing_duration_seconds_bucket{{{OURS}}}"),
        unit="s",
        exemplars=True,
    ),
    graph(
        "Rows in a transaction",
        "Large in a backfill, small at the tail.",
        *percentiles(f"indexer_batch_rows_bucket{{{OURS}}}"),
    ),
)

BACKFILL = (
    number(
        "Progress",
        "Of the running backfill; all when none is running.",
        Query(
            f"(sum by (chain) (indexer_backfill_done_blocks{{{OURS}}}) / "
            f"(sum by (chain) (indexer_backfill_blocks{{{OURS}}}) > 0)) "
            f"or (sum by (chain) (indexer_backfill_blocks{{{OURS}}}) == bool 0)",
            "{{chain}}",
        ),
        unit="percentunit",
        start="blue",
        width=6,
    ),
    number(
        "Still to go",
        "At its pace so far; a dash while there is none.",
        Query(f"max by (chain) (indexer_backfill_eta_seconds{{{OURS}}})", "{{chain}}"),
        unit="s",
        start="blue",
        width=6,
    ),
    number(
        "Standing still for",
        "IndexerStuck: 600 s without a range written while nodes answer.",
        Query(f"max by (chain) (indexer_backfill_stuck_seconds{{{OURS}}})", "{{chain}}"),
        unit="s",
        limits=limits.BACKFILL_STUCK,
        width=6,
    ),
    number(
        "Missing",
        "Wanted blocks that are not in the database, summed over the sources.",
        Query(f"sum by (chain) (indexer_gap_blocks{{{OURS}}})", "{{chain}}"),
        limits=limits.ANY_IS_ODD,
        width=6,
    ),
    graph(
        "Blocks of the backfill",
        "Blocks × sources: what it has to do, and what is done.",
        Query(f"sum by (chain) (indexer_backfill_blocks{{{OURS}}})", "wanted {{chain}}"),
        Query(f"sum by (chain) (indexer_backfill_done_blocks{{{OURS}}})", "done {{chain}}"),
    ),
    graph(
        "Missing, by contract",
        "Blocks × sources.",
        Query(f"sum by (contract) (indexer_gap_blocks{{{OURS}}})", "{{contract}}"),
        stacked=True,
    ),
    graph(
        "Covered, by contract",
        "Blocks × sources in the database.",
        Query(f"sum by (contract) (indexer_coverage_blocks{{{OURS}}})", "{{contract}}"),
        stacked=True,
    ),
)

AUDITS = (
    number(
        "Last audit",
        "When it ended; 1970 means never.",
        Query(f"1000 * max by (chain) (indexer_audit_last_timestamp_seconds{{{OURS}}})", "{{chain}}"),
        unit="dateTimeFromNow",
        start="blue",
        width=6,
    ),
    number(
        "Differences",
        "Rows found missing, extra or altered, the repaired ones included.",
        Query(f"max by (chain) (indexer_audit_differences{{{OURS}}})", "{{chain}}"),
        limits=limits.ANY,
        width=6,
    ),
    number(
        "Blocks left unrepaired",
        "Found and left as they are.",
        Query(f"max by (chain) (indexer_audit_unrepaired_blocks{{{OURS}}})", "{{chain}}"),
        limits=limits.ANY,
        width=6,
    ),
    number(
        "Blocks it could not tell of",
        "Because no node answered for them, for example.",
        Query(f"max by (chain) (indexer_audit_unsure_blocks{{{OURS}}})", "{{chain}}"),
        limits=limits.ANY_IS_ODD,
        width=6,
    ),
)

PROCESS = (
    graph(
        "CPU of the process",
        "Processors in use. One is all that decoding can have in a process.",
        Query(f'rate(process_cpu_seconds_total{{job="indexer"}}[{RATE}])', "{{instance}}"),
    ),
    graph(
        "Memory of the process",
        "Resident, which is what the system would take from others.",
        Query('process_resident_memory_bytes{job="indexer"}', "{{instance}}"),
        unit="bytes",
    ),
    graph(
        "Open files",
        "Against what the system allows.",
        Query('process_open_fds{job="indexer"}', "open {{instance}}"),
        Query('process_max_fds{job="indexer"}', "allowed {{instance}}"),
    ),
    graph(
        "Time of the indexer's pages, p95",
        "By page; the scrape is one of them.",
        Query(quantile(0.95, "indexer_http_request_duration_seconds_bucket", "path"), "{{path}}"),
        unit="s",
    ),
    graph(
        "Journal",
        "Lines a second, by level.",
        Query(per_second("level", "indexer_log_records_total", ""), "{{level}}"),
        unit="cps",
        stacked=True,
    ),
    graph(
        "Journal on its way to Logstash",
        "Lines that wait, and lines a second that were dropped, by reason.",
        Query("sum(indexer_log_shipping_queued_records)", "waiting"),
        Query(per_second("reason", "indexer_log_shipping_dropped_total", ""), "dropped: {{reason}}"),
    ),
)

INTERNALS = Board(
    uid="indexer-internals",
    file="indexer-internals.json",
    title="Indexer internals",
    question="What holds the indexer up, and what does it think of its nodes and of its own work?",
    variables=(CHAIN, Choice("endpoint", "Endpoint", "indexer_rpc_endpoint_up")),
    rows=(
        Row("Where the time goes", BOTTLENECK),
        Row("RPC endpoints", NODES),
        Row("Proofs and reorgs", PROOFS),
        Row("Backfill", BACKFILL),
        Row("The newest audit", AUDITS),
        Row("The process", PROCESS),
    ),
)
