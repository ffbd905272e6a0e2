"""The documentation of the metrics, made from the catalogue."""

from __future__ import annotations

from indexer.metrics import labels
from indexer.metrics.catalogue import GROUPS
from indexer.metrics.spec import CHAIN_LABEL, MetricSpec

_PREFACE = f"""# Metrics

This page is generated from the catalogue in `indexer/metrics/catalogue.py` by
`python -m indexer.metrics > docs/metrics.md`; a test keeps it fresh.

`GET /metrics` answers in the Prometheus text format, or in OpenMetrics where the `Accept` header asks for it.
A scrape reads memory and nothing else: it works while the node or the database is down, and lag and delay go
on growing then. Every series carries the label `{CHAIN_LABEL}`: `chain.name`, else `chain.id`, else the id
that the node told. A number that is not known yet has no series. Counters begin at 0 with the process.

Labels are bounded: contracts and events come from the configuration, endpoints are named and never given by
URL, and what is not in the lists at the end of this page counts as `{labels.OTHER}`.
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [_PREFACE]
    for title, specs in GROUPS:
        parts.append(f"## {title}\n\n" + "\n".join(_entry(spec) for spec in specs))
    parts.append(_label_values())
    parts.append(
        "## The process\n\n"
        "`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`, "
        "`process_start_time_seconds`, `process_open_fds`, `process_max_fds`, `python_info` and "
        "`python_gc_…`, as every Python exporter has them.\n"
    )
    return "\n".join(parts)


def _entry(spec: MetricSpec) -> str:
    own = ", ".join(f"`{label}`" for label in spec.labels) or "none of its own"
    lines = [
        f"### `{spec.name}`\n",
        f"{spec.help}\n",
        f"* {spec.kind}, in {spec.unit}; labels: {own}",
        f"* moves: {spec.moves}",
    ]
    if spec.buckets:
        lines.append("* buckets: " + ", ".join(f"{bound:g}" for bound in spec.buckets))
    return "\n".join(lines) + "\n"


def _label_values() -> str:
    rows = [
        ("`error_type`", labels.ERROR_TYPES),
        ("`status`", labels.STATUSES),
        ("`reason` of `indexer_halted`", labels.HALTS),
        ("`reason` of `indexer_contract_tx_failed_total`", labels.FAILURES),
        ("`reason` of `indexer_undecoded_logs_total`", labels.UNDECODED_REASONS),
        ("`level`", labels.LEVELS),
        ("`reason` of `indexer_log_shipping_dropped_total`", labels.LOG_DROPS),
        ("`method`", labels.METHODS),
        ("`outcome`", labels.OUTCOMES),
    ]
    listed = [f"* {name}: " + ", ".join(f"`{value}`" for value in sorted(values)) for name, values in rows]
    return "## Values of labels\n\n" + "\n".join(listed) + "\n"
