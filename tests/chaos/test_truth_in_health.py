"""Whatever stops the program turns its health red or degraded with the reason, and the lag up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from indexer.http import healthcheck
from tests.chaos.relay import Relay, relay_to
from tests.chaos.scene import CONTRACTS, Onlooker, Scene, frozen, scene
from tests.fixtures.fakenode import FakeNode, RpcError, serving
from tests.fixtures.program import Metrics, Program, command, started, until, write_config

pytestmark = pytest.mark.chaos

#: So short that a test need not wait long; what is slow by itself is not waited for here, and does no harm.
HEALTH = """
[health]
stalled_seconds = 2
silent_chain_seconds = 2
backfill_stalled_seconds = 2
"""
TIMEOUTS = {"request_seconds": 2.0, "retry_total_seconds": 3.0}
#: What a node can do that has the newest headers and not the blocks.
HEADERS = ("eth_chainId", "eth_getBlockByNumber")
EVENTS_EVER = "select (select count(*) from indexer.event) + (select count(*) from indexer.orphaned_event)"
READ_ONLY = """
    do $$ begin execute format('alter database %I set default_transaction_read_only = {value}', current_database());
    end $$
"""
FULL_DISK = """
    create function public.full_disk() returns trigger language plpgsql as $$
    begin
        raise exception 'could not extend file: No space left on device' using errcode = '53100';
    end $$;
    create trigger full_disk before update on indexer.cursor
        for each row when (old.number is distinct from new.number) execute function public.full_disk();
"""
END_OTHER_SESSIONS = """
    select count(pg_terminate_backend(pid)) from pg_catalog.pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
"""
Story = Callable[["Stage"], Awaitable[None]]


def config(
    world: Scene, directory: Path, rpc: list[str], chain: dict[str, object] | None = None, name: str = "story"
) -> str:
    path = write_config(
        directory,
        CONTRACTS,
        rpc=rpc,
        database_url=world.database_url,
        chain={"poll_seconds": 0.1, **(chain or {})},
        backfill={"parallel": 2, "max_range_blocks": 10},
        timeouts=TIMEOUTS,
        name=f"{name}.toml",
    )
    path.write_text(path.read_text() + HEALTH)
    return str(path)


@dataclass(slots=True)
class Stage:
    """A program with two endpoints of the same chain, each of which can fail by itself."""

    world: Scene
    onlooker: Onlooker
    program: Program
    config: str
    other: FakeNode
    relays: tuple[Relay, Relay]

    async def health(self) -> tuple[int, dict[str, Any]]:
        assert self.program.running, self.program.said
        status, page = await self.program.get("/health")
        return status, json.loads(page)

    async def says(self, status: int, verdict: str, *words: str, mining: bool = False) -> dict[str, Any]:
        """The health page as soon as it has this status and verdict, and a reason with all these words."""
        found: dict[str, Any] = {}

        async def said() -> bool:
            if mining:
                await self.mine_slowly()
            code, page = await self.health()
            found.clear()
            found.update(page)
            told = any(all(each in reason for each in words) for reason in page["reasons"])
            return (code, page["status"]) == (status, verdict) and told

        try:
            await until(said, f"/health is {status}, {verdict}, because {words}")
        except AssertionError as error:
            error.add_note(json.dumps(found, indent=1))
            raise
        return found

    async def mine_slowly(self) -> None:
        """Put a block on the head, unless the program has enough to do."""
        number = (await self.program.metrics()).total("indexer_head_block_number")
        if number == self.world.chain.head.number:
            self.world.mine()

    async def well(self) -> Metrics:
        """Return when all is well again, with the chain going on and nothing missing."""

        async def green() -> bool:
            await self.mine_slowly()
            self.world.finalize(10)
            status, page = await self.health()
            metrics = await self.program.metrics()
            gone = metrics.total("indexer_gap_blocks") == 0 and page["services"]["indexer"]["lag"] in {0, 1}
            return (status, page["status"]) == (200, "ok") and gone

        await until(green, "all is well")
        return await self.not_ahead()

    async def grows(self, *names: str) -> None:
        """Return when each of these numbers has grown."""
        before = await self.program.metrics()

        async def grown() -> bool:
            now = await self.program.metrics()
            return all(now[name] > before[name] for name in names)

        await until(grown, f"{', '.join(names)} grow")

    async def lags(self) -> None:
        """Return when three more blocks have made the lag larger by three at least."""
        before = (await self.program.metrics())["indexer_block_lag"]
        self.world.mine(3)

        async def grown() -> bool:
            return (await self.program.metrics())["indexer_block_lag"] >= before + 3

        await until(grown, "the lag grows with the chain")

    async def not_ahead(self) -> Metrics:
        """The metrics, which claim no event that the database did not hold when it was asked afterwards."""
        metrics = await self.program.metrics()
        assert metrics.total("indexer_events_total") <= await self.onlooker.asked(EVENTS_EVER)
        return metrics

    def refuse(self, when: Callable[[str, list[Any]], bool] | None, message: str = "internal error") -> None:
        """Let both endpoints refuse some calls; None: none."""

        def refused(method: str, params: list[Any]) -> None:
            if when is not None and when(method, params):
                raise RpcError(-32000, message)

        self.world.node.before = self.other.before = refused


@asynccontextmanager
async def stage(database_url: str, directory: Path) -> AsyncIterator[Stage]:
    async with scene(directory, database_url) as world:
        world.mine(60)
        world.finalize(10)
        other = FakeNode(world.chain)
        async with (
            serving(other) as other_url,
            relay_to(world.rpc_url) as one,
            relay_to(other_url) as two,
            world.onlooker() as onlooker,
        ):
            path = config(world, directory, [one.url, two.url])
            async with started("run", "--config", path) as program:
                yield Stage(world, onlooker, program, path, other, (one, two))


def _of_a_range(method: str, params: list[Any]) -> bool:
    return method == "eth_getLogs" and "fromBlock" in params[0]


async def a_backfill_that_brings_nothing(at: Stage) -> None:
    at.refuse(_of_a_range)
    page = await at.says(503, "unhealthy", "the backfill brings nothing", "last error: ", mining=True)
    assert page["services"]["indexer"]["backfill"]["missingBlocks"] > 0
    metrics = await at.program.metrics()
    assert metrics["indexer_backfill_stuck_seconds"] > 2
    assert metrics.total("indexer_gap_blocks") > 0
    await at.grows("indexer_backfill_stuck_seconds")
    at.refuse(None)


async def one_endpoint_that_stands_still(at: Stage) -> None:
    behind = at.world.chain.head.number

    async def told() -> bool:
        await at.mine_slowly()
        at.other.behind = at.world.chain.head.number - behind
        status, page = await at.health()
        return status == 200 and any("endpoint rpc-2 stands still" in each for each in page["reasons"])

    await until(told, "the endpoint that stands still is named")
    heads = (await at.program.metrics()).each("indexer_rpc_endpoint_head_block_number")
    assert len(set(heads.values())) == 2
    at.other.behind = 0


async def a_chain_that_halted(at: Stage) -> None:
    page = await at.says(200, "degraded", "the chain has halted, as 2 endpoints say")
    assert page["services"]["indexer"]["status"] == "healthy", "it is not ours to mend"
    await at.grows(
        "indexer_seconds_since_head_change",
        "indexer_seconds_since_progress",
        "indexer_event_processing_delay_seconds",
    )
    assert (await at.program.metrics())["indexer_stuck_seconds"] == 0


async def one_endpoint_away_and_a_chain_that_halted(at: Stage) -> None:
    await at.relays[1].close()
    await at.says(200, "degraded", "only 1 of 2 endpoints answer", mining=True)
    await at.says(200, "degraded", "or the only node that tells of it stands still")
    await at.relays[1].open()


async def no_node(at: Stage) -> None:
    for relay in at.relays:
        await relay.close()
    await at.says(200, "degraded", "none of 2 endpoints answers")
    metrics = await at.program.metrics()
    assert metrics.total("indexer_rpc_endpoint_up") == 0
    await at.grows(
        "indexer_seconds_since_head_read",
        "indexer_seconds_since_progress",
        "indexer_event_processing_delay_seconds",
    )
    at.world.mine(3)
    for relay in at.relays:
        await relay.open()


async def two_nodes_that_ask_us_to_wait(at: Stage) -> None:
    at.refuse(lambda method, params: True, "rate limit exceeded")
    page = await at.says(200, "degraded", "no endpoint has told its newest block for")
    assert page["services"]["blockchain"]["endpointsUp"] == 2, "they answer, if only to say no"
    await at.grows("indexer_seconds_since_head_read", "indexer_event_processing_delay_seconds")
    assert (await at.program.metrics()).total("indexer_rpc_requests_total", outcome="rate_limited") > 0
    at.refuse(None)


async def blocks_that_cannot_be_had(at: Stage) -> None:
    at.refuse(lambda method, params: method not in HEADERS)
    page = await at.says(503, "unhealthy", "the cursor stands at", "last error: ", mining=True)
    assert page["services"]["indexer"]["lastError"]["type"] in {"unavailable", "inconsistent"}
    await at.lags()
    await at.grows("indexer_stuck_seconds", "indexer_event_processing_delay_seconds")
    assert (await at.program.metrics())["indexer_stuck_seconds"] > 2
    at.refuse(None)


async def a_database_that_takes_reads_only(at: Stage) -> None:
    await at.onlooker.execute(READ_ONLY.format(value="on"))
    await at.onlooker.asked(END_OTHER_SESSIONS)

    async def red() -> bool:
        status, page = await at.health()
        return status == 503 and "read-only" in json.dumps(page)

    await until(red, "/health is red and says that the database takes reads only")
    await at.lags()
    assert (await at.program.get("/health/live"))[0] == 200
    await at.onlooker.execute("set default_transaction_read_only = off")
    await at.onlooker.execute(READ_ONLY.format(value="off"))
    await at.onlooker.asked(END_OTHER_SESSIONS)


async def a_disk_that_is_full(at: Stage) -> None:
    """What PostgreSQL says then; that it really is full makes no difference to us."""
    await at.onlooker.execute(FULL_DISK)
    page = await at.says(503, "unhealthy", "the cursor stands at", "could not extend file", mining=True)
    assert page["services"]["indexer"]["lastError"]["type"] == "unavailable"
    await at.lags()
    await at.not_ahead()
    await at.onlooker.execute("drop trigger full_disk on indexer.cursor")


async def a_loop_that_does_not_turn(at: Stage) -> None:
    address = urlsplit(await at.program.http_url())
    listen = {"INDEXER_HTTP": f"{address.hostname}:{address.port}"}
    await frozen(at.program)
    assert await asyncio.to_thread(partial(healthcheck.main, listen, timeout_seconds=1)) == 1
    at.program.thaw()


STORIES: tuple[Story, ...] = (
    a_backfill_that_brings_nothing,
    one_endpoint_that_stands_still,
    a_chain_that_halted,
    one_endpoint_away_and_a_chain_that_halted,
    no_node,
    two_nodes_that_ask_us_to_wait,
    blocks_that_cannot_be_had,
    a_database_that_takes_reads_only,
    a_disk_that_is_full,
    a_loop_that_does_not_turn,
)


async def test_one_program_tells_the_truth_about_all_that_can_stop_it(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as at:
        for story in STORIES:
            try:
                await story(at)
                await at.well()
            except BaseException as error:
                error.add_note(f"this was in: {story.__name__}")
                raise
        assert await at.program.stopped() == 0, at.program.said


async def test_what_an_audit_finds_shows_in_the_metrics_of_the_program_and_in_the_status(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as at:
        await at.well()
        before = (await command("status", "--config", at.config, "--json")).json()
        assert (before["last_audit"], before["halted"]) == (None, None)
        assert (await at.program.metrics())["indexer_audit_last_timestamp_seconds"] == 0
        await at.onlooker.execute("update ledger.noted set delta = delta # 1 where block_number < 40")
        audit = await command("audit", "--config", at.config, "--from-block", "0", "--json")
        assert audit.code == 1, audit.said

        async def audited() -> bool:
            return (await at.program.metrics())["indexer_audit_last_timestamp_seconds"] > 0

        await until(audited, "the metrics have heard of the audit")
        metrics = await at.program.metrics()
        assert metrics["indexer_audit_differences"] == audit.json()["differences_total"] > 0
        assert metrics["indexer_audit_unrepaired_blocks"] == audit.json()["unrepaired_blocks"]
        status = (await command("status", "--config", at.config, "--json")).json()
        assert status["last_audit"]["verdict"] == "different"
        assert status["last_audit"]["differences"] == audit.json()["differences_total"]
        assert await at.program.stopped() == 0, at.program.said


async def test_a_halt_shows_in_metrics_and_in_the_database_until_it_is_over(
    database_url: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database_url) as world, world.onlooker() as onlooker:
        world.mine(30)
        world.finalize(20)
        path = config(world, tmp_path, [world.rpc_url], {"max_reorg_depth": 5})
        async with started("run", "--config", path) as program:
            await world.caught_up()
            world.mine(8)
            await world.followed()
            world.reorg(8, 9)

            async def halted() -> bool:
                return (await program.get("/health"))[0] == 503 and bool(
                    await onlooker.asked("select count(*) from indexer.halt")
                )

            await until(halted, "/health says that it halted, and the database knows")
            metrics = await program.metrics()
            assert metrics.total("indexer_halted", reason="too_deep") == 1
            assert metrics.total("indexer_halted") == 1
            assert metrics["indexer_block_lag"] > 0
            # The database goes away and comes back under a program that only serves any more.
            await onlooker.asked(END_OTHER_SESSIONS)

            async def connected() -> bool:
                return bool(json.loads((await program.get("/health"))[1])["database"] == "connected")

            await until(connected, "the database is seen again")
            assert await program.stopped() == 0, program.said
        told = await command("status", "--config", path, "--json")
        assert told.json()["halted"]["kind"] == "too_deep"
        assert "max_reorg_depth = 5" in told.json()["halted"]["reason"]
        assert "HALTED" in (await command("status", "--config", path)).output

        higher = config(world, tmp_path, [world.rpc_url], {"max_reorg_depth": 50}, name="higher")
        async with started("run", "--config", higher) as program:
            await world.settled()
            assert await program.stopped() == 0, program.said
        told = await command("status", "--config", path, "--json")
        assert told.json()["halted"] is None
        assert told.json()["orphaned"] == await onlooker.asked("select count(*) from indexer.orphaned_event")
        assert told.json()["last_progress_seconds"] >= 0
        assert await world.compare() > 0
