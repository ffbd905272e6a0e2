"""Digests of two databases are equal exactly when the rows are, whatever else differs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.fixtures.commanded import LEDGER, REGISTRY, Scene
from tests.fixtures.postgres import fresh_database

pytestmark = pytest.mark.integration

#: What a session may have set otherwise, for all new sessions of a database.
SETTINGS = (
    "bytea_output = 'escape'",
    "timezone = 'Asia/Kolkata'",
    "datestyle = 'German'",
    "extra_float_digits = 0",
    "intervalstyle = 'sql_standard'",
)


@pytest.fixture
async def other_url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """URL of another database, where sessions have other settings."""
    async with fresh_database(postgres_url, template_database) as url:
        connection = await asyncpg.connect(url)
        for setting in SETTINGS:
            await connection.execute(f'alter database "{urlsplit(url).path[1:]}" set {setting}')
        await connection.close()
        yield url


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_same_chain_indexed_in_another_order_has_the_same_digest(
    scene: Scene, other_url: str
) -> None:
    scene.mine(30, seed=5)
    scene.mine_all([()] * 980)
    scene.mine(8, seed=6)
    await scene.filled(transactions="follow")
    ours = await scene.command("digest", "--json")
    here = ours.json()
    assert here["rows"] == await scene.value(
        "select (select count(*) from indexer.event) + (select count(*) from indexer.undecoded_log)"
    )
    assert {each["first_block"] for source in here["sources"] for each in source["buckets"]} == {0, 1000}
    # Contracts in another order, and ranges from the newest to the oldest: other ids, other places on disk.
    scene.contracts = (REGISTRY, LEDGER)
    for first, last in ((20, 1018), (7, 19), (0, 6)):
        ran = await scene.command(
            "backfill", "--from-block", str(first), "--to-block", str(last),
            database_url=other_url, transactions="follow",
        )  # fmt: skip
        assert ran.code == 0, ran
    there = await scene.command("digest", "--json", database_url=other_url)
    assert there.json() == here
    compared = await scene.command("digest", "--compare", other_url, "--json")
    assert compared.code == 0, compared
    assert compared.json()["equal"] is True
    part = (await scene.command("digest", "--from-block", "1000", "--json")).json()
    assert 0 < part["rows"] < here["rows"]


#: A change, the part whose digest it changes, and how to undo it.
CHANGES = [
    (
        "update ledger.noted set is_final = not is_final",
        "event",
        "update ledger.noted set is_final = not is_final",
    ),
    (
        "update ledger.noted set text = text || ' '",
        "event",
        "update ledger.noted set text = rtrim(text, ' ')",
    ),
    (
        "update ledger.batched set items = items || '[1]'",
        "event",
        "update ledger.batched set items = items - -1",
    ),
    (
        "update ledger.noted set block_time = block_time + interval '1 second'",
        "event",
        "update ledger.noted set block_time = block_time - interval '1 second'",
    ),
    (
        "update indexer.undecoded_log set topics = topics[2:] || topics[1]",
        "undecoded",
        "update indexer.undecoded_log set topics = topics[cardinality(topics)] || topics[:cardinality(topics) - 1]",
    ),
    (
        "update indexer.transaction set failure = 'none' where failure is null",
        "transactions",
        "update indexer.transaction set failure = null where failure = 'none'",
    ),
    ("delete from ledger.noted where log_index = (select min(log_index) from ledger.noted)", "event", None),
]


async def test_any_changed_value_is_shown_with_source_and_bucket(scene: Scene, other_url: str) -> None:
    scene.mine(25, seed=8)
    await scene.filled()
    await scene.filled(database_url=other_url)
    for change, part, undo in CHANGES:
        assert (await scene.command("digest", "--compare", other_url)).code == 0, change
        await execute(other_url, change)
        ran = await scene.command("digest", "--compare", other_url, "--json")
        assert ran.code == 1, ran
        differences = ran.json()["differences"]
        assert {each["part"] for each in differences} == {part}
        assert {(each["first_block"], each["last_block"]) for each in differences} == {(0, 999)}
        text = (await scene.command("digest", "--compare", other_url)).output
        assert text.count(" here, ") == len(differences)
        if undo is not None:
            await execute(other_url, undo)


async def test_other_blocks_are_not_taken_for_other_rows(
    scene: Scene, other_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.mine(25, seed=9)
    await scene.filled()
    for first, last in (("5", "9"), ("13", "15")):
        ran = await scene.command(
            "backfill", "--from-block", first, "--to-block", last, database_url=other_url
        )
        assert ran.code == 0
    monkeypatch.setenv("COMPARE_DATABASE_URL", other_url)
    compared = await scene.command("digest", "--compare", "--json")
    assert compared.code == 2
    report = compared.json()
    assert report["differences"] == []
    assert report["rows"] > 0
    assert {str(each["only_here"]) for each in report["coverage"]} == {"[[0, 4], [10, 12], [16, 25]]"}
    within = await scene.command(
        "digest", "--compare", other_url, "--from-block", "5", "--to-block", "9", "--json"
    )
    assert within.code == 0


async def test_what_cannot_be_compared_is_said_without_the_password(scene: Scene, other_url: str) -> None:
    scene.mine(3, seed=1)
    await scene.filled()
    parts = urlsplit(other_url)
    wrong = urlunsplit(parts._replace(netloc="someone:pa55word-of-theirs@localhost:1"))
    ran = await scene.command("digest", "--compare", wrong)
    assert ran.code == 2
    assert "pa55word-of-theirs" not in ran.output + ran.errors
    nothing = await scene.command("digest", "--compare", other_url)
    assert (nothing.code, "not of the same chain" in nothing.errors) == (2, True)
    assert (await scene.command("digest", "--compare")).code == 2
