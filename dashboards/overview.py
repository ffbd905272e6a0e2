"""Overview: is the platform well, on one page that anybody can read?"""

from __future__ import annotations

from dashboards import limits
from dashboards.board import CHAIN, RATE, Board, Limit, Panel, Query, Row, graph, number
from dashboards.counting import failed_share, percentiles

API = "takumi_http_requests_total"
API_BUCKETS = "takumi_http_request_duration_seconds_bucket"


NOW: tuple[Panel, ...] = (
    number(
        "Critical alerts",
        "How many are firing; the Incident board has their names.",
        Query('count(ALERTS{alertstate="firing", severity="critical"}) or vector(0)'),
        limits=limits.ANY,
    ),
    number(
        "Indexers up",
        "Processes that answer the scrape, standbys included.",
        Query('sum(up{job="indexer"})'),
        start="red",
        limits=limits.THERE,
    ),
    number(
        "Lag",
        "Blocks between the node's head and the newest indexed block. IndexerLag: more than 100 for 10 minutes.",
        Query('max by (chain) (indexer_block_lag{chain=~"$chain"})', "{{chain}}"),
        limits=limits.LAG,
    ),
    number(
        "Age of the newest block",
        "Time since the block that was indexed last. EventProcessingDelay: more than 300 s for 15 minutes.",
        Query('max by (chain) (indexer_event_processing_delay_seconds{chain=~"$chain"})', "{{chain}}"),
        unit="s",
        limits=limits.DELAY,
    ),
    number(
        "Nodes answering",
        "Share of the RPC endpoints that are being used.",
        Query('avg by (chain) (indexer_rpc_endpoint_up{chain=~"$chain"})', "{{chain}}"),
        unit="percentunit",
        start="red",
        limits=(Limit(0.001, "yellow"), Limit(1, "green")),
    ),
    number(
        "Database",
        "Whether the indexer can write.",
        Query('min by (chain) (indexer_database_up{chain=~"$chain"})', "{{chain}}"),
        start="red",
        limits=limits.THERE,
        meanings=((0, "away"), (1, "writable")),
    ),
)

INDEXER: tuple[Panel, ...] = (
    graph(
        "Indexer block height",
        "The node's head, what is indexed, and what is final.",
        Query('max by (chain) (indexer_head_block_number{chain=~"$chain"})', "head {{chain}}"),
        Query('max by (chain) (indexer_indexed_block_number{chain=~"$chain"})', "indexed {{chain}}"),
        Query('max by (chain) (indexer_finalized_block_number{chain=~"$chain"})', "final {{chain}}"),
        unit="none",
        least=None,
    ),
    graph(
        "Event processing lag",
        "Blocks behind the head; it grows while the indexer stands still.",
        Query('max by (chain) (indexer_block_lag{chain=~"$chain"})', "{{chain}}"),
        limits=limits.LAG,
    ),
    graph(
        "Events indexed",
        "Events written a second, by contract.",
        Query(f'sum by (contract) (rate(indexer_events_total{{chain=~"$chain"}}[{RATE}]))', "{{contract}}"),
        unit="cps",
        stacked=True,
    ),
)

PLATFORM: tuple[Panel, ...] = (
    graph(
        "HTTP request rate",
        "Requests to the platform's API a second, by route.",
        Query(f"sum by (route) (rate({API}[{RATE}]))", "{{route}}"),
        unit="reqps",
        stacked=True,
    ),
    graph(
        "Response latency",
        "Of the platform's API. SlowAPIResponse: p95 over 2 s for 10 minutes.",
        *percentiles(API_BUCKETS),
        unit="s",
        limits=limits.API_SECONDS,
    ),
    graph(
        "Error rate",
        "Share of the API's answers that were errors. HighErrorRate: more than 5% of 5xx for 5 minutes.",
        Query(
            f'(sum(rate({API}{{status=~"5.."}}[{RATE}])) or vector(0)) / (sum(rate({API}[{RATE}])) > 0)',
            "5xx",
        ),
        Query(
            f'(sum(rate({API}{{status=~"4.."}}[{RATE}])) or vector(0)) / (sum(rate({API}[{RATE}])) > 0)',
            "4xx",
        ),
        unit="percentunit",
        limits=limits.API_ERRORS,
    ),
    graph(
        "The indexer's own pages",
        "Requests to its HTTP server a second, by page and status.",
        Query(f"sum by (path, status) (rate(indexer_http_requests_total[{RATE}]))", "{{path}} {{status}}"),
        unit="reqps",
        stacked=True,
        width=6,
    ),
    graph(
        "Pages and probes",
        "Whether a probe from outside was answered as it should be.",
        Query('probe_success{job="blackbox"}', "{{probe}} {{instance}}"),
        most=1,
        width=6,
    ),
    number(
        "Certificates",
        "Time until the certificate of a page ends. CertificateExpiring: less than 14 days, 3 days: critical.",
        Query('min by (instance) (probe_ssl_earliest_cert_expiry{job="blackbox"}) - time()', "{{instance}}"),
        unit="s",
        start="red",
        limits=limits.CERTIFICATE,
        width=6,
        height=8,
    ),
    graph(
        "Time a probe took",
        "From the look-up of the name to the last byte.",
        Query('probe_duration_seconds{job="blackbox"}', "{{probe}} {{instance}}"),
        unit="s",
        width=6,
    ),
)

CONTRACTS: tuple[Panel, ...] = (
    graph(
        "Contract transactions",
        "Transactions to the watched contracts a second, by how they ended.",
        Query(f'sum by (status) (rate(indexer_contract_tx_total{{chain=~"$chain"}}[{RATE}]))', "{{status}}"),
        unit="cps",
        stacked=True,
    ),
    graph(
        "Contract error rate",
        "Share of failed transactions. HighContractFailureRate: more than 10% for 10 minutes; more than 30%: critical.",
        Query(failed_share("contract"), "{{contract}}"),
        unit="percentunit",
        limits=limits.CONTRACT_FAILURES,
        most=1,
    ),
    graph(
        "Gas price",
        "Mean of the newest 20 blocks.",
        Query('max by (chain) (indexer_avg_gas_price{chain=~"$chain"})', "{{chain}}"),
        unit="suffix: gwei",
    ),
)

STORES: tuple[Panel, ...] = (
    graph(
        "Database connections",
        "Open connections, against what the server allows.",
        Query("sum(pg_stat_activity_count)", "open"),
        Query("max(pg_settings_max_connections)", "allowed"),
        Query('sum(indexer_database_pool_connections{chain=~"$chain"})', "the indexer's"),
    ),
    graph(
        "Cache hit rate",
        "Keys that Redis had, of those it was asked for.",
        Query(
            f"sum(rate(redis_keyspace_hits_total[{RATE}])) / "
            f"(sum(rate(redis_keyspace_hits_total[{RATE}])) + sum(rate(redis_keyspace_misses_total[{RATE}])) > 0)",
            "hits",
        ),
        unit="percentunit",
        most=1,
    ),
    graph(
        "CPU and memory of the hosts",
        "Share in use.",
        Query(
            f'1 - avg by (instance) (rate(node_cpu_seconds_total{{mode="idle"}}[{RATE}]))', "CPU {{instance}}"
        ),
        Query("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "memory {{instance}}"),
        unit="percentunit",
        limits=limits.CPU,
        most=1,
    ),
)

OVERVIEW = Board(
    uid="indexer-overview",
    file="takumi-dashboard.json",
    title="Takumi Overview",
    question="Is the platform well: indexer, API, contracts, database, hosts?",
    variables=(CHAIN,),
    rows=(
        Row("Now", NOW),
        Row("The indexer", INDEXER),
        Row("API, pages and probes", PLATFORM),
        Row("Contracts", CONTRACTS),
        Row("Database, cache and hosts", STORES),
    ),
)
