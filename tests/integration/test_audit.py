"""The audit finds what is not as the chain says, blames nobody else, and puts it right."""

from __future__ import annotations

import re
from typing import Any

import pytest

from indexer.store.database import Database
from indexer.store.leadership import take_leadership
from tests.fixtures.commanded import Ran, Scene
from tests.fixtures.node import HTML, Change, Rule
from tests.fixtures.truth import assert_equal_to_chain
from tests.property.journey.world import LATECOMER, World

pytestmark = pytest.mark.integration

Json = Any
ROWS_ARE_COUNTED = """
    select count(*) from (
        select s.id, s.rows, (
            select count(*) from indexer.event e
            where e.contract = s.contract and e.signature = s.signature
                and e.address = '0x' || encode(s.address, 'hex')
        ) as found
        from indexer.source s where kind = 'event' and signature not in (
            select signature from indexer.source group by contract, address, signature having count(*) > 1
        )
        union all
        select s.id, s.rows, (select count(*) from indexer.transaction t where t.source_ids @> array[s.id])
        from indexer.source s where kind = 'transactions'
    ) as counted where rows <> found
"""
#: What is planted, and what has to be found: part, kind, and how many.
PLANTED = [
    ("delete from ledger.noted where block_number = {noted}", "event", "missing"),
    (
        "insert into ledger.noted select block_number, 999, block_time, transaction_hash, transaction_index, "
        "address, text, tag_hash, blob, is_final, delta from ledger.noted where block_number = {noted} limit 1",
        "event",
        "extra",
    ),
    ("update ledger.noted set delta = delta # 1 where block_number = {noted}", "event", "altered"),
    ("update ledger.batched set items = items || '1' where block_number = {batched}", "event", "altered"),
    ("update ledger.noted set address = '\\x{nobody}' where block_number = {noted}", "event", "altered"),
    ("delete from indexer.undecoded_log where reason = 'dirty_padding'", "undecoded", "missing"),
    ("update indexer.undecoded_log set data = data || '\\x00' where reason <> 'topic_count'", "undecoded", "altered"),
    ("update indexer.undecoded_log set log_index = 900 where reason = 'dirty_padding'", "undecoded", "extra"),
]  # fmt: skip
PLANTED_TRANSACTIONS = [
    ("delete from indexer.transaction where not status", "missing"),
    ("update indexer.transaction set gas_used = gas_used + 1 where failure is null", "altered"),
    ("update indexer.transaction set transaction_index = 50 where not status", "extra"),
]
#: Which sources each transaction belongs to.
SHARES = """
    select block_number, transaction_index, array(select unnest(source_ids) order by 1) as ids
    from indexer.transaction order by 1, 2
"""
AGAIN = ["--from-block", "0", "--json"]


async def audited(scene: Scene, *arguments: str) -> Ran:
    return await scene.command("audit", *AGAIN, *arguments)


async def assert_as_indexed(scene: Scene, digest: Json) -> None:
    """The rows are those that made the digest, and the counters agree with them."""
    assert (await scene.command("digest", "--json")).json() == digest
    assert await scene.value(ROWS_ARE_COUNTED) == 0


@pytest.fixture
async def indexed(scene: Scene) -> Scene:
    """A chain of 40 blocks, all indexed."""
    scene.mine(40, seed=11)
    await scene.filled()
    return scene


async def test_whatever_was_planted_is_found_and_put_right(indexed: Scene) -> None:
    scene = indexed
    digest = (await scene.command("digest", "--json")).json()
    clean = await audited(scene)
    assert clean.code == 0, clean
    assert clean.json()["rows"] > 30
    numbers = {
        "noted": await scene.value("select max(block_number) from ledger.noted"),
        "batched": await scene.value("select max(block_number) from ledger.batched"),
        "nobody": "77" * 20,
    }
    for statement, part, kind in PLANTED:
        await scene.sql(statement.format(**numbers))
        found = await audited(scene)
        assert found.code == 1, statement
        kinds = {(each["part"], each["kind"]) for each in found.json()["differences"]}
        assert (part, kind) in kinds, (statement, found)
        assert found.json()["unsure"] == []
        repaired = await audited(scene, "--repair")
        assert repaired.code == 1, repaired
        assert repaired.json()["unrepaired_blocks"] == 0
        again = await audited(scene)
        assert again.code == 0, (statement, again)
        await assert_as_indexed(scene, digest)
    journal = await scene.sql("select * from indexer.repair order by id")
    assert len(journal) == len(PLANTED)
    assert journal[0]["first_block"] == numbers["noted"]
    assert journal[0]["reason"] == "rpc"
    assert journal[0]["rows_added"] > journal[0]["rows_removed"]
    assert '"missing"' in journal[0]["differences"]
    assert await assert_equal_to_chain(scene.database_url, scene.node.url, scene.contracts, complete=False)


async def test_receipts_show_wrong_transactions_too(indexed: Scene) -> None:
    scene = indexed
    digest = (await scene.command("digest", "--json")).json()
    for statement, kind in PLANTED_TRANSACTIONS:
        await scene.sql(statement)
        assert (await audited(scene)).code == 0, "logs tell nothing about transactions"
        found = await audited(scene, "--against", "receipts", "--repair")
        assert found.code == 1, statement
        assert ("transaction", kind) in {(each["part"], each["kind"]) for each in found.json()["differences"]}
        assert (await audited(scene, "--against", "receipts")).code == 0
        await assert_as_indexed(scene, digest)


async def test_a_repair_of_one_contract_leaves_the_others_alone(indexed: Scene) -> None:
    scene = indexed
    digest = (await scene.command("digest", "--json")).json()
    await scene.sql("delete from registry.unnamed")
    await scene.sql("delete from ledger.noted")
    shares = await scene.sql(SHARES)
    await scene.sql("update indexer.transaction set value = value + 1")
    # One that is the other contract's alone is given a part in ours.
    await scene.sql(
        """
        update indexer.transaction set source_ids = source_ids || ours.id
        from indexer.source as ours where kind = 'transactions' and ours.contract = 'Registry'
            and not source_ids @> array[ours.id] and source_ids <> '{}'
        """
    )
    only = ["--contract", "Registry", "--against", "receipts"]
    found = await audited(scene, *only, "--repair")
    assert found.code == 1
    assert {each["contract"] for each in found.json()["sources"]} == {"Registry"}
    assert (await audited(scene, *only)).code == 0
    assert await scene.value("select count(*) from ledger.noted") == 0
    assert await scene.sql(SHARES) == shares
    assert max(len(row["ids"]) for row in shares) > 1
    assert (await audited(scene, "--against", "receipts", "--repair")).code == 1
    await assert_as_indexed(scene, digest)


def leave_out(scene: Scene, address: bytes, *, ranges_only: bool = False) -> Rule:
    """From now on `eth_getLogs` does not give the first log of each answer that is of this address."""

    def without(logs: list[Json]) -> list[Json]:
        text = "0x" + address.hex()
        place = next((at for at, log in enumerate(logs) if log["address"] == text), None)
        return logs if place is None else logs[:place] + logs[place + 1 :]

    return scene.node.fault(
        Change(without), "eth_getLogs", when=lambda params: not ranges_only or "fromBlock" in params[0]
    )


async def test_a_log_that_the_node_once_left_out_is_found_and_brought(scene: Scene) -> None:
    scene.mine(30, seed=3)
    rule = leave_out(scene, scene.contracts[0].addresses[0])
    await scene.filled()
    scene.node.heal()
    assert rule.hits
    found = await audited(scene)
    assert found.code == 1
    assert [each["kind"] for each in found.json()["differences"]] == ["missing"]
    assert (await audited(scene, "--repair")).json()["repaired_blocks"] == 1
    assert (await audited(scene)).code == 0
    assert await assert_equal_to_chain(scene.database_url, scene.node.url, scene.contracts, complete=False)


async def test_a_log_that_an_index_lost_for_good_is_in_the_receipts(scene: Scene) -> None:
    scene.mine(30, seed=4)
    leave_out(scene, scene.contracts[0].addresses[0])
    await scene.filled()
    assert (await audited(scene)).code == 0, "the same index says the same again"
    found = await audited(scene, "--against", "receipts", "--repair")
    assert [each["kind"] for each in found.json()["differences"]] == ["missing"]
    scene.node.heal()
    assert (await audited(scene)).code == 0


async def test_what_a_node_contradicts_itself_about_is_not_repaired(indexed: Scene) -> None:
    scene = indexed
    digest = (await scene.command("digest", "--json")).json()
    for ranges_only, reason in ((False, "differ|logs by eth_getLogs"), (True, "told two different things")):
        leave_out(scene, scene.contracts[0].addresses[0], ranges_only=ranges_only)
        found = await audited(scene, "--repair")
        scene.node.heal()
        assert found.code == 2
        assert found.json()["verdict"] == "cannot_tell"
        (unsure,) = found.json()["unsure"]
        assert re.search(reason, unsure["reason"])
        assert found.json()["differences"] == []
    await assert_as_indexed(scene, digest)


async def test_a_node_that_does_not_answer_is_no_difference(indexed: Scene) -> None:
    scene = indexed
    scene.node.fault(HTML, "eth_getLogs")
    await scene.sql("delete from ledger.noted")
    config = await scene.command("audit", *AGAIN, "--repair", retry_total_seconds=1)
    assert config.code == 2
    assert "k3y5ecret" not in config.output + config.errors


async def test_mistakes_are_said_plainly(indexed: Scene) -> None:
    for arguments, message in (
        (["--from-block", "0", "--to-block", "41"], "not final yet: the newest final block we know is 40"),
        (["--from-block", "9", "--to-block", "8"], "above the last block"),
        (["--from-block", "0", "--against", "rpc-9"], "no endpoint has this name"),
        (["--from-block", "0", "--contract", "Nobody"], "no contract Nobody"),
    ):
        ran = await indexed.command("audit", *arguments)
        assert ran.code == 2
        assert message in ran.errors


async def test_a_sample_can_be_repeated_by_its_seed(indexed: Scene) -> None:
    scene = indexed
    few = ["--against", "receipts", "--sample", "5"]
    first = (await audited(scene, *few)).json()
    seed = str(first["seed"])
    assert first["compared"] < (await audited(scene, "--against", "receipts")).json()["compared"]
    await scene.sql("delete from indexer.transaction")
    one = (await audited(scene, *few, "--seed", seed)).json()
    other = (await audited(scene, *few, "--seed", seed)).json()
    assert one["differences"] == other["differences"]
    assert len({each["block"] for each in one["differences"]}) <= 5


async def test_a_repair_is_refused_while_another_process_writes(indexed: Scene, database: Database) -> None:
    leadership = await take_leadership(database)
    assert leadership is not None
    async with leadership:
        assert (await audited(indexed)).code == 0
        refused = await audited(indexed, "--repair")
    assert refused.code == 75
    assert "another process writes to this database" in refused.errors


async def test_nothing_is_blamed_on_an_honest_history(scene: Scene, database_url: str) -> None:
    async with World(database_url) as world:
        world.mine(12, seed=1)
        world.finalize(4)
        await world.follow()
        await world.fill()
        world.reorg(3, 5, seed=2)
        await world.follow()
        world.watch(LATECOMER)
        await world.settle()
        world.reorg(2, 3, seed=3)
        world.mine(4, seed=4)
        assert await world.settle()
        scene.node.fake.chain = world.chain
        scene.contracts = world.contracts
        for against in ("rpc", "receipts"):
            ran = await audited(scene, "--against", against)
            assert (ran.code, ran.json()["differences_total"]) == (0, 0), ran
            assert ran.json()["rows"] > 10


async def test_a_node_that_alters_logs_everywhere_is_found_out_by_the_hash(indexed: Scene) -> None:
    scene = indexed
    digest = (await scene.command("digest", "--json")).json()
    honest = (await audited(scene, "--against", "receipts")).json()
    assert honest["proofs"] == {"proved": 41}

    def altered(logs: list[Json]) -> list[Json]:
        return [log | {"data": log["data"].replace("01", "02")} for log in logs]

    scene.node.fault(Change(altered), "eth_getLogs")
    scene.node.fault(
        Change(lambda receipts: [each | {"logs": altered(each["logs"])} for each in receipts]),
        "eth_getBlockReceipts",
    )
    for against in ("rpc", "receipts"):
        ran = await audited(scene, "--against", against, "--repair")
        assert ran.code == 2, ran
        assert ran.json()["differences"] == []
        assert ran.json()["proofs"]["wrong"] > 0
        assert "its receipts give the root" in ran.json()["unsure"][0]["reason"]
    await assert_as_indexed(scene, digest)
