"""SLO: are freshness and completeness what we promise, and how fast is the error budget spent?"""

from __future__ import annotations

from dashboards.board import CHAIN, Board, Limit, Precision, Query, Row, graph, number, words

OURS = 'chain=~"$chain"'
#: An index is fresh while its newest block is younger.
FRESH_SECONDS = 60
#: Shares of the time, or of the proofs, that are to be good over 30 days.
FRESHNESS, COMPLETENESS = 0.99, 0.999
WINDOW = "30d"
#: Windows of the burn rates: pairs page, or make a ticket, when both are over their limit.
PAGED, TICKETED = ("5m", "1h", "30m", "6h"), ("2h", "1d", "6h", "3d")

FRESH = f"(max by (chain) (indexer_event_processing_delay_seconds{{{OURS}}}) < bool {FRESH_SECONDS})"


def fresh(window: str) -> str:
    """Share of the time in which the index was fresh; time in which nothing was scraped does not count."""
    return f"avg_over_time({FRESH}[{window}:$precision])"


def wrong(window: str) -> str:
    """Share of the followed blocks whose receipts were not those that the block's hash commits to."""
    bad = f'sum by (chain) (increase(indexer_block_proofs_total{{{OURS}, verdict="wrong"}}[{window}]))'
    every = f"sum by (chain) (increase(indexer_block_proofs_total{{{OURS}}}[{window}]))"
    return f"(({bad} or 0 * {every}) / ({every} > 0))"


COVERED = (
    f"sum by (chain) (indexer_coverage_blocks{{{OURS}}}) / "
    f"(sum by (chain) (indexer_coverage_blocks{{{OURS}}}) + sum by (chain) (indexer_gap_blocks{{{OURS}}}) > 0)"
)


def burn(share_of_bad: str, objective: float) -> str:
    """How many times as fast as the budget allows it is spent: 1 uses it up in exactly 30 days."""
    return f"{share_of_bad} / {1 - objective:.4g}"


def budget(share_of_bad: str, objective: float) -> str:
    """The share of the budget of 30 days that is left; below 0 the objective is missed."""
    return f"1 - {share_of_bad} / {1 - objective:.4g}"


LEFT = (Limit(0, "orange"), Limit(0.25, "yellow"), Limit(0.5, "green"))
BURNING = (Limit(1, "yellow"), Limit(6, "orange"), Limit(14.4, "red"))


def freshness_burns(windows: tuple[str, ...]) -> tuple[Query, ...]:
    return tuple(
        Query(burn(f"(1 - {fresh(window)})", FRESHNESS), f"{window} {{{{chain}}}}") for window in windows
    )


def completeness_burns(windows: tuple[str, ...]) -> tuple[Query, ...]:
    return tuple(Query(burn(wrong(window), COMPLETENESS), f"{window} {{{{chain}}}}") for window in windows)


FRESHNESS_PANELS = (
    number(
        "Fresh, over 30 days",
        f"Share of the time in which the newest block was younger than {FRESH_SECONDS} s; promised: {FRESHNESS:.3%}.",
        Query(fresh(WINDOW), "{{chain}}"),
        unit="percentunit",
        start="red",
        limits=(Limit(FRESHNESS, "green"),),
        width=6,
    ),
    number(
        "Budget left",
        "Of the time in which it may be older, in 30 days.",
        Query(budget(f"(1 - {fresh(WINDOW)})", FRESHNESS), "{{chain}}"),
        unit="percentunit",
        start="red",
        limits=LEFT,
        width=6,
    ),
    number(
        "Fresh now",
        "Age of the newest block.",
        Query(f"max by (chain) (indexer_event_processing_delay_seconds{{{OURS}}})", "{{chain}}"),
        unit="s",
        limits=(Limit(FRESH_SECONDS, "red"),),
        width=6,
    ),
    number(
        "Burning, last hour",
        "1: the budget lasts 30 days. 14.4: two days.",
        Query(burn(f"(1 - {fresh('1h')})", FRESHNESS), "{{chain}}"),
        unit="none",
        limits=BURNING,
        width=6,
    ),
    graph(
        "Burn rate: pages",
        "Both windows of a pair above 14.4 (5m, 1h) or 6 (30m, 6h) page somebody.",
        *freshness_burns(PAGED),
        limits=BURNING,
        width=12,
    ),
    graph(
        "Burn rate: tickets",
        "Both windows of a pair above 3 (2h, 1d) or 1 (6h, 3d) make a ticket.",
        *freshness_burns(TICKETED),
        limits=(Limit(1, "yellow"), Limit(3, "orange")),
        width=12,
    ),
)

COMPLETENESS_PANELS = (
    number(
        "Complete, over 30 days",
        "Share of the followed blocks whose receipts were those that the block's hash commits to; "
        f"promised: {COMPLETENESS:.3%}. A wrong answer is thrown away and asked for again: it is never indexed.",
        Query(f"1 - {wrong(WINDOW)}", "{{chain}}"),
        unit="percentunit",
        start="red",
        limits=(Limit(COMPLETENESS, "green"),),
        width=6,
    ),
    number(
        "Budget left",
        "Of the answers that may be wrong, in 30 days.",
        Query(budget(wrong(WINDOW), COMPLETENESS), "{{chain}}"),
        unit="percentunit",
        start="red",
        limits=LEFT,
        width=6,
    ),
    number(
        "Covered",
        "Share of the wanted blocks that are in the database; less than all while a backfill runs.",
        Query(COVERED, "{{chain}}"),
        unit="percentunit",
        start="red",
        limits=(Limit(0.5, "yellow"), Limit(1, "green")),
        width=6,
    ),
    number(
        "Differences of the newest audit",
        "Rows missing, extra or altered, the repaired ones included.",
        Query(f"max by (chain) (indexer_audit_differences{{{OURS}}})", "{{chain}}"),
        limits=(Limit(1, "red"),),
        width=6,
    ),
    graph(
        "Burn rate: pages",
        "Both windows of a pair above 14.4 (5m, 1h) or 6 (30m, 6h) page somebody.",
        *completeness_burns(PAGED),
        limits=BURNING,
        width=12,
    ),
    graph(
        "Covered",
        "Share of the wanted blocks that are in the database.",
        Query(COVERED, "{{chain}}"),
        unit="percentunit",
        most=1,
        width=12,
    ),
)

MEANING = f"""\
* **Freshness**: the newest indexed block is younger than {FRESH_SECONDS} s for {FRESHNESS:.2%} of 30 days, seen by the
  reader's clock: a chain that halts and a node that is away count.
* **Completeness**: {COMPLETENESS:.2%} of the blocks that a node tells us are whole at the first time of asking. What is
  in the database is proved apart from that, and any difference that an audit finds is an alert of its own.
* A **burn rate** of 1 spends the budget in 30 days. `Precision` is how often the past is looked at: finer is slower.
"""

SLO = Board(
    uid="indexer-slo",
    file="slo.json",
    title="SLO",
    question="Is the index as fresh and as complete as we promise, and how fast is the error budget spent?",
    variables=(CHAIN, Precision("precision", "Precision", ("1m", "5m", "15m"), "5m")),
    since="now-24h",
    refresh="1m",
    rows=(
        Row("Freshness", FRESHNESS_PANELS),
        Row("Completeness", COMPLETENESS_PANELS),
        Row("What the words mean", (words("", MEANING, width=24, height=5),)),
    ),
)
