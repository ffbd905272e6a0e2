"""The commands as a person or a script meets them: what they print, and how they end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from tests.fixtures.anvil import DevChainFactory
from tests.fixtures.indexed import true_contracts, until_at_head, until_complete
from tests.fixtures.program import Outcome, command, started, write_config
from tests.fixtures.truth import assert_equal_to_chain

pytestmark = pytest.mark.integration


async def test_a_database_is_prepared_filled_and_looked_at_without_the_long_lived_process(
    dev_chain_factory: DevChainFactory, empty_database_url: str, tmp_path: Path
) -> None:
    # Long, because each command is for what the one before left in the database.
    dev = await dev_chain_factory(history_blocks=40, slots_in_an_epoch=4)
    contracts = true_contracts(dev, ("SkillClaim", "Token"))
    path = write_config(tmp_path, contracts, rpc=[dev.rpc_url], database_url=empty_database_url)
    config = ("--config", str(path))

    schema, status = await asyncio.gather(command("schema", *config), command("status", *config))
    assert (schema.code, status.code) == (0, 75)
    assert "indexer migrate" in status.errors, "the way out"

    migrated = await command("migrate", *config)
    assert (migrated.code, migrated.errors) == (0, "")
    # What `schema` prints is what `migrate` did: doing it once more changes nothing.
    await _execute(empty_database_url, schema.output)

    checked, part = await asyncio.gather(
        command("check", *config, "--json"),
        command("backfill", *config, "--from-block", "0", "--to-block", "9", "--json"),
    )
    assert checked.code == 0, checked.said
    findings = {each["subject"]: each["ok"] for each in checked.json()["findings"]}
    assert False not in findings.values() and len(findings) > 8
    assert part.code == 0, part.said
    assert part.json() | {"seconds": 0} == {
        "from_block": 0,
        "to_block": 9,
        "complete": True,
        "rows": part.json()["rows"],
        "missing_before": part.json()["missing_before"],
        "missing_after": 0,
        "seconds": 0,
    }
    assert part.json()["rows"] > 0
    await assert_equal_to_chain(empty_database_url, dev.rpc_url, contracts, complete=False)

    rest = await command("backfill", *config, "--from-block", "0", "--contract", "Token")
    assert rest.code == 0 and "complete" in rest.output, rest.said

    # A tail that has stopped below what is final by now is in nobody's way.
    async with started("run", *config) as program:
        await until_at_head(empty_database_url, dev.rpc_url)
        await until_complete(empty_database_url)
        busy = await command("backfill", *config, "--from-block", "0")
        assert busy.code == 75 and "another process writes" in busy.errors, busy.said
        beside = await command("status", *config, "--json")
        assert (beside.json()["lag_blocks"], beside.json()["gap_blocks"]) == (0, 0), beside.said
        assert await program.stopped() == 0
    for _ in range(12):
        await dev.step(3)
    later = await command("backfill", *config, "--from-block", "0", "--json")
    assert later.code == 0 and later.json()["rows"] > 0, later.said
    await assert_equal_to_chain(empty_database_url, dev.rpc_url, contracts, complete=False)
    shown = await command("status", *config)
    assert shown.code == 0 and "blocks behind" in shown.output, shown.said
    async with started("run", *config) as program:
        await until_at_head(empty_database_url, dev.rpc_url)
        assert await program.stopped() == 0
        assert [each for each in program.journal if each["level"] != "info"] == []
    await assert_equal_to_chain(empty_database_url, dev.rpc_url, contracts)


async def test_a_mistake_gets_one_clear_message_and_exit_code_2(
    dev_chain_factory: DevChainFactory, empty_database_url: str, tmp_path: Path
) -> None:
    dev = await dev_chain_factory(history_blocks=2)
    contracts = true_contracts(dev, ("Token",))
    path = write_config(tmp_path, contracts, rpc=[dev.rpc_url], database_url=empty_database_url)
    good = path.read_text()

    def config(name: str, text: str) -> str:
        file = tmp_path / name
        file.write_text(text)
        return str(file)

    wrong_words = good.replace("[chain]", "[chain]\nconfirmatons = 3").replace('"0x', '"0x12')
    wrong_chain = good.replace("[chain]", "[chain]\nid = 5")
    no_database = good.replace("/indexer_test", "/no_such_indexer_test")
    commands = {
        "no file": command("run", "--config", str(tmp_path / "none.toml")),
        "words": command("run", "--config", config("words.toml", wrong_words)),
        "chain": command("run", "--config", config("chain.toml", wrong_chain)),
        "database": command("migrate", "--config", config("database.toml", no_database)),
        "final": command("backfill", "--config", str(path), "--from-block", "0", "--to-block", "999"),
        "contract": command("backfill", "--config", str(path), "--from-block", "0", "--contract", "Nobody"),
        "number": command("backfill", "--config", str(path), "--from-block", "first"),
    }
    outcomes = dict(zip(commands, await asyncio.gather(*commands.values()), strict=True))
    assert {name: each.code for name, each in outcomes.items()} == dict.fromkeys(outcomes, 2), outcomes
    assert [each.said for each in outcomes.values() if "Traceback" in each.said] == []
    assert _mentions(outcomes["words"], "confirmations", "address"), "both mistakes at once"
    assert _mentions(outcomes["chain"], "31337", "5")
    assert _mentions(outcomes["final"], "999", "not final")
    assert _mentions(outcomes["contract"], "Nobody", "Token")


def _mentions(outcome: Outcome, *words: str) -> bool:
    return all(word in outcome.errors for word in words)


async def _execute(database_url: str, script: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()
