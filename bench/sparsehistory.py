"""Requests for a long history with few logs, against the fewest that the node's longest range allows."""

from __future__ import annotations

import json
from dataclasses import asdict
from statistics import median

from bench.remote import Run


def report(runs: list[Run], *, as_json: bool) -> None:
    """Print the numbers of calls, as Markdown or as JSON."""
    asked = [run.counts["by_method"]["eth_getLogs"] for run in runs]
    if as_json:
        told = [
            asdict(run) | {"over": each / run.least_ranges - 1} for run, each in zip(runs, asked, strict=True)
        ]
        print(json.dumps({"runs": told}))
        return
    run = runs[0]
    print(f"{run.blocks:,} blocks with {run.events:,} logs, {len(runs)} runs:\n")
    print("| | least possible | median | least | most |\n|---|---|---|---|---|")
    values: dict[str, tuple[str, list[int]]] = {
        "ranges asked for (eth_getLogs)": (f"{run.least_ranges:,}", asked),
        "of these refused": ("0", [each.refused() for each in runs]),
        "headers (eth_getBlockByNumber)": ("", [r.counts["by_method"]["eth_getBlockByNumber"] for r in runs]),
        "chain ids (eth_chainId)": ("", [r.counts["by_method"]["eth_chainId"] for r in runs]),
        "calls": (f"{run.least_calls:,}", [r.counts["calls"] for r in runs]),
        "requests": ("", [r.counts["requests"] for r in runs]),
    }
    for what, (fewest, some) in values.items():
        print(f"| {what} | {fewest} | {median(some):,.0f} | {min(some):,} | {max(some):,} |")
    seconds = [r.seconds for r in runs]
    print(f"| seconds | | {median(seconds):.1f} | {min(seconds):.1f} | {max(seconds):.1f} |")
    over = median(asked) / run.least_ranges - 1
    print(f"\n{over:.1%} more ranges than the fewest possible.")
