"""Blockchain: what happens on the chain, and how far we are with it."""

from __future__ import annotations

from dashboards import limits
from dashboards.board import CHAIN, RATE, SHOWN, Board, Choice, Query, Row, graph, number, table
from dashboards.counting import failed_share

OURS = 'chain=~"$chain"'
CONTRACT = 'chain=~"$chain", contract=~"$contract"'
#: What a contract announces when those who govern it change it.
GOVERNANCE = "Paused|Unpaused|CallScheduled|CallExecuted|Upgraded|MinDelayChange|OwnershipTransferred"

NOW = (
    number(
        "Gas price",
        "Mean of the newest 20 blocks.",
        Query(f"max by (chain) (indexer_avg_gas_price{{{OURS}}})", "{{chain}}"),
        unit="suffix: gwei",
        start="blue",
    ),
    number(
        "Head",
        "The node's newest block.",
        Query(f"max by (chain) (indexer_head_block_number{{{OURS}}})", "{{chain}}"),
        unit="none",
        start="blue",
    ),
    number(
        "Indexed",
        "The newest block in the database.",
        Query(f"max by (chain) (indexer_indexed_block_number{{{OURS}}})", "{{chain}}"),
        unit="none",
        start="blue",
    ),
    number(
        "Lag",
        "Blocks between the two.",
        Query(f"max by (chain) (indexer_block_lag{{{OURS}}})", "{{chain}}"),
        limits=limits.LAG,
    ),
    number(
        "Since the head changed",
        "ChainHalted: 300 s, while nodes answer.",
        Query(f"min by (chain) (indexer_seconds_since_head_change{{{OURS}}})", "{{chain}}"),
        unit="s",
        limits=limits.HEAD_CHANGED,
    ),
    number(
        "Failed transactions",
        "Share of the transactions to the watched contracts.",
        Query(failed_share("chain"), "{{chain}}"),
        unit="percentunit",
        limits=limits.CONTRACT_FAILURES,
    ),
)

CHAIN_ITSELF = (
    graph(
        "Gas price",
        "AnomalousGasSpike compares it with three times the mean of the hour before.",
        Query(f"max by (chain) (indexer_avg_gas_price{{{OURS}}})", "now {{chain}}"),
        Query(
            f"max by (chain) (avg_over_time(indexer_avg_gas_price{{{OURS}}}[1h]))",
            "mean of an hour {{chain}}",
        ),
        unit="suffix: gwei",
    ),
    graph(
        "Block height",
        "Head, indexed and final block.",
        Query(f"max by (chain) (indexer_head_block_number{{{OURS}}})", "head {{chain}}"),
        Query(f"max by (chain) (indexer_indexed_block_number{{{OURS}}})", "indexed {{chain}}"),
        Query(f"max by (chain) (indexer_finalized_block_number{{{OURS}}})", "final {{chain}}"),
        unit="none",
        least=None,
    ),
    graph(
        "New blocks",
        "Blocks a minute: below 0 where the head went back.",
        Query(f"60 * max by (chain) (deriv(indexer_head_block_number{{{OURS}}}[{RATE}]))", "{{chain}}"),
        least=None,
    ),
    graph(
        "Event processing lag",
        "In blocks.",
        Query(f"max by (chain) (indexer_block_lag{{{OURS}}})", "{{chain}}"),
        limits=limits.LAG,
    ),
    graph(
        "Event processing delay",
        "Age of the newest indexed block.",
        Query(f"max by (chain) (indexer_event_processing_delay_seconds{{{OURS}}})", "{{chain}}"),
        unit="s",
        limits=limits.DELAY,
    ),
    graph(
        "Reorgs",
        "How many, and how many events they took back, in the time of a point.",
        Query(f"sum by (chain) (increase(indexer_reorgs_total{{{OURS}}}[{RATE}]))", "reorgs {{chain}}"),
        Query(
            f"sum by (chain) (increase(indexer_reorg_removed_events_total{{{OURS}}}[{RATE}]))",
            "events taken back {{chain}}",
        ),
    ),
)

TRANSACTIONS = (
    graph(
        "Transactions by outcome",
        "To the watched contracts, a second.",
        Query(f"sum by (status) (rate(indexer_contract_tx_total{{{CONTRACT}}}[{RATE}]))", "{{status}}"),
        unit="cps",
        stacked=True,
    ),
    graph(
        "Failure rate by contract",
        "Yellow from 10%, orange from 15%, red from 30%, as the alerts are.",
        Query(failed_share("contract"), "{{contract}}"),
        unit="percentunit",
        limits=limits.CONTRACT_FAILURES,
        most=1,
    ),
    graph(
        "Failures by reason",
        "A second.",
        Query(
            f"sum by (contract, reason) (rate(indexer_contract_tx_failed_total{{{CONTRACT}}}[{RATE}]))",
            "{{contract}} {{reason}}",
        ),
        unit="cps",
        stacked=True,
    ),
)

EVENTS = (
    graph(
        "Events by contract",
        "Written a second.",
        Query(f"sum by (contract) (rate(indexer_events_total{{{CONTRACT}}}[{RATE}]))", "{{contract}}"),
        unit="cps",
        stacked=True,
    ),
    graph(
        "Events by type",
        "Written a second; the ten most frequent.",
        Query(
            f"topk(10, sum by (contract, event_type) (rate(indexer_events_total{{{CONTRACT}}}[{RATE}])))",
            "{{contract}}.{{event_type}}",
        ),
        unit="cps",
    ),
    table(
        "Events in the time shown",
        "By contract and type.",
        Query(
            f"sort_desc(sum by (contract, event_type) (increase(indexer_events_total{{{CONTRACT}}}[{SHOWN}])))"
        ),
        width=8,
    ),
)

GOVERNED = (
    table(
        "Governance events in the time shown",
        "Pauses, timelock calls, upgrades, new owners.",
        Query(
            "sort_desc(sum by (contract, event_type) "
            f'(increase(indexer_events_total{{{CONTRACT}, event_type=~"{GOVERNANCE}"}}[{SHOWN}])))'
        ),
    ),
    table(
        "Administrators in the time shown",
        "Administrator roles granted and revoked.",
        Query(
            f"sort_desc(sum by (contract, change) (increase(indexer_admin_changes_total{{{CONTRACT}}}[{SHOWN}])))"
        ),
    ),
)

BLOCKCHAIN = Board(
    uid="indexer-blockchain",
    file="blockchain.json",
    title="Blockchain",
    question="What happens on the chain and to the contracts, and how far is the indexer with it?",
    variables=(CHAIN, Choice("contract", "Contract", "indexer_events_total")),
    rows=(
        Row("Now", NOW),
        Row("The chain", CHAIN_ITSELF),
        Row("Transactions to the contracts", TRANSACTIONS),
        Row("Events", EVENTS),
        Row("Who governs the contracts", GOVERNED),
    ),
)
