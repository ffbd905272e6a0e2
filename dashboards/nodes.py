"""RPC endpoints, proofs and reorgs: the rows of the internals board on what the nodes say."""

from __future__ import annotations

from dashboards import limits
from dashboards.board import Query, graph, number
from dashboards.counting import more, per_second, quantile

OURS = 'chain=~"$chain"'
ENDPOINT = 'chain=~"$chain", endpoint=~"$endpoint"'
LIMITED = f'{ENDPOINT}, outcome="rate_limited"'
CALLS = per_second("endpoint", "indexer_rpc_requests_total", ENDPOINT)


NODES = (
    number(
        "In use",
        "Whether the endpoint answers as it should.",
        Query(f"max by (endpoint) (indexer_rpc_endpoint_up{{{ENDPOINT}}})", "{{endpoint}}"),
        start="red",
        limits=limits.THERE,
        meanings=((0, "away"), (1, "in use")),
        width=8,
    ),
    number(
        "Behind the best",
        "Blocks between the highest head of all endpoints and this one's. RpcDisagreement: more than 50.",
        Query(
            f"max by (chain) (indexer_rpc_endpoint_head_block_number{{{OURS}}}) - on (chain) group_right () "
            f"max by (chain, endpoint) (indexer_rpc_endpoint_head_block_number{{{ENDPOINT}}})",
            "{{endpoint}}",
        ),
        limits=limits.HEADS_APART,
        width=8,
    ),
    number(
        "Rate limited",
        "Share of the calls. RpcRateLimited: more than 5% for 10 minutes.",
        Query(
            f"({per_second('endpoint', 'indexer_rpc_requests_total', LIMITED)} or 0 * {CALLS}) / ({CALLS} > 0)",
            "{{endpoint}}",
        ),
        unit="percentunit",
        limits=limits.RATE_LIMITED,
        width=8,
    ),
    graph(
        "Calls by outcome",
        "A second.",
        Query(
            per_second("endpoint, outcome", "indexer_rpc_requests_total", ENDPOINT),
            "{{endpoint}} {{outcome}}",
        ),
        unit="reqps",
        stacked=True,
    ),
    graph(
        "Time of a call, p95",
        "By endpoint: from sending the call to having its answer.",
        Query(
            quantile(0.95, f"indexer_rpc_request_duration_seconds_bucket{{{ENDPOINT}}}", "endpoint"),
            "{{endpoint}}",
        ),
        unit="s",
    ),
    graph(
        "Time of a call by method, p95",
        "Over all endpoints chosen.",
        Query(
            quantile(0.95, f"indexer_rpc_request_duration_seconds_bucket{{{ENDPOINT}}}", "method"),
            "{{method}}",
        ),
        unit="s",
    ),
    graph(
        "Bytes received",
        "A second.",
        Query(per_second("endpoint", "indexer_rpc_received_bytes_total", ENDPOINT), "{{endpoint}}"),
        unit="Bps",
    ),
    graph(
        "Bytes sent",
        "A second.",
        Query(per_second("endpoint", "indexer_rpc_sent_bytes_total", ENDPOINT), "{{endpoint}}"),
        unit="Bps",
    ),
    graph(
        "Head of each endpoint",
        "The newest block it has shown.",
        Query(f"max by (endpoint) (indexer_rpc_endpoint_head_block_number{{{ENDPOINT}}})", "{{endpoint}}"),
        unit="none",
        least=None,
    ),
)

PROOFS = (
    graph(
        "Blocks proved",
        "Followed blocks whose receipts were held against the block's hash, a second. Any wrong one is an alert.",
        Query(
            per_second("endpoint, verdict", "indexer_block_proofs_total", ENDPOINT),
            "{{endpoint}} {{verdict}}",
        ),
        unit="cps",
        stacked=True,
    ),
    graph(
        "Headers proved",
        "Headers read without receipts, a second.",
        Query(
            per_second("endpoint, verdict", "indexer_header_proofs_total", ENDPOINT),
            "{{endpoint}} {{verdict}}",
        ),
        unit="cps",
        stacked=True,
    ),
    graph(
        "Answers thrown away, and blocks asked again",
        "Where another source, or the block's bloom filter, contradicts; in the time of a point.",
        Query(
            more("endpoint, kind", "indexer_rpc_disagreements_total", ENDPOINT)
            + f" or 0 * sum by (endpoint) (indexer_rpc_endpoint_up{{{ENDPOINT}}})",
            "thrown away {{endpoint}} {{kind}}",
        ),
        Query(more("outcome", "indexer_bloom_rechecks_total", OURS), "asked again: {{outcome}}"),
    ),
    graph(
        "Reorgs",
        "In the time of a point.",
        Query(more("chain", "indexer_reorgs_total", OURS), "reorgs {{chain}}"),
        Query(more("chain", "indexer_reorg_removed_events_total", OURS), "events taken back {{chain}}"),
    ),
    graph(
        "Depth of reorgs",
        "How many reached each depth, in the time of a point. DeepReorg: more than 10 blocks.",
        Query(more("le", "indexer_reorg_depth_bucket", OURS), "up to {{le}}"),
    ),
    graph(
        "Undecoded logs and errors",
        "Logs that could not be made a row, or only with loss, and errors that interrupted the work; "
        "in the time of a point.",
        Query(more("contract, reason", "indexer_undecoded_logs_total", OURS), "{{contract}}: {{reason}}"),
        Query(more("error_type", "indexer_errors_total", OURS), "error: {{error_type}}"),
    ),
)
