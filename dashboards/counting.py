"""PromQL that the boards have in common: rates, growths, quantiles and shares."""

from __future__ import annotations

from dashboards.board import RATE, Query


def per_second(labels: str, counter: str, selector: str) -> str:
    """A counter's growth a second, summed for each value of these labels; the selector stands in the braces."""
    return f"sum by ({labels}) (rate({counter}{{{selector}}}[{RATE}]))"


def more(labels: str, counter: str, selector: str) -> str:
    """A counter's growth in the time of a point, summed for each value of these labels."""
    return f"sum by ({labels}) (increase({counter}{{{selector}}}[{RATE}]))"


def quantile(share: float, buckets: str, by: str = "") -> str:
    """The quantile of a histogram's newest observations, over all its series or by one label."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({buckets}[{RATE}])))"


def percentiles(buckets: str) -> tuple[Query, ...]:
    """The median, and the two percentiles of the slow ones."""
    return tuple(
        Query(quantile(share, buckets), name) for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


def failed_share(by: str) -> str:
    """Failed transactions among all, for each value of the label; nothing where there were none."""
    failed = per_second(by, "indexer_contract_tx_total", 'chain=~"$chain", status="failed"')
    every = per_second(by, "indexer_contract_tx_total", 'chain=~"$chain"')
    return f"{failed} / ({every} > 0)"
