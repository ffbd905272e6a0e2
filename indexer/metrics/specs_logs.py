"""The metrics of the program's own log."""

from __future__ import annotations

from indexer.metrics.spec import MetricSpec

RECORDS = MetricSpec(
    "indexer_log_records_total",
    "counter",
    "lines",
    "Lines of the program's own log, by level.",
    "when a line is written",
    ("level",),
)
SENT = MetricSpec(
    "indexer_log_shipping_sent_total",
    "counter",
    "lines",
    "Log lines given to the connection to Logstash.",
    "when a line is sent",
)
DROPPED = MetricSpec(
    "indexer_log_shipping_dropped_total",
    "counter",
    "lines",
    "Log lines that Logstash did not get; standard error has them.",
    "when a line is dropped: the queue is full, it is too large or not writable, or the program ends",
    ("reason",),
)
QUEUED = MetricSpec(
    "indexer_log_shipping_queued_records",
    "gauge",
    "lines",
    "Log lines that wait for Logstash; 0 where none is configured.",
    "at the scrape",
)
