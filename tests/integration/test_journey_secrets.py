"""Keys and passwords stay where they are: whatever goes wrong, nothing that is written or served shows them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.fixtures.fakechain import FakeChain
from tests.fixtures.fakelogs import LEDGER_ABI, LEDGER_ADDRESSES
from tests.fixtures.fakenode import FakeNode
from tests.fixtures.node import Error, FaultNode, Http, Reset, Rule, fault_node
from tests.fixtures.program import Program, command, started, until, write_config
from tests.fixtures.truth_expected import TrueContract

pytestmark = pytest.mark.integration

KEY = "k3y0f7heR1chM4n5h0uldN0tB3Sh0wn"
TOKEN = "t0kenInTheQuery9182"
USER_PASSWORD = "basicAuthPassw0rd"
#: With a character that is written in another way in a URL.
PASSWORD = "p4ss%word+of:database"
PASSWORD_IN_URL = "p4ss%25word%2Bof%3Adatabase"
SECRETS = (KEY, TOKEN, USER_PASSWORD, PASSWORD, PASSWORD_IN_URL)


def _rpc_with_secrets(node: FaultNode) -> str:
    host = node.url.removeprefix("http://")
    return f"http://user:{USER_PASSWORD}@{host}/v3/{KEY}?token={TOKEN}"


async def _database_with_password(server: str) -> str:
    """The database's URL for a user of its own with a password."""
    connection = await asyncpg.connect(server)
    try:
        name = await connection.fetchval("select current_database()")
        quoted = PASSWORD.replace("'", "''")
        await connection.execute(
            f"do $$ begin create role with_secret login superuser password '{quoted}'; "
            "exception when duplicate_object then null; end $$"
        )
    finally:
        await connection.close()
    parts = urlsplit(server)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"with_secret:{PASSWORD_IN_URL}@{host}", path=f"/{name}"))


def _shows_no_secret(text: str) -> None:
    shown = [secret for secret in SECRETS if secret in text]
    assert not shown, f"{shown} in: {text[:2000]}"


async def _pages(program: Program) -> str:
    answers = [await program.get(path) for path in ("/metrics", "/health", "/health/ready", "/", "/nothing")]
    return "\n".join(page for _, page in answers)


async def test_no_failure_of_node_or_database_makes_a_secret_visible(
    empty_database_url: str, tmp_path: Path
) -> None:
    database_url = await _database_with_password(empty_database_url)
    chain = FakeChain()
    for _ in range(5):
        chain.mine()
    contracts = [TrueContract("Ledger", LEDGER_ADDRESSES, LEDGER_ABI)]
    async with fault_node(FakeNode(chain)) as node:
        path = write_config(
            tmp_path,
            contracts,
            rpc=[_rpc_with_secrets(node)],
            database_url=database_url,
            timeouts={"retry_total_seconds": 3, "request_seconds": 2},
        )
        config = ("--config", str(path))
        said: list[str] = []
        async with started("run", *config) as program:
            await program.journalled("tail started")
            for fault in (
                Http(401, f'{{"error": "invalid key {KEY}"}}'.encode()),
                Http(429, f"project {KEY} has used up its quota".encode(), {"Retry-After": "1"}),
                Http(200, f"<html>no such project: {KEY} {TOKEN}</html>".encode()),
                Error(-32000, f"unknown project {KEY} of user:{USER_PASSWORD}@ with token={TOKEN}"),
                Reset(),
            ):
                rule = node.fault(fault)

                async def struck(rule: Rule = rule) -> bool:
                    return rule.hits > 1

                await until(struck, f"{fault} was met")
                said.append(await _pages(program))
                if isinstance(fault, Error):
                    commands = await asyncio.gather(command("status", *config), command("check", *config))
                    said += [each.said for each in commands]
                node.heal()
            said.append(program.said)
            assert await program.stopped() == 0
            said.append(program.said)
        for text in said:
            _shows_no_secret(text)

        # A database that refuses the password, and one that is not there.
        wrong = path.read_text().replace("p4ss%25", f"{TOKEN}%25")
        (tmp_path / "wrong.toml").write_text(wrong)
        (tmp_path / "gone.toml").write_text(path.read_text().replace("/indexer_test", "/gone"))
    outcomes = await asyncio.gather(
        command("migrate", "--config", str(tmp_path / "wrong.toml")),
        command("migrate", "--config", str(tmp_path / "gone.toml")),
        command("check", *config),
        command("backfill", *config, "--from-block", "0"),
        command("run", *config, environment={"DATABASE_URL": f"postgresql://u:{KEY}#{TOKEN}@h/d"}),
        command("run", *config, environment={"RPC_URL": f"htp://u:{KEY}@h:99999/{TOKEN}"}),
    )
    for outcome in outcomes:
        _shows_no_secret(outcome.said)
        assert "Traceback" not in outcome.said, outcome.said
    assert [each.code for each in outcomes[-2:]] == [2, 2], [each.said for each in outcomes[-2:]]
