"""What the running program says about itself, held against its database."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from tests.fixtures.anvil import DevChainFactory
from tests.fixtures.indexed import true_contracts, until_at_head, until_complete
from tests.fixtures.program import Metrics, Program, started, until, write_config
from tests.fixtures.promtool import Promtool

pytestmark = pytest.mark.integration

#: The names that dashboards and alerts are built on.
PROMISED = (
    "indexer_events_total",
    "indexer_block_lag",
    "indexer_event_processing_duration_seconds_bucket",
    "indexer_event_processing_delay_seconds",
    "indexer_avg_gas_price",
    "indexer_contract_tx_total",
    "indexer_contract_tx_failed_total",
    "indexer_errors_total",
    "indexer_reorgs_total",
    "indexer_reorg_depth_bucket",
    "indexer_backup_last_success_timestamp_seconds",
    "indexer_backup_size_bytes",
)


async def test_metrics_and_health_tell_what_the_database_holds(
    dev_chain_factory: DevChainFactory, empty_database_url: str, tmp_path: Path, promtool: Promtool
) -> None:
    dev = await dev_chain_factory(history_blocks=60, slots_in_an_epoch=4)
    contracts = true_contracts(dev, ("SkillClaim", "Endorsement", "Token", "Oddities"))
    config = write_config(tmp_path, contracts, rpc=[dev.rpc_url, dev.ws_url], database_url=empty_database_url)
    async with started("run", "--config", str(config)) as program:
        await until_at_head(empty_database_url, dev.rpc_url)
        await until_complete(empty_database_url)
        await dev.step(20)
        await until_at_head(empty_database_url, dev.rpc_url)
        await dev.reorg(3)
        await until_at_head(empty_database_url, dev.rpc_url)
        await dev.step(20)
        await until_at_head(empty_database_url, dev.rpc_url)
        metrics = await _settled(program, empty_database_url)

        promtool(["check", "metrics"], metrics.page)
        assert {name for name in PROMISED if not metrics.each(name)} == set()
        assert {"chain"} <= {label for sample in metrics.each("indexer_events_total") for label, _ in sample}
        await _compare_with_rows(metrics, empty_database_url)
        assert metrics["indexer_block_lag"] == 0
        assert metrics.total("indexer_reorgs_total") == 1
        assert metrics.total("indexer_reorg_depth_sum") == 3
        assert metrics.total("indexer_contract_tx_failed_total") > 0, "the traffic should have had failures"
        assert metrics.total("indexer_leader") == 1

        status, page = await program.get("/health")
        assert status == 200, page
        assert (await program.get("/health/ready"))[0] == 200
        assert (await program.get("/health/live"))[0] == 200


async def _settled(program: Program, database_url: str) -> Metrics:
    """The metrics once they have heard of everything that is committed: they are told right after it."""
    cursor = await _value(database_url, "select number from indexer.cursor")

    async def told() -> Metrics | None:
        metrics = await program.metrics()
        at_cursor = metrics["indexer_indexed_block_number"] == metrics["indexer_head_block_number"] == cursor
        filled = metrics["indexer_backfill_blocks"] == metrics["indexer_backfill_done_blocks"]
        return metrics if at_cursor and filled else None

    settled = await until(told, "the metrics know the cursor")
    assert isinstance(settled, Metrics)
    return settled


async def _value(database_url: str, query: str) -> object:
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def _compare_with_rows(metrics: Metrics, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        orphaned = await connection.fetchval("select count(*) from indexer.orphaned_event")
        stored = await connection.fetchval("select count(*) from indexer.event")
        by_event = await connection.fetch("select contract, event, count(*) from indexer.event group by 1, 2")
        gone = await connection.fetch(
            "select contract, event, count(*) from indexer.orphaned_event group by 1, 2"
        )
        covered = await connection.fetch(
            "select contract, sum(upper(span) - lower(span)) from indexer.coverage cross join unnest(blocks) as span "
            "where kind = 'event' group by 1"
        )
        undecoded = await connection.fetchval("select count(*) from indexer.undecoded_log")
        transactions = await connection.fetch(
            "select contract, status, count(*) from indexer.transaction "
            "where contract is not null or created is not null group by 1, 2"
        )
        removed = await connection.fetchval("select sum(transactions_removed) from indexer.reorg")
        gone_undecoded = await connection.fetchval("select sum(undecoded_removed) from indexer.reorg")
    finally:
        await connection.close()
    # A counter never goes back: it counts what was written, that which a reorg took away again included.
    assert metrics.total("indexer_events_total") == stored + orphaned
    for contract, event, count in by_event:
        again = sum(each[2] for each in gone if (each[0], each[1]) == (contract, event))
        assert metrics.total("indexer_events_total", contract=contract, event_type=event) == count + again
    assert undecoded > 0, "the oddities should have had texts that cannot be stored as they are"
    assert metrics.total("indexer_undecoded_logs_total") == undecoded + gone_undecoded
    written = metrics.total("indexer_contract_tx_total")
    assert 0 <= written - sum(count for _, _, count in transactions) <= removed
    failed = sum(count for _, status, count in transactions if not status)
    assert 0 <= metrics.total("indexer_contract_tx_failed_total") - failed <= removed
    for contract, blocks in covered:
        assert metrics.total("indexer_coverage_blocks", contract=contract) == blocks
    assert metrics.total("indexer_gap_blocks") == 0
