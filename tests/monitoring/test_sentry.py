"""What is told to Sentry, over a real socket, as Sentry's own ingestion judges it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from indexer import __version__, journal, sentry
from indexer.core.errors import Unavailable, UserMistake
from indexer.core.redaction import Redactor
from indexer.rpc.observer import SilentObserver
from indexer.rpc.remembered import Remembered
from indexer.sentrycheck import findings
from indexer.settings import SentrySettings
from tests.fixtures.fakechain import FakeChain
from tests.fixtures.fakelogs import LEDGER_ABI, LEDGER_ADDRESSES
from tests.fixtures.fakenode import FakeNode
from tests.fixtures.ingest import Ingest
from tests.fixtures.node import FaultNode, fault_node
from tests.fixtures.program import PROJECT, command, started, until_sql, write_config
from tests.fixtures.truth_expected import TrueContract

pytestmark = pytest.mark.integration

SECRET = "s3cr3tKeyOfTheNode0123456789"
log = journal.get("indexer.tests")
Start = Callable[..., None]


def judged(event: dict[str, Any]) -> dict[str, Any]:
    """The event as Sentry's own code takes it in, which found nothing wrong with it."""
    relay = pytest.importorskip("sentry_relay.processing", reason="sentry-relay is not made for this machine")
    taken: dict[str, Any] = relay.StoreNormalizer(project_id=42).normalize_event(dict(event))
    assert not taken.get("errors")
    assert not taken.get("_meta")
    return taken


@pytest_asyncio.fixture(loop_scope="session")
async def start(ingest: Ingest) -> AsyncIterator[Start]:
    """Starts reporting to the stand-in in this process; it has ended when the test ends."""

    def started_with(**settings: Any) -> None:
        sentry.start(SentrySettings(**{"dsn": ingest.dsn, **settings}), Redactor([SECRET, ingest.dsn]))

    yield started_with
    await stopped()


async def stopped() -> None:
    """Stop, in a thread: the stand-in answers in this one."""
    await asyncio.to_thread(sentry.stop)


class UnforeseenError(Exception):
    """Nobody expects it."""


async def test_an_error_tells_what_came_before_it_and_where_without_a_secret(
    start: Start, ingest: Ingest, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "indexer.tests")
    start(environment="staging", traces_sample_rate=1.0)
    sentry.chain_is("mainnet")
    connection = await asyncpg.connect(database_url)
    connection.add_query_logger(sentry.query)
    password = SECRET  # a local variable: it is not to be sent either
    with suppress(UnforeseenError), sentry.step("follow", 17):
        Remembered(SilentObserver()).request("rpc-1", "eth_getLogs", "rate_limited", 0.25, 10, 2_000)
        await connection.fetchval("select   $1::text", password)
        log.info("reading", url=f"https://node.example/{SECRET}", hash=b"\x01\xff", amount=2**70)
        raise UnforeseenError(f"at https://node.example/{SECRET}/x")
    await connection.close()
    try:
        raise UnforeseenError("in a loop")
    except UnforeseenError:
        log.exception("it went wrong", block=18, key=SECRET)
    await stopped()

    (event,) = ingest.all("event")
    taken = judged(event)
    assert (event["environment"], event["release"]) == ("staging", f"evm-indexer@{__version__}")
    assert event["tags"] == {"chain": "mainnet", "block": "18"}
    assert taken["logentry"]["formatted"] == "it went wrong"
    assert event["extra"]["key"] == "***"
    (told,) = event["exception"]["values"]
    assert told["type"] == "UnforeseenError"
    assert told["stacktrace"]["frames"]
    assert not [frame for frame in told["stacktrace"]["frames"] if "vars" in frame]
    crumbs = {each["category"]: each for each in taken["breadcrumbs"]["values"]}
    assert crumbs["rpc"]["message"] == "eth_getLogs at rpc-1: rate_limited"
    assert (crumbs["rpc"]["level"], crumbs["rpc"]["data"]) == ("warning", {"ms": 250.0, "bytes": 2_000})
    assert crumbs["query"]["message"] == "select $1::text"
    assert crumbs["indexer.tests"]["data"] == {
        "url": "https://node.example/***",
        "hash": "0x01ff",
        "amount": str(2**70),
    }

    (trace,) = ingest.all("transaction")
    assert not judged(trace).get("errors")
    assert trace["transaction"] == "follow"
    assert trace["tags"]["block"] == "17"
    assert trace["contexts"]["trace"]["status"] == "internal_error"
    assert {each["op"] for each in trace["spans"]} == {"rpc", "db"}
    assert SECRET.encode() not in ingest.raw


async def test_an_error_that_ends_a_step_keeps_its_block_when_it_is_told_outside(
    start: Start, ingest: Ingest
) -> None:
    start()
    try:
        with sentry.step("backfill", 1_000, 1_999):
            raise UnforeseenError(SECRET)
    except UnforeseenError as error:
        sentry.fatal(error)
    await stopped()
    (event,) = ingest.all("event")
    assert judged(event)["exception"]["values"][0]["value"] == "***"
    assert event["tags"]["block"] == "1000"
    assert not ingest.all("transaction"), "nothing is traced unless asked for"


async def test_what_is_tried_again_is_not_reported_and_what_repeats_is_reported_once(
    start: Start, ingest: Ingest
) -> None:
    start()
    for attempt in range(5):
        log.warning("following failed, trying again", reason=str(Unavailable("no answer")), attempt=attempt)
    for _ in range(5):
        log.error("halted", block=7)
    await stopped()
    (event,) = ingest.all("event")
    assert event["logentry"]["message"] == "halted"
    (warning, *_) = [each for each in event["breadcrumbs"]["values"] if each["level"] == "warning"]
    assert warning["data"]["times"] == 5
    assert warning["data"]["attempt"] == 4


@pytest.mark.parametrize("away", ["nobody listens", "it refuses"])
async def test_a_sentry_that_is_away_stops_nobody(start: Start, ingest: Ingest, away: str) -> None:
    if away == "it refuses":
        ingest.status = 500
        start()
    else:
        start(dsn=f"http://{'a' * 32}@127.0.0.1:1/42")
    log.error("it went wrong")
    await stopped()
    assert not sentry.is_on()
    log.error("nobody is told any more")
    assert not ingest.items


async def test_the_running_program_reports_its_halt(
    ingest: Ingest, empty_database_url: str, tmp_path: Path
) -> None:
    chain = FakeChain()
    for _ in range(12):
        chain.mine()
    async with fault_node(FakeNode(chain)) as node:
        config = write_secret_config(node, empty_database_url, tmp_path)
        environment = {
            "SENTRY_DSN": ingest.dsn,
            "SENTRY_ENVIRONMENT": "staging",
            "SENTRY_RELEASE": "abc123",
            "SENTRY_TRACES_SAMPLE_RATE": "1",
        }
        async with started("run", "--config", config, environment=environment) as program:
            await until_sql(empty_database_url, "select number >= 11 from indexer.cursor")
            chain.reorg(6, [[] for _ in range(7)])
            await program.journalled("halted")
            (event, *_) = await ingest.got("event")
            assert await program.stopped() == 0, program.said
    assert judged(event)["logentry"]["formatted"] == "halted"
    assert (event["level"], event["environment"], event["release"]) == ("fatal", "staging", "abc123")
    assert event["tags"]["chain"] == "trial"
    assert int(event["tags"]["block"]) > 11
    assert event["extra"]["kind"] == "too_deep"
    crumbs = {each["category"] for each in event["breadcrumbs"]["values"]}
    assert {"rpc", "query"} <= crumbs
    traces = ingest.all("transaction")
    assert {each["transaction"] for each in traces} >= {"follow"}
    assert any({"rpc", "db"} <= {span["op"] for span in each["spans"]} for each in traces)
    for each in traces:
        judged(each)
    assert SECRET.encode() not in ingest.raw
    assert SECRET not in program.said


async def test_an_unforeseen_error_is_sent_before_the_process_is_gone(
    ingest: Ingest, empty_database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import indexer.app\n"
        f"async def run(*_, **__): raise RuntimeError('nobody expects {SECRET}')\n"
        "indexer.app.run = run\n"
    )
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}", "SENTRY_DSN": ingest.dsn}
    async with fault_node(FakeNode(FakeChain())) as node:
        config = write_secret_config(node, empty_database_url, tmp_path)
        ended = await command("run", "--config", config, environment=environment)
    assert ended.code == 70, ended.said
    (event,) = ingest.all("event")
    assert judged(event)["logentry"]["formatted"] == "unforeseen error"
    assert event["level"] == "fatal"
    assert event["exception"]["values"][-1]["value"] == "nobody expects ***"


def write_secret_config(node: FaultNode, database_url: str, directory: Path) -> str:
    """A configuration whose node has a key in its URL, and where a reorg of more than 3 blocks halts."""
    contracts = [TrueContract("Ledger", LEDGER_ADDRESSES, LEDGER_ABI)]
    chain = {"name": "trial", "max_reorg_depth": 3, "poll_seconds": 0.1, "confirmations": 10}
    path = write_config(
        directory, contracts, rpc=[f"{node.url}/v3/{SECRET}"], database_url=database_url, chain=chain
    )
    return str(path)


def poisoned(directory: Path, text: str) -> dict[str, str]:
    """An environment in which importing Sentry's library does this."""
    (directory / "sentry_sdk.py").write_text(text)
    return {"PYTHONPATH": f"{directory}{os.pathsep}{PROJECT}"}


async def test_without_a_dsn_its_library_is_not_even_imported(
    empty_database_url: str, tmp_path: Path
) -> None:
    marker = tmp_path / "imported"
    environment = poisoned(tmp_path, f"open({str(marker)!r}, 'w').close()\nraise ImportError('poisoned')\n")
    async with fault_node(FakeNode(FakeChain())) as node:
        config = write_secret_config(node, empty_database_url, tmp_path)
        async with started("run", "--config", config, environment=environment) as program:
            node.chain.mine()
            await until_sql(empty_database_url, "select number >= 1 from indexer.cursor")
            assert await program.stopped() == 0
        assert not marker.exists()
        dsn = {"SENTRY_DSN": f"https://{SECRET}@sentry.example/42"}
        refused = await command("run", "--config", config, environment={**environment, **dsn})
    assert marker.exists(), "the library that is not installed was not the poisoned one"
    assert refused.code == 2, refused.said
    assert "pip install 'evm-indexer[sentry]', or unset SENTRY_DSN" in refused.errors
    assert SECRET not in refused.said


async def test_check_says_whether_sentry_took_a_test_error(
    ingest: Ingest, empty_database_url: str, tmp_path: Path
) -> None:
    async with fault_node(FakeNode(FakeChain())) as node:
        config = write_secret_config(node, empty_database_url, tmp_path)
        arguments = ("check", "--sentry", "--json", "--config", config)
        told = await command(*arguments, environment={"SENTRY_DSN": ingest.dsn})
        without = await command(*arguments)
    (found,) = [each for each in told.json()["findings"] if each["subject"] == "sentry"]
    assert found["ok"], found
    assert (
        found["message"]
        == "the test error was taken: errors go to 127.0.0.1, project 42, environment production"
    )
    (event,) = ingest.all("event")
    assert judged(event)["logentry"]["formatted"].startswith("A test error of `indexer check --sentry`")
    (missing,) = [each for each in without.json()["findings"] if each["subject"] == "sentry"]
    assert (missing["ok"], missing["message"]) == (False, "SENTRY_DSN is not set")
    assert without.code == 1


@pytest.mark.parametrize(
    ("status", "remedy"), [(403, "copy SENTRY_DSN anew"), (429, "quota"), (500, "look at Sentry's status")]
)
async def test_check_says_why_sentry_did_not_take_it(ingest: Ingest, status: int, remedy: str) -> None:
    ingest.status = status
    (found,) = await findings(SentrySettings(ingest.dsn), Redactor(), send=True)
    assert (found.ok, found.message) == (False, f"HTTP {status}")
    assert remedy in found.remedy


async def test_check_says_that_nobody_answers_and_sends_nothing_unasked(ingest: Ingest) -> None:
    gone = SentrySettings(f"http://{SECRET}@127.0.0.1:1/42")
    (found,) = await findings(gone, Redactor(), send=True)
    assert found.ok is False
    assert found.message == "no answer (ClientConnectorError)"
    (found,) = await findings(SentrySettings(ingest.dsn), Redactor(), send=False)
    assert found.ok
    assert await findings(SentrySettings(), Redactor(), send=False) == []
    assert not ingest.items


def test_the_library_is_only_missed_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    sentry.start(SentrySettings(), Redactor())
    assert not sentry.is_on()
    with pytest.raises(UserMistake, match="not installed"):
        sentry.start(SentrySettings("https://key@sentry.example/42"), Redactor())
