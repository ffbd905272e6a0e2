"""The real program on a real chain and a real database: from its first start through reorgs to new contracts."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from tests.fixtures.anvil import DevChainFactory
from tests.fixtures.gate import gate_before, range_of_logs
from tests.fixtures.indexed import true_contracts, until_at_head, until_complete
from tests.fixtures.program import started, write_config
from tests.fixtures.truth import assert_equal_to_chain

pytestmark = pytest.mark.integration

FIRST_CONTRACTS = ("SkillProfile", "SkillClaim", "Endorsement", "Oddities")
#: Deep enough for a reorg of 64 blocks.
SLOTS_IN_AN_EPOCH = 40


async def test_from_the_first_start_on_the_rows_equal_the_chain_through_history_reorgs_and_restarts(
    dev_chain_factory: DevChainFactory, empty_database_url: str, tmp_path: Path
) -> None:
    # Long, because each act begins where the one before ended; starting anew for each would take minutes.
    dev = await dev_chain_factory(history_blocks=150, slots_in_an_epoch=SLOTS_IN_AN_EPOCH)
    database_url, contracts = empty_database_url, true_contracts(dev, FIRST_CONTRACTS)
    async with gate_before(dev.rpc_url) as gate:
        config = write_config(tmp_path, contracts, rpc=[gate.url], database_url=database_url)

        # The first start: the newest blocks come before the old ones.
        gate.hold(range_of_logs)
        async with started("run", "--config", str(config)) as program:
            await gate.held()
            await dev.step(8)
            await until_at_head(database_url, dev.rpc_url)
            assert await _value(database_url, "select count(*) from indexer.event") > 0
            assert await _value(database_url, _GAP_BLOCKS) > 0, "history should still be missing"
            await assert_equal_to_chain(database_url, dev.rpc_url, contracts, complete=False)
            gate.release()
            await until_complete(database_url)
            assert await assert_equal_to_chain(database_url, dev.rpc_url, contracts) > 500

            # Reorgs while it follows.
            for depth in (1, 2, 10, 64):
                await dev.reorg(depth)
                await until_at_head(database_url, dev.rpc_url)
                await dev.step(3)
                await until_at_head(database_url, dev.rpc_url)
                await assert_equal_to_chain(database_url, dev.rpc_url, contracts)
                assert await _value(database_url, "select depth from indexer.reorg order by id desc") == depth
            assert await program.stopped() == 0

        # Reorgs and new blocks while it is down; then a contract more, which is filled in while the rest is live.
        await dev.reorg(10)
        for _ in range(5):
            await dev.step(4)
        contracts = true_contracts(dev, (*FIRST_CONTRACTS, "Token", "VerifierRegistry"))
        config = write_config(tmp_path, contracts, rpc=[gate.url], database_url=database_url)
        gate.hold(range_of_logs)
        async with started("run", "--config", str(config)) as program:
            await gate.held()
            before = await _value(database_url, "select count(*) from indexer.event")
            await dev.step(10)
            await until_at_head(database_url, dev.rpc_url)
            assert await _value(database_url, "select count(*) from indexer.event") > before
            await dev.reorg(10)
            await until_at_head(database_url, dev.rpc_url)
            assert await _value(database_url, _GAP_BLOCKS) > 0, "the new contracts' history should be missing"
            await assert_equal_to_chain(database_url, dev.rpc_url, contracts, complete=False)
            gate.release()
            # What lies between finality and the restart is filled in as it becomes final.
            await dev.chain.mine(2 * SLOTS_IN_AN_EPOCH)
            await until_at_head(database_url, dev.rpc_url)
            await until_complete(database_url)
            await assert_equal_to_chain(database_url, dev.rpc_url, contracts)
            assert await program.stopped() == 0
            assert program.journal[-1]["message"] == "stopped"


_GAP_BLOCKS = """
    select coalesce(sum(size), 0) from (
        select sum(upper(gap) - lower(gap)) as size
        from indexer.coverage cross join indexer.cursor
        cross join lateral unnest(int8multirange(int8range(start_block, cursor.number, '[]')) - blocks) as gap
        where active and start_block <= cursor.number
        group by source_id
    ) as gaps
"""


async def _value(database_url: str, query: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()
