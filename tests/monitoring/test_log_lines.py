"""The lines of a scripted run, by way of a shipper of another house, found by the searches that Kibana is given."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from indexer.dev.anvil import GENESIS_TIME, Anvil
from indexer.dev.devchain import DevChain
from tests.fixtures.debian import Parts
from tests.fixtures.elasticsearch import FakeElasticsearch, fake_elasticsearch
from tests.fixtures.indexed import true_contracts, until_at_head, until_complete
from tests.fixtures.lucene import matching
from tests.fixtures.postgres import fresh_database
from tests.fixtures.program import Program, started, until_sql, write_config
from tests.fixtures.rsyslog import Rsyslog, running_rsyslog

pytestmark = pytest.mark.integration

MONITORING = Path(__file__).parents[2] / "monitoring"
#: In no spelling of it is there a letter of ASCII alone.
CHAIN = "тест-сеть ☃"
#: A statement waits for its lock for longer than what counts as slow.
WAITED = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and now() - query_start > '1010 ms'"
#: One and the same value in every line of the program.
EVERYWHERE = {"service": "evm-indexer"}


@dataclass(frozen=True)
class Run:
    """What the program wrote, and what came out at the other end."""

    lines: list[dict[str, Any]]
    documents: list[dict[str, Any]]
    indexes: list[str]
    complaints: str
    sent: float


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def run(
    old_parts: Parts, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Run]:
    """A run with failed transactions, a reorg, a node of another chain and a statement that waits."""
    place = tmp_path_factory.mktemp("lines")
    async with (
        fake_elasticsearch() as elasticsearch,
        running_rsyslog(old_parts, place, elasticsearch.url) as rsyslog,
        fresh_database(postgres_url) as database_url,
        DevChain(history_blocks=40, slots_in_an_epoch=4, genesis_time=GENESIS_TIME) as dev,
        Anvil(chain_id=5) as other,
    ):
        yield await _scripted(place, rsyslog, elasticsearch, database_url, dev, other.url)


async def _scripted(
    place: Path,
    rsyslog: Rsyslog,
    elasticsearch: FakeElasticsearch,
    database_url: str,
    dev: DevChain,
    other: str,
) -> Run:
    config = write_config(
        place,
        true_contracts(dev, ("SkillClaim", "Token", "Oddities")),
        rpc=[dev.rpc_url, other],
        database_url=database_url,
        chain={"id": 31337, "name": CHAIN},
    )
    address = {"LOGSTASH_ADDRESS": f"127.0.0.1:{rsyslog.port}"}
    async with started("run", "--config", str(config), environment=address) as program:
        await until_at_head(database_url, dev.rpc_url)
        await until_complete(database_url)
        await dev.step(20)
        await until_at_head(database_url, dev.rpc_url)
        await dev.reorg(3)
        await until_at_head(database_url, dev.rpc_url)
        await _hold_up(database_url, dev, program)
        await until_at_head(database_url, dev.rpc_url)
        metrics = await program.metrics()
        assert metrics.total("indexer_log_records_total", level="info") > 5
        assert metrics.total("indexer_log_records_total", level="error") >= 1
        assert metrics.total("indexer_log_shipping_dropped_total") == 0
        assert await program.stopped() == 0
        lines = [json.loads(line) for line in program.lines]
    mine = [each for each in lines if not each["logger"].startswith("indexer.shipping")]
    await elasticsearch.until(len(mine))
    return Run(
        mine,
        elasticsearch.documents,
        elasticsearch.indexes,
        rsyslog.complaints,
        metrics.total("indexer_log_shipping_sent_total"),
    )


async def _hold_up(database_url: str, dev: DevChain, program: Program) -> None:
    """Let a statement of the program wait for more than a second."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute("lock table indexer.cursor in access exclusive mode")
            await asyncio.gather(dev.step(5), until_sql(database_url, WAITED))
    finally:
        await connection.close()
    await program.journalled("slow statement")


def test_every_line_arrives_once_and_unchanged(run: Run) -> None:
    def ordered(records: list[dict[str, Any]]) -> list[str]:
        return sorted(json.dumps(each, sort_keys=True, ensure_ascii=False) for each in records)

    assert ordered(run.documents) == ordered(run.lines)
    assert run.complaints == ""
    assert run.sent > 0
    assert all(re.fullmatch(r"indexer-logs-\d{4}\.\d\d\.\d\d", index) for index in run.indexes)
    messages = [each["message"] for each in run.lines]
    assert messages[0] == "started"
    assert messages[-1] == "stopped", "the last line of all is shipped too"


def test_every_line_says_when_what_and_of_which_chain(run: Run) -> None:
    for each in run.documents:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each["@timestamp"]), each
        assert each["level"] in {"debug", "info", "warning", "error", "critical"}
        assert each["message"]
        assert each.items() >= EVERYWHERE.items()
        assert each["chain"] == CHAIN
    reorgs = [each for each in run.documents if each["message"] == "reorg"]
    assert [(each["to_block"] - each["from_block"] + 1) for each in reorgs] == [3]
    assert all(re.fullmatch(r"[0-9a-f]{12}", each["correlation_id"]) for each in reorgs)


def test_the_lines_of_one_step_share_an_id_that_no_other_step_has(run: Run) -> None:
    failed = [each for each in run.documents if each.get("event_type") == "contract_tx"]
    blocks = {each["correlation_id"]: set[int]() for each in failed}
    for each in failed:
        blocks[each["correlation_id"]].add(each["block"])
    assert len(blocks) > 1
    slow = [each for each in run.documents if each["message"].startswith("slow ")]
    assert len({each["correlation_id"] for each in slow}) < len(slow), "a statement and its transaction"


def test_the_fields_are_of_the_types_that_the_index_template_gives_them(run: Run) -> None:
    kinds: dict[str, tuple[type, ...]] = {
        "date": (str,),
        "keyword": (str,),
        "text": (str,),
        "long": (int,),
        "double": (int, float),
        "flattened": (dict,),
    }
    properties = template_properties()
    seen: dict[str, set[type]] = {}
    for document in run.documents:
        for name, value in document.items():
            seen.setdefault(name, set()).add(type(value))
            if name in properties and value is not None:
                assert isinstance(value, kinds[properties[name]["type"]]), (name, value)
    # A field whose type changes from line to line is refused by Elasticsearch, with the whole line.
    assert {name: types for name, types in seen.items() if len(types - {type(None)}) > 1} == {}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("level:error AND @timestamp:[now-1h TO now]", "endpoint serves another chain, not used"),
        ("service:evm-indexer AND level:error", "endpoint serves another chain, not used"),
        ("event_type:contract_tx AND status:failed", "transaction failed"),
        ("query_duration:>1000", "slow statement"),
    ],
)
def test_each_search_of_kibana_finds_its_lines_and_no_others(run: Run, query: str, message: str) -> None:
    assert query in {search["query"] for search in searches()}
    found = [each for each in run.documents if matching(query, template_properties(), now(run))(each)]
    assert message in {each["message"] for each in found}
    assert len(found) < len(run.documents)
    later = now(run) + timedelta(hours=2)
    assert ("now-1h" in query) == (not any(map(matching(query, template_properties(), later), found)))


def test_a_failed_transaction_has_what_one_looks_for(run: Run) -> None:
    failed = [each for each in run.documents if each["message"] == "transaction failed"]
    for each in failed:
        assert re.fullmatch(r"0x[0-9a-f]{64}", each["tx_hash"])
        assert each["contract"] in {"SkillClaim", "Token", "Oddities"}
        assert each["reason"] in {"reverted", "out_of_gas"}


def template_properties() -> dict[str, Any]:
    template = json.loads((MONITORING / "elasticsearch" / "indexer-logs.json").read_text())
    properties: dict[str, Any] = template["template"]["mappings"]["properties"]
    return properties


def searches() -> list[dict[str, Any]]:
    """What the saved searches ask for."""
    lines = (MONITORING / "kibana" / "saved-objects.ndjson").read_text().splitlines()
    found = [each for each in map(json.loads, lines) if each["type"] == "search"]
    sources = [json.loads(each["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"]) for each in found]
    return [each["query"] for each in sources]


def now(run: Run) -> datetime:
    """The moment of the newest line."""
    return max(datetime.fromisoformat(each["@timestamp"]) for each in run.documents).astimezone(UTC)
