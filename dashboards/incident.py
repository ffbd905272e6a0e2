"""Incident: what is wrong at this moment, and where to look next."""

from __future__ import annotations

from dashboards import limits
from dashboards.board import CHAIN, RATE, Board, Limit, Query, Row, Written, graph, number, table, words
from dashboards.counting import more

OURS = 'chain=~"$chain"'

FIRST_STEPS = """\
1. Read the alerts above, critical ones first: each has a section of its name in the
   [runbook](${docs_url}/runbook.md).
2. Is it **the chain** or **the nodes** (head stands still, endpoints away), **the database** (away, full), or
   **the indexer** (stuck while both are well)? The numbers tell.
3. `/health` of the indexer says the reason in words; `indexer status` says the same from the database.
4. Silence what is known in Alertmanager, tell the channel #incidents, and write down the times.

[Overview](/d/indexer-overview) · [Blockchain](/d/indexer-blockchain) · [Internals](/d/indexer-internals) ·
[Database](/d/indexer-database) · [System](/d/indexer-system) · [SLO](/d/indexer-slo) ·
[Health, page by page](${docs_url}/health.md)
"""

ALERTS = (
    table(
        "Firing",
        "Each alert that fires at this moment; the runbook has a section of its name.",
        Query(
            'sort_desc(sum by (alertname, severity, service, team, chain, instance) (ALERTS{alertstate="firing"}))'
        ),
        width=14,
    ),
    words("What to do first", FIRST_STEPS, width=10),
)

SIGNS = (
    number(
        "Stuck for",
        "Without progress though there was a newer block and a node that answered.",
        Query(f"max by (chain) (indexer_stuck_seconds{{{OURS}}})", "{{chain}}"),
        unit="s",
        limits=limits.STUCK,
    ),
    number(
        "Lag",
        "Blocks behind the head.",
        Query(f"max by (chain) (indexer_block_lag{{{OURS}}})", "{{chain}}"),
        limits=limits.LAG,
    ),
    number(
        "Age of the newest block",
        "It grows whatever stands still: indexer, node, database or chain.",
        Query(f"max by (chain) (indexer_event_processing_delay_seconds{{{OURS}}})", "{{chain}}"),
        unit="s",
        limits=limits.DELAY,
    ),
    number(
        "Halted",
        "Writing has stopped until a person looks, because of what the chain did.",
        Query(f"max by (chain) (indexer_halted{{{OURS}}})", "{{chain}}"),
        limits=limits.ANY,
        meanings=((0, "no"), (1, "halted")),
    ),
    number(
        "Head read",
        "Time since any endpoint told its newest block.",
        Query(f"min by (chain) (indexer_seconds_since_head_read{{{OURS}}})", "{{chain}}"),
        unit="s",
        limits=limits.HEAD_READ,
    ),
    number(
        "Head changed",
        "Time since it became another block: the chain stands still, or every endpoint.",
        Query(f"min by (chain) (indexer_seconds_since_head_change{{{OURS}}})", "{{chain}}"),
        unit="s",
        limits=limits.HEAD_CHANGED,
    ),
    number(
        "Endpoints",
        "In use or away.",
        Query(f"max by (endpoint) (indexer_rpc_endpoint_up{{{OURS}}})", "{{endpoint}}"),
        start="red",
        limits=limits.THERE,
        meanings=((0, "away"), (1, "in use")),
    ),
    number(
        "Database",
        "Whether the indexer can write.",
        Query(f"min by (chain) (indexer_database_up{{{OURS}}})", "{{chain}}"),
        start="red",
        limits=limits.THERE,
        meanings=((0, "away"), (1, "writable")),
    ),
    number(
        "Free connections",
        "Of the indexer's pool: idle, or not opened yet.",
        Query(
            f"min by (chain) (indexer_database_pool_max_connections{{{OURS}}} - "
            f"indexer_database_pool_connections{{{OURS}}} + indexer_database_pool_idle_connections{{{OURS}}})",
            "{{chain}}",
        ),
        start="red",
        limits=(Limit(1, "green"),),
    ),
    number(
        "Leaders",
        "Processes that write: one for each chain.",
        Query(f"sum by (chain) (indexer_leader{{{OURS}}})", "{{chain}}"),
        start="red",
        limits=(Limit(1, "green"), Limit(2, "red")),
    ),
    number(
        "Backfill stuck for",
        "Without a range written though ranges are missing and a node answers.",
        Query(f"max by (chain) (indexer_backfill_stuck_seconds{{{OURS}}})", "{{chain}}"),
        unit="s",
        limits=limits.BACKFILL_STUCK,
    ),
    number(
        "Differences of the newest audit",
        "Rows missing, extra or altered.",
        Query(f"max by (chain) (indexer_audit_differences{{{OURS}}})", "{{chain}}"),
        limits=limits.ANY,
    ),
)

COURSE = (
    graph(
        "Lag and stuck time",
        "When did it begin?",
        Query(f"max by (chain) (indexer_block_lag{{{OURS}}})", "lag in blocks {{chain}}"),
        Query(f"max by (chain) (indexer_stuck_seconds{{{OURS}}})", "stuck in seconds {{chain}}"),
    ),
    graph(
        "Errors of the indexer",
        "Those that interrupted its work, in the time of a point.",
        Query(more("error_type", "indexer_errors_total", OURS), "{{error_type}}"),
        stacked=True,
    ),
    graph(
        "Calls to the nodes that went wrong",
        "In the time of a point, by how they ended.",
        Query(
            more("endpoint, outcome", "indexer_rpc_requests_total", f'{OURS}, outcome!="ok"')
            + f" or 0 * sum by (endpoint) (indexer_rpc_endpoint_up{{{OURS}}})",
            "{{endpoint}} {{outcome}}",
        ),
        stacked=True,
    ),
    graph(
        "What is up",
        "By job: the share of its targets that answer the scrape.",
        Query("avg by (job) (up)", "{{job}}"),
        most=1,
    ),
    graph(
        "Alerts delivered",
        "Messages of Alertmanager a second, by where they went, and those that failed.",
        Query(f"sum by (integration) (rate(alertmanager_notifications_total[{RATE}]))", "{{integration}}"),
        Query(
            f"sum by (integration) (rate(alertmanager_notifications_failed_total[{RATE}]))",
            "failed: {{integration}}",
        ),
        unit="cps",
    ),
    graph(
        "Alerts that reached the indexer",
        "Through its webhook, in the time of a point.",
        Query(
            f"sum by (status) (increase(indexer_alerts_received_total[{RATE}]))",
            "{{status}}",
        ),
    ),
)

INCIDENT = Board(
    uid="indexer-incident",
    file="incident.json",
    title="Incident",
    question="What is wrong at this moment, since when, and where is the runbook?",
    variables=(CHAIN, Written("docs_url", "Documentation", "https://docs.example.com/evm-indexer")),
    refresh="10s",
    rows=(Row("Alerts", ALERTS), Row("Signs", SIGNS), Row("Since when", COURSE)),
)
