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
that the node told. A number that is not known yet has no series.

Counters begin at 0 with the process, before there is a node or a database, with every value of their labels that can be
known then: contracts and events of the configuration, endpoints with each method and outcome. So the first event, error
or refusal is an increase that `increase()` sees. For that the chain's label has to be known from the start too: give
`chain.id` or `chain.name`; else series begin anew when the node has told the id, with what is counted until the next
scrape.

Labels are bounded: contracts and events come from the configuration, endpoints are named and never given by
URL, and what is not in the lists at the end of this page counts as `{labels.OTHER}`.

## OpenMetrics, exemplars and creation times

Prometheus asks for OpenMetrics by itself. There, and nowhere else, the buckets of `indexer_commit_duration_seconds` and
`indexer_event_processing_duration_seconds` carry an exemplar: `block`, the number of the block, or of the first one of
the range, that was seen last in the bucket. Prometheus keeps them with `--enable-feature=exemplar-storage`, and answers
`/api/v1/query_exemplars`; in Grafana they are the dots of a panel whose query has *Exemplars* switched on.

There are no `_created` series in either format. In the text format they would be ordinary series that double the page,
and Prometheus stores those of OpenMetrics just so unless it is told otherwise. What they are for is done in another
way: counters are exported at 0 from the start, and `process_start_time_seconds` tells a restart.

## What a scrape costs

Lines that did not change since the last scrape are not written again, and compression is the quickest that gzip has.
[performance.md](performance.md#a-scrape) has the figures for 100 contracts of 20 events each (3,700 lines, 350 kB, 21
kB compressed): a few milliseconds.

## A metric of your own

1. Declare it in `indexer/metrics/specs_indexed.py` (what is indexed) or `specs_edges.py` (the program, the node, the
   database), and name it in `GROUPS` of `catalogue.py`. Names follow Prometheus' custom: `indexer_` first, the unit in
   the name, `_total` for counters.

   ```python
   OPERATIONS = MetricSpec(
       "indexer_operations_total",
       "counter",  # or gauge, or histogram
       "operations",  # the unit
       "Operations, by kind.",  # what the number means
       "when one ends",  # what moves it
       ("kind",),  # labels, `chain` left out; after them a histogram has its buckets
   )
   ```

2. Tell it in a method of `Metrics` (`facts.py`), named after what happened; whoever knows the fact calls that:
   `self._instruments.counter(edges.OPERATIONS).labels(kind).inc()`, `gauge(…).set(value)`,
   `histogram(…).observe(seconds)`. A gauge that is cheap to compute is read at the scrape:
   `read(edges.SOMETHING, lambda: …)`.
3. Let no label take a value from outside unchecked: `labels.bounded(value, KNOWN)`. Begin the series that are known
   beforehand at 0 by naming their labels at the start; `tests/monitoring/test_starts_at_zero.py` asks which ones.
4. `python -m indexer.metrics > docs/metrics.md` writes this page anew. `tests/monitoring/test_contract.py` fails when a
   rule, a dashboard or a document asks for a name, label or value that the running program does not export.
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
        ("`outcome` of `indexer_bloom_rechecks_total`", labels.RECHECKS),
        ("`verdict`", labels.VERDICTS),
        ("`kind`", labels.DISAGREEMENTS),
        ("`stage`", labels.STAGES),
        ("`change`", labels.ADMIN_CHANGES),
    ]
    listed = [f"* {name}: " + ", ".join(f"`{value}`" for value in sorted(values)) for name, values in rows]
    return "## Values of labels\n\n" + "\n".join(listed) + "\n"
