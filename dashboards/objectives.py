"""SLO: are freshness and completeness what we promise, and how fast is the error budget spent?"""

from __future__ import annotations

from dashboards.board import CHAIN, Board, Limit, Panel, Query, Row, graph, number, words

OURS = 'chain=~"$chain"'
#: As monitoring/rules/recording.yml measures them: an index is fresh while its newest block is younger.
FRESH_SECONDS = 60
#: Shares of the time, and of the proofs, that are to be good over 30 days.
FRESHNESS, COMPLETENESS = 0.995, 0.999
#: The windows of the alerts' pairs: both of a pair over their limit page somebody, or make a ticket.
PAGED, TICKETED = ("5m", "1h", "30m", "6h"), ("2h", "1d", "6h", "3d")

COVERED = (
    f"sum by (chain) (indexer_coverage_blocks{{{OURS}}}) / "
    f"(sum by (chain) (indexer_coverage_blocks{{{OURS}}}) + sum by (chain) (indexer_gap_blocks{{{OURS}}}) > 0)"
)

LEFT = (Limit(0, "orange"), Limit(0.25, "yellow"), Limit(0.5, "green"))
PAGES = (Limit(1, "yellow"), Limit(6, "orange"), Limit(14.4, "red"))
TICKETS = (Limit(1, "yellow"), Limit(3, "orange"))


def bad(promise: str, window: str) -> str:
    """The recorded share of the window in which the promise was not kept."""
    return f"indexer:slo_{promise}:bad_{window}{{{OURS}}}"


def burn(promise: str, objective: float, window: str) -> Query:
    """How many times as fast as the budget allows it is spent: 1 uses it up in exactly 30 days."""
    return Query(f"{bad(promise, window)} / {1 - objective:.4g}", f"{window} {{{{chain}}}}")


def kept(promise: str, objective: float, title: str, description: str) -> tuple[Panel, ...]:
    """The promise over 30 days, its budget, how fast it is spent now, and the two pairs of windows."""
    return (
        number(
            title,
            f"{description} Promised: {objective:.1%} of 30 days.",
            Query(f"1 - {bad(promise, '30d')}", "{{chain}}"),
            unit="percentunit",
            start="red",
            limits=(Limit(objective, "green"),),
            width=6,
        ),
        number(
            "Budget left",
            "Of what may be bad in 30 days; below 0 the promise is broken.",
            Query(f"1 - {bad(promise, '30d')} / {1 - objective:.4g}", "{{chain}}"),
            unit="percentunit",
            start="red",
            limits=LEFT,
            width=6,
        ),
        number(
            "Burning, last hour",
            "1: the budget lasts 30 days; 14.4: two days.",
            burn(promise, objective, "1h"),
            unit="none",
            limits=PAGES,
            width=6,
        ),
    )


def burning(promise: str, objective: float) -> tuple[Panel, ...]:
    """The burn rates of the alerts."""
    return (
        graph(
            "Burn rate: pages",
            "Both windows of a pair above 14.4 (5m, 1h) or 6 (30m, 6h) page somebody.",
            *(burn(promise, objective, window) for window in PAGED),
            unit="none",
            limits=PAGES,
            width=12,
        ),
        graph(
            "Burn rate: tickets",
            "Both windows of a pair above 3 (2h, 1d) or 1 (6h, 3d) make a ticket.",
            *(burn(promise, objective, window) for window in TICKETED),
            unit="none",
            limits=TICKETS,
            width=12,
        ),
    )


FRESHNESS_PANELS = (
    *kept(
        "freshness",
        FRESHNESS,
        "Fresh, over 30 days",
        f"Share of the time in which the newest block was younger than {FRESH_SECONDS} s.",
    ),
    number(
        "Age of the newest block",
        "Now.",
        Query(f"max by (chain) (indexer_event_processing_delay_seconds{{{OURS}}})", "{{chain}}"),
        unit="s",
        limits=(Limit(FRESH_SECONDS, "red"),),
        width=6,
    ),
    *burning("freshness", FRESHNESS),
)

COMPLETENESS_PANELS = (
    *kept(
        "completeness",
        COMPLETENESS,
        "Complete, over 30 days",
        "Share of the followed blocks that nodes told whole, as the block's hash proves.",
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
    *burning("completeness", COMPLETENESS),
)

MEANING = f"""\
* **Freshness**: the newest indexed block is younger than {FRESH_SECONDS} s for {FRESHNESS:.1%} of the time, seen by the
  reader's clock: a chain that halts, a node that is away, and an indexer that is gone count.
* **Completeness**: {COMPLETENESS:.1%} of the blocks that a node tells us are whole at the first time of asking. A wrong
  answer is thrown away and asked for again: it is never indexed. What is in the database is audited apart from that.
* A **burn rate** of 1 spends the budget in 30 days. The alerts look at the same recorded series.
"""

SLO = Board(
    uid="indexer-slo",
    file="slo.json",
    title="SLO",
    question="Is the index as fresh and as complete as we promise, and how fast is the error budget spent?",
    variables=(CHAIN,),
    since="now-24h",
    refresh="1m",
    rows=(
        Row("Freshness", FRESHNESS_PANELS),
        Row("Completeness", COMPLETENESS_PANELS),
        Row("What the words mean", (words("", MEANING, width=24, height=5),)),
    ),
)
