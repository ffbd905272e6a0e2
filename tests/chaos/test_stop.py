"""Told to stop in any phase, the program ends with code 0, without a complaint, and leaves nothing half done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.scene import scene
from tests.chaos.test_below_finality import break_finality
from tests.fixtures.cutting import CuttingProxy, SilentProxy
from tests.fixtures.program import Program, until_sql

pytestmark = pytest.mark.chaos

#: What a program that was merely told to stop does not say.
COMPLAINTS = ("Traceback", "never retrieved", "never awaited", "unclosed", "unforeseen", "was destroyed")

HAS_SCHEMA = "select count(*) > 0 from pg_namespace where nspname = 'indexer'"


async def assert_stops(program: Program) -> None:
    """The program ends well when it is told to, and that is the last that it says."""
    assert program.running, program.said
    assert await program.stopped() == 0, program.said
    assert program.journal[-1]["message"] == "stopped", program.said
    assert not [each for each in COMPLAINTS if each in program.said], program.said


@asynccontextmanager
async def mute_node() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """URL of a node that takes connections and never answers, and whether somebody came."""
    came = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        try:
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", came


async def test_it_stops_while_it_starts(empty_database_url: str, tmp_path: Path) -> None:
    async with scene(tmp_path, empty_database_url) as world:
        world.mine(5)
        async with world.run() as program:
            await program.journalled("started")
            await assert_stops(program)


async def test_it_stops_in_a_transaction_of_the_backfill_and_in_one_of_the_tail(
    database_url: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database_url) as world, world.onlooker() as onlooker:
        world.mine(90)
        world.finalize(10)
        async with world.run() as program:
            await program.journalled("backfill started")
            assert await onlooker.freezes_writing(program)
            program.terminate()
            program.thaw()
            await assert_stops(program)
        await world.compare_claims()
        async with world.run() as program:
            await world.caught_up()
            assert await onlooker.freezes_writing(program, partial(world.keep_going, onlooker))
            program.terminate()
            program.thaw()
            await assert_stops(program)
        await world.compare_claims()


async def test_it_stops_in_the_transaction_of_a_reorg(database_url: str, tmp_path: Path) -> None:
    async with scene(tmp_path, database_url) as world, world.onlooker() as onlooker:
        world.mine(20)
        world.finalize(10)

        async def reorganize() -> None:
            if await onlooker.at_head(world.chain):
                world.reorg(5, 6)

        async with world.run() as program:
            await world.caught_up()
            assert await onlooker.freezes_writing(program, reorganize)
            program.terminate()
            program.thaw()
            await assert_stops(program)
        await world.compare_claims()


async def test_it_stops_in_a_migration_and_leaves_nothing_of_it(
    empty_database_url: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, empty_database_url) as world, world.onlooker() as onlooker:
        world.mine(9)
        world.finalize(3)
        async with world.run() as program:
            assert await onlooker.freezes_writing(program)
            program.terminate()
            program.thaw()
            await assert_stops(program)
        assert not await onlooker.asked(HAS_SCHEMA)
        async with world.run() as program:
            await world.settled()
            await assert_stops(program)
        assert await world.compare() > 0


async def test_it_stops_while_it_is_halted(database_url: str, tmp_path: Path) -> None:
    async with scene(tmp_path, database_url) as world:
        world.mine(20)
        world.finalize(5)
        async with world.run() as program:
            await world.followed()
            break_finality(world, depth=10)
            await program.journalled("halted")
            await assert_stops(program)


async def test_it_stops_while_the_database_says_nothing(database_url: str, tmp_path: Path) -> None:
    async with (
        SilentProxy(database_url).running() as proxy,
        scene(tmp_path, database_url) as world,
    ):
        world.mine(30)
        world.finalize(10)
        async with world.run(database_url=proxy.url) as program:
            await world.followed()
            proxy.fall_silent()
            world.mine(2)
            await proxy.asked_in_vain.wait()
            await assert_stops(program)


async def test_it_stops_while_it_stands_by_and_while_it_follows(database_url: str, tmp_path: Path) -> None:
    async with scene(tmp_path, database_url) as world:
        world.mine(9)
        world.finalize()
        async with world.run() as leader:
            await leader.journalled("leading")
            async with world.run() as standby:
                await standby.journalled("standing by")
                await assert_stops(standby)
            await world.settled()
            await assert_stops(leader)
        assert await world.compare() > 0


async def test_it_stops_while_the_database_is_away(database_url: str, tmp_path: Path) -> None:
    async with scene(tmp_path, database_url) as world, AsyncExitStack() as way:
        proxy = await way.enter_async_context(CuttingProxy(database_url).running())
        world.mine(30)
        world.finalize(10)
        async with world.run(database_url=proxy.url) as program:
            await world.followed()
            await way.aclose()
            await program.journalled("indexing failed, trying again", times=2)
            await assert_stops(program)
        await world.compare_claims()


async def test_it_stops_while_the_node_is_away(database_url: str, tmp_path: Path) -> None:
    async with (
        mute_node() as (url, came),
        scene(tmp_path, database_url) as world,
        world.run(rpc_url=url) as program,
    ):
        await came.wait()
        await assert_stops(program)


async def test_a_backfill_that_is_told_to_stop_does_not_claim_to_be_complete(
    database_url: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database_url) as world, world.onlooker() as onlooker:
        world.mine(90)
        world.finalize()
        async with world.backfill() as program:
            await until_sql(database_url, "select count(*) > 0 from indexer.event")
            assert await onlooker.freezes_writing(program)
            program.terminate()
            program.thaw()
            assert await program.ended() == 143, program.said
            assert not [each for each in COMPLAINTS if each in program.said], program.said
        await world.compare_claims()
