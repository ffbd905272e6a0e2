"""The metrics: names, labels, figures that move when they should, and a page that Prometheus accepts."""

from __future__ import annotations

import math
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from indexer.core.abi import events_of_abi
from indexer.core.errors import BelowFinality, IndexerError, TooMuch, Unavailable
from indexer.core.model import BlockId, Encoded, FollowedBlock, Header, Transaction, UndecodedLog
from indexer.core.schema import tables_of_contract
from indexer.core.source import Source
from indexer.metrics import Metrics, labels, specs_edges, specs_indexed, specs_logs
from indexer.metrics.catalogue import CATALOGUE
from indexer.metrics.page import page
from indexer.metrics.registry import Instruments
from indexer.metrics.spec import MetricSpec
from indexer.rpc.observer import Outcome, RpcObserver
from indexer.shipping import DROPS, Backlog, Room
from tests.fixtures.promtool import Promtool
from tests.fixtures.rulefiles import expressions

PROFILE, TOKEN = b"\x01" * 20, b"\x02" * 20
ABI: list[dict[str, Any]] = [
    *(
        {"type": "event", "name": name, "inputs": [{"name": "id", "type": "uint256", "indexed": True}]}
        for name in ("Created", "Removed")
    ),
    {
        "type": "event",
        "name": "RoleGranted",
        "inputs": [
            {"name": name, "type": kind, "indexed": True}
            for name, kind in (("role", "bytes32"), ("account", "address"), ("sender", "address"))
        ],
    },
]
#: The parts of the page that are another at each look.
PROCESS = re.compile(r"^(process|python)_.*$", re.MULTILINE)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def sources() -> tuple[Source, ...]:
    events = events_of_abi(ABI)
    tables = tables_of_contract("Profile", events)
    return tuple(
        Source(number, "Profile", PROFILE, event, table, 0)
        for number, (event, table) in enumerate(zip(events, tables, strict=True), 1)
    )


def header(number: int, *, timestamp: int = 0, base_fee: int | None = 10**9, salt: int = 0) -> Header:
    return Header(number, bytes([salt]) + number.to_bytes(31), b"", timestamp, base_fee, 0, 0, b"", b"")


def transaction(recipient: bytes | None, success: bool, gas_used: int = 10, **changes: Any) -> Transaction:
    fields: dict[str, Any] = {
        "block_number": 1,
        "block_time": 1,
        "index": 0,
        "hash": b"\x03" * 32,
        "sender": b"\x04" * 20,
        "recipient": recipient,
        "created": None,
        "selector": None,
        "success": success,
        "gas_limit": 100,
        "gas_used": gas_used,
        "effective_gas_price_wei": 3 * 10**9,
        "value_wei": 0,
        "emitters": frozenset(),
    }
    return Transaction(**{**fields, **changes})


def undecoded(source_id: int, reason: str) -> UndecodedLog:
    return UndecodedLog(source_id, 1, b"", 1, 0, b"", 0, PROFILE, (), b"", reason)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> Metrics:
    made = Metrics("31337", clock=clock, wall=lambda: clock.now + 1_700_000_000)
    made.watch(sources(), {PROFILE: "Profile", TOKEN: "Token"})
    return made


def exported(metrics: Metrics) -> dict[str, float]:
    """Every sample as `name{label="value"}`, without the chain's label, which is checked to be there."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics.page().decode()):
        for sample in family.samples:
            own = {name: value for name, value in sample.labels.items() if name != "chain"}
            assert "chain" in sample.labels, sample
            inside = ",".join(f'{name}="{value}"' for name, value in sorted(own.items()))
            found[f"{sample.name}{{{inside}}}" if inside else sample.name] = sample.value
    return found


def busy(metrics: Metrics, clock: Clock) -> None:
    """Let everything happen once."""
    metrics.head_seen(header(20, timestamp=1_700_001_000))
    metrics.finalized_seen(10, 1_700_000_900)
    metrics.cursor_at(18, 1_700_000_990)
    with metrics.processing(17):
        clock.now += 0.3
    with metrics.commit(17):
        clock.now += 0.02
    block = Encoded(
        (), (undecoded(1, "lossy_text"),), {1: 3, 2: 1}, {BlockId(1, b""): 1}, {(3, "granted"): 2}
    )
    metrics.wrote(block)
    moved = (
        transaction(PROFILE, success=True),
        transaction(PROFILE, success=False, gas_used=100),
        transaction(None, success=False, created=TOKEN),
        transaction(b"\x09" * 20, success=False, emitters=frozenset({PROFILE})),
    )
    metrics.transactions(moved)
    metrics.gas_price(FollowedBlock(header(1), block, moved))
    metrics.gas_price(FollowedBlock(header(2, base_fee=None), block, moved))
    metrics.gas_price(FollowedBlock(header(3, base_fee=None), block, ()))
    metrics.reorged(2, 7)
    metrics.error(Unavailable("away"))
    metrics.coverage("Profile", 30, 12)
    metrics.backfill(100, 0)
    clock.now += 10
    metrics.backfill(100, 20)
    metrics.pool(lambda: (5, 2, 8))
    metrics.database(True)
    metrics.database_size(4_096)
    metrics.audited(1_700_000_500, differences=3, unrepaired_blocks=2, unsure_blocks=1)
    metrics.leader(True)
    metrics.backup(1_700_000_000, 12345, 6.5, 1_690_000_000)
    metrics.endpoints(["rpc-1"])
    metrics.request("rpc-1", "eth_getLogs", "ok", 0.04, 100, 2_000)
    metrics.endpoint_state("rpc-1", True, 20)
    metrics.unknown_error("rpc-1")
    metrics.http_serves(["/metrics", "/health"], [200, 503])
    metrics.http_request("/health", 503, 0.02)
    metrics.http_request(None, 404, 0.001)
    with metrics.fetching():
        clock.now += 2
        with metrics.checking():
            clock.now += 0.5
    with metrics.decoding():
        clock.now += 0.25


def test_the_figures_are_what_was_told(metrics: Metrics, clock: Clock) -> None:
    # Long, because it lists the figures.
    busy(metrics, clock)
    found = exported(metrics)
    expected = {
        'indexer_events_total{contract="Profile",event_type="Created"}': 3,
        'indexer_events_total{contract="Profile",event_type="Removed"}': 1,
        "indexer_block_lag": 2,
        "indexer_event_processing_delay_seconds": 1_013.07 + 1_700_000_000 - 1_700_000_990,
        "indexer_event_processing_duration_seconds_count": 1,
        'indexer_event_processing_duration_seconds_bucket{le="0.1"}': 0,
        'indexer_event_processing_duration_seconds_bucket{le="0.5"}': 1,
        "indexer_avg_gas_price": 2.0,
        'indexer_contract_tx_total{contract="Profile",status="success"}': 1,
        'indexer_contract_tx_total{contract="Profile",status="failed"}': 1,
        'indexer_contract_tx_total{contract="Token",status="success"}': 0,
        'indexer_contract_tx_total{contract="Token",status="failed"}': 1,
        'indexer_contract_tx_failed_total{contract="Profile",reason="out_of_gas"}': 1,
        'indexer_contract_tx_failed_total{contract="Profile",reason="reverted"}': 0,
        'indexer_contract_tx_failed_total{contract="Token",reason="reverted"}': 1,
        'indexer_errors_total{error_type="unavailable"}': 1,
        'indexer_errors_total{error_type="unexpected"}': 0,
        "indexer_reorgs_total": 1,
        'indexer_reorg_depth_bucket{le="1.0"}': 0,
        'indexer_reorg_depth_bucket{le="2.0"}': 1,
        "indexer_reorg_removed_events_total": 7,
        "indexer_backup_last_success_timestamp_seconds": 1_700_000_000,
        "indexer_backup_size_bytes": 12345,
        "indexer_backup_duration_seconds": 6.5,
        "indexer_backup_verified_timestamp_seconds": 1_690_000_000,
        'indexer_admin_changes_total{change="granted",contract="Profile"}': 2,
        'indexer_http_requests_total{path="/health",status="200"}': 0,
        'indexer_http_requests_total{path="/health",status="503"}': 1,
        'indexer_http_requests_total{path="other",status="404"}': 1,
        'indexer_http_request_duration_seconds_bucket{le="0.01",path="/health"}': 0,
        'indexer_http_request_duration_seconds_bucket{le="0.025",path="/health"}': 1,
        'indexer_stage_busy_seconds_total{stage="fetch"}': 2,
        'indexer_stage_busy_seconds_total{stage="decode"}': 0.75,
        'indexer_stage_busy_seconds_total{stage="commit"}': 0.02,
        "indexer_head_block_number": 20,
        "indexer_indexed_block_number": 18,
        "indexer_finalized_block_number": 10,
        "indexer_last_progress_timestamp_seconds": 1_700_001_000,
        'indexer_coverage_blocks{contract="Profile"}': 30,
        'indexer_gap_blocks{contract="Profile"}': 12,
        "indexer_backfill_blocks": 100,
        "indexer_backfill_done_blocks": 20,
        "indexer_backfill_eta_seconds": 51,
        'indexer_rpc_requests_total{endpoint="rpc-1",method="eth_getLogs",outcome="ok"}': 1,
        'indexer_rpc_received_bytes_total{endpoint="rpc-1"}': 2_000,
        'indexer_rpc_endpoint_up{endpoint="rpc-1"}': 1,
        'indexer_rpc_endpoint_head_block_number{endpoint="rpc-1"}': 20,
        'indexer_rpc_unknown_errors_total{endpoint="rpc-1"}': 1,
        'indexer_undecoded_logs_total{contract="Profile",reason="lossy_text"}': 1,
        "indexer_commit_duration_seconds_count": 1,
        "indexer_database_pool_connections": 5,
        "indexer_database_pool_idle_connections": 2,
        "indexer_database_pool_max_connections": 8,
        "indexer_database_up": 1,
        "indexer_database_size_bytes": 4_096,
        "indexer_audit_last_timestamp_seconds": 1_700_000_500,
        "indexer_audit_differences": 3,
        "indexer_audit_unrepaired_blocks": 2,
        "indexer_audit_unsure_blocks": 1,
        "indexer_seconds_since_progress": 13.07,
        "indexer_stuck_seconds": 13.07,
        "indexer_seconds_since_head_read": 13.07,
        "indexer_seconds_since_head_change": 13.07,
        "indexer_backfill_stuck_seconds": 2.75,
        "indexer_leader": 1,
        'indexer_halted{reason="below_finality"}': 0,
        'indexer_halted{reason="too_deep"}': 0,
        "indexer_sources": 3,
    }
    assert {name: found.get(name) for name in expected} == pytest.approx(expected)


def test_every_metric_of_the_catalogue_has_a_series_after_everything_happened_once(
    metrics: Metrics, clock: Clock
) -> None:
    busy(metrics, clock)
    names = {re.sub(r"\{.*", "", name) for name in exported(metrics)}
    for spec in CATALOGUE:
        assert (spec.name + "_count" if spec.kind == "histogram" else spec.name) in names
    own = {name for name in names if name.startswith("indexer_")}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in own} == {spec.name for spec in CATALOGUE}
    assert {"process_cpu_seconds_total", "python_info"} <= names


def test_every_metric_that_is_declared_is_in_the_catalogue_once() -> None:
    declared = [
        each
        for module in (specs_edges, specs_indexed, specs_logs)
        for each in vars(module).values()
        if isinstance(each, MetricSpec)
    ]
    assert sorted(spec.name for spec in declared) == sorted(spec.name for spec in CATALOGUE)
    assert len({spec.name for spec in CATALOGUE}) == len(CATALOGUE)


def test_the_documentation_is_fresh() -> None:
    written = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert written.read_text() == page(), "make it anew: python -m indexer.metrics > docs/metrics.md"


def test_alerts_ask_for_values_of_labels_that_there_are() -> None:
    rules = "\n".join(expressions().values())
    values = re.findall(r'indexer_\w+\{[^}]*?(?:reason|verdict|outcome|error_type)=~?"([a-z_|]+)"', rules)
    assert {value for each in values for value in each.split("|")} <= {
        *labels.HALTS, *labels.VERDICTS, *labels.OUTCOMES, *labels.RECHECKS, *labels.ERROR_TYPES
    }  # fmt: skip
    assert len(values) > 5


def test_promtool_accepts_the_page_without_a_complaint(
    metrics: Metrics, clock: Clock, promtool: Promtool
) -> None:
    assert promtool(["check", "metrics"], metrics.page().decode()) == ""
    busy(metrics, clock)
    assert promtool(["check", "metrics"], metrics.page().decode()) == ""
    assert metrics.page(openmetrics=True).decode().endswith("# EOF\n")


def process_apart(page: bytes) -> str:
    """The page without the figures of the process, which are others a moment later."""
    return PROCESS.sub("", page.decode())


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
def test_our_encoder_writes_what_the_librarys_writes(openmetrics: bool) -> None:
    clock = Clock()
    metrics = Metrics(None, clock=clock, wall=lambda: clock.now + 1_700_000_000)
    render = (
        choose_encoder("application/openmetrics-text; version=1.0.0")[0] if openmetrics else generate_latest
    )

    def compare() -> None:
        ours = process_apart(metrics.page(openmetrics=openmetrics))
        assert ours == process_apart(render(metrics.registry))

    compare()
    metrics.watch(sources(), {PROFILE: "Profile", TOKEN: 'To\\ke\nn "x"'})
    compare()
    busy(metrics, clock)
    compare()
    metrics.chain_is(1)
    compare()
    busy(metrics, clock)
    metrics.leader(False)
    metrics.request("rpc-1", "eth_getLogs", "ok", math.inf, 10**9, 10**21)
    compare()


def test_what_is_counted_elsewhere_is_brought_up_before_each_scrape() -> None:
    instruments = Instruments(lambda: "1")
    reorgs = instruments.counter(specs_indexed.REORGS)
    instruments.before_scrape(reorgs.inc)
    assert b'indexer_reorgs_total{chain="1"} 1.0' in instruments.page(openmetrics=False)
    assert instruments.registry.get_sample_value("indexer_reorgs_total", {"chain": "1"}) == 2


def test_exemplars_name_the_block_where_openmetrics_is_asked_for(metrics: Metrics, clock: Clock) -> None:
    for block, seconds in ((17, 0.02), (18, 0.02), (19, 3.0)):
        with metrics.processing(block), metrics.commit(block):
            clock.now += seconds
    found = {
        (sample.name, sample.labels["le"]): sample.exemplar
        for family in openmetrics_families(metrics.page(openmetrics=True).decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    }
    blocks = {key: exemplar.labels for key, exemplar in found.items()}
    assert blocks == {
        ("indexer_commit_duration_seconds_bucket", "0.025"): {"block": "18"},
        ("indexer_commit_duration_seconds_bucket", "5.0"): {"block": "19"},
        ("indexer_event_processing_duration_seconds_bucket", "0.025"): {"block": "18"},
        ("indexer_event_processing_duration_seconds_bucket", "5.0"): {"block": "19"},
    }
    shown = found["indexer_commit_duration_seconds_bucket", "5.0"]
    assert (shown.value, float(shown.timestamp)) == pytest.approx((3.0, 1_700_001_003.04))
    assert b"# {" not in metrics.page(), "the text format has no exemplars"


def test_no_series_of_creation_times_doubles_the_page(metrics: Metrics, clock: Clock) -> None:
    busy(metrics, clock)
    for text in (metrics.page(), metrics.page(openmetrics=True)):
        assert not re.search(rb"^\w+_created[{ ]", text, re.MULTILINE)


def test_what_fails_counts_as_time_spent_and_checks_in_threads_are_no_waiting(clock: Clock) -> None:
    metrics = Metrics("1", clock=clock)

    def check() -> None:
        with metrics.checking():
            clock.now += 1

    with suppress(Unavailable), metrics.fetching():
        clock.now += 5
        with ThreadPoolExecutor(1) as threads:
            threads.submit(copy_context().run, check).result()
        raise Unavailable("away")
    with suppress(Unavailable), metrics.commit(1):
        clock.now += 3
        raise Unavailable("away")
    check()
    found = exported(metrics)
    spent = {stage: found[f'indexer_stage_busy_seconds_total{{stage="{stage}"}}'] for stage in labels.STAGES}
    assert spent == {"fetch": 5, "decode": 2, "commit": 3}


def test_series_that_are_known_at_the_start_begin_at_zero(metrics: Metrics) -> None:
    found = exported(metrics)
    assert found['indexer_events_total{contract="Profile",event_type="Created"}'] == 0
    assert found['indexer_contract_tx_total{contract="Token",status="failed"}'] == 0
    assert found['indexer_undecoded_logs_total{contract="Profile",reason="not_bool"}'] == 0
    assert found['indexer_errors_total{error_type="below_finality"}'] == 0
    assert found["indexer_backup_last_success_timestamp_seconds"] == 0


def test_a_number_that_is_not_known_yet_is_not_exported(metrics: Metrics) -> None:
    found = exported(metrics)
    for name in ("block_lag", "event_processing_delay_seconds", "head_block_number", "avg_gas_price"):
        assert f"indexer_{name}" not in found
    assert found["indexer_backfill_eta_seconds"] == 0
    assert not any(math.isnan(value) for value in found.values())


def test_lag_and_delay_grow_while_we_are_stuck(metrics: Metrics, clock: Clock) -> None:
    metrics.head_seen(header(20))
    metrics.cursor_at(18, 1_700_001_000)
    before = exported(metrics)
    clock.now += 100
    metrics.head_seen(header(70))
    after = exported(metrics)
    assert after["indexer_block_lag"] - before["indexer_block_lag"] == 50
    delay = "indexer_event_processing_delay_seconds"
    assert after[delay] - before[delay] == pytest.approx(100)


def test_time_since_progress_grows_from_the_start_and_is_not_a_standbys_to_tell(
    metrics: Metrics, clock: Clock
) -> None:
    clock.now += 30
    found = exported(metrics)
    for what in ("progress", "head_read", "head_change"):
        assert found[f"indexer_seconds_since_{what}"] == 30, "before anything was seen"
    metrics.head_seen(header(20))
    metrics.leader(True)
    clock.now += 5
    metrics.head_read()
    clock.now += 5
    found = exported(metrics)
    assert found["indexer_seconds_since_head_read"] == 5
    assert found["indexer_seconds_since_head_change"] == 10
    assert found["indexer_seconds_since_progress"] == 40
    assert found["indexer_stuck_seconds"] == 10
    metrics.leader(False)
    found = exported(metrics)
    assert "indexer_seconds_since_progress" not in found
    assert found["indexer_stuck_seconds"] == 0


def test_a_stuck_backfill_shows_while_the_tail_goes_on(metrics: Metrics, clock: Clock) -> None:
    metrics.leader(True)
    metrics.backfill(100, 20)
    for number in range(1, 4):
        clock.now += 10
        metrics.head_seen(header(number))
        metrics.cursor_at(number, 0)
        # The same gaps are read from the database again after each failure.
        metrics.backfill(80, 0)
    found = exported(metrics)
    assert found["indexer_stuck_seconds"] == 0
    assert found["indexer_backfill_stuck_seconds"] == 30
    metrics.backfill(80, 80)
    assert exported(metrics)["indexer_backfill_stuck_seconds"] == 0


def test_a_halt_shows_its_kind_until_it_is_over(metrics: Metrics) -> None:
    metrics.halted("block 17 is another one", "below_finality", waits=True)
    found = exported(metrics)
    assert found['indexer_halted{reason="below_finality"}'] == 1
    assert found['indexer_halted{reason="too_deep"}'] == 0
    metrics.goes_on()
    assert exported(metrics)['indexer_halted{reason="below_finality"}'] == 0


def test_a_head_below_the_cursor_is_no_negative_lag(metrics: Metrics) -> None:
    metrics.cursor_at(18, None)
    metrics.head_seen(header(17))
    assert exported(metrics)["indexer_block_lag"] == 0


def test_a_failed_commit_is_neither_timed_nor_counted(metrics: Metrics) -> None:
    for timed in (metrics.commit, metrics.processing):
        with pytest.raises(Unavailable), timed(17):
            raise Unavailable("away")
    found = exported(metrics)
    assert found["indexer_commit_duration_seconds_count"] == 0
    assert found["indexer_event_processing_duration_seconds_count"] == 0


def test_the_eta_grows_while_a_backfill_is_stuck_and_starts_anew_with_the_next(
    metrics: Metrics, clock: Clock
) -> None:
    metrics.backfill(100, 0)
    assert "indexer_backfill_eta_seconds" not in exported(metrics)
    clock.now += 10
    metrics.backfill(100, 50)
    assert metrics.backfill_eta_seconds == 10
    clock.now += 10
    assert metrics.backfill_eta_seconds == 20
    metrics.backfill(100, 100)
    assert metrics.backfill_eta_seconds == 0
    assert exported(metrics)["indexer_backfill_blocks"] == 0
    for total in (100, 40):
        metrics.backfill(total, 0)
        clock.now += 1
        metrics.backfill(total, 20)
        assert metrics.backfill_eta_seconds == (total - 20) / 20


def test_errors_are_named_by_what_is_to_be_done(metrics: Metrics) -> None:
    class Elsewhere(TooMuch):
        pass

    for error in (
        TooMuch("x"),
        Elsewhere("x"),
        BelowFinality("x"),
        IndexerError("x"),
        ValueError("x"),
        "fatal",
    ):
        metrics.error(error)
    metrics.error("an unbounded text")
    found = exported(metrics)
    counted = {re.findall('"(.*)"', name)[0]: v for name, v in found.items() if "errors_total{error" in name}
    assert {name: count for name, count in counted.items() if count} == {
        "too_much": 2,
        "below_finality": 1,
        "indexer_error": 1,
        "fatal": 1,
        "unexpected": 2,
    }


def test_the_lines_of_the_own_log_and_their_copies_are_counted_at_the_scrape(metrics: Metrics) -> None:
    assert exported(metrics)['indexer_log_records_total{level="warning"}'] == 0
    assert exported(metrics)["indexer_log_shipping_queued_records"] == 0
    for level in ("info", "warning", "warning", "trace"):
        metrics.logs.record(level)
    backlog = Backlog(Room(lines=2))
    metrics.logs.shipping(backlog)
    for _ in range(3):
        backlog.put(b"{}\n")
    backlog.shipped(1)
    # A scrape more or less counts nothing twice.
    exported(metrics)
    found = exported(metrics)
    assert found['indexer_log_records_total{level="warning"}'] == 2
    assert found['indexer_log_records_total{level="other"}'] == 1
    assert found["indexer_log_shipping_sent_total"] == 1
    assert found['indexer_log_shipping_dropped_total{reason="queue_full"}'] == 1
    assert found["indexer_log_shipping_queued_records"] == 1


def test_the_reasons_of_dropped_log_lines_are_those_of_shipping() -> None:
    assert labels.LOG_DROPS == DROPS


def test_labels_from_outside_are_bounded(metrics: Metrics) -> None:
    for number in range(100):
        metrics.request("rpc-1", f"eth_{number}", f"outcome {number}", 0.1, 1, 1)
        metrics.wrote(Encoded((), (undecoded(1, f"reason {number}"),), {number + 100: 1}, {}))
    found = exported(metrics)
    assert found['indexer_rpc_requests_total{endpoint="rpc-1",method="other",outcome="other"}'] == 100
    assert found['indexer_undecoded_logs_total{contract="Profile",reason="other"}'] == 100
    assert found['indexer_events_total{contract="other",event_type="other"}'] == 100


def test_the_outcomes_are_those_of_the_rpc_edge() -> None:
    assert {outcome.value for outcome in Outcome} == labels.OUTCOMES


def test_the_rpc_edge_can_report_to_it(metrics: Metrics) -> None:
    observer: RpcObserver = metrics
    observer.endpoint_state("rpc-2", False, None)
    assert exported(metrics)['indexer_rpc_endpoint_up{endpoint="rpc-2"}'] == 0


def test_the_chain_is_named_as_soon_as_it_is_known() -> None:
    def chains(metrics: Metrics) -> set[str]:
        return set(re.findall(r'chain="(.*?)"', metrics.page().decode()))

    unnamed, named = Metrics(), Metrics("main")
    assert chains(unnamed) == {"unknown"}
    unnamed.chain_is(31337)
    named.chain_is(31337)
    assert (chains(unnamed), chains(named)) == ({"31337"}, {"main"})


def test_two_of_them_share_nothing() -> None:
    one, other = Metrics("1"), Metrics("1")
    one.reorged(1, 1)
    assert exported(one)["indexer_reorgs_total"] == 1
    assert exported(other)["indexer_reorgs_total"] == 0
