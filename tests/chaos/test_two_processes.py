"""Two processes on one database: one writes, the other takes over, and never do both write."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.scene import Onlooker, Scene, frozen, scene
from tests.fixtures.program import Program

log = logging.getLogger(__name__)
pytestmark = pytest.mark.chaos

#: How long a leader stays frozen at least; its successor leads after some 16 s in any case.
FROZEN_SECONDS = float(os.environ.get("CHAOS_FROZEN_SECONDS", "0"))

#: Notes who changes the cursor or the coverage, in the database itself and in its order.
WITNESS = """
    create table public.witness (id bigserial primary key, writer text, epoch bigint);
    create function public.testify() returns trigger language plpgsql as $$
    begin
        insert into public.witness (writer, epoch)
        select current_setting('application_name'), epoch from indexer.chain;
        return null;
    end $$;
    create trigger testify after insert or update or delete on indexer.cursor
        for each statement execute function public.testify();
    create trigger testify after update of backfilled, followed_from, rows on indexer.source
        for each statement execute function public.testify();
"""
TESTIMONY = "select array_agg(array[writer, epoch::text] order by id) from public.witness"
END_LOCK_SESSIONS = """
    select count(pg_terminate_backend(pid)) from pg_catalog.pg_locks
    where locktype = 'advisory' and granted
        and database = (select oid from pg_catalog.pg_database where datname = current_database())
"""


@dataclass(slots=True)
class Pair:
    """Two processes and what they share."""

    world: Scene
    onlooker: Onlooker
    leader: Program
    standby: Program

    async def grow(self) -> None:
        """Let the chain go on, with a reorg in it, and wait until the database has followed."""
        self.world.mine(3)
        await self.world.followed()
        self.world.reorg(2, 3)
        await self.world.settled()

    async def freeze_leader(self) -> None:
        """Freeze the leader with a transaction open in which it has written."""
        assert await self.onlooker.freezes_writing(self.leader, partial(self.world.keep_going, self.onlooker))

    async def compare(self, *, leaders: int) -> None:
        """All rows are right, and so many leaders wrote one after the other, never in each other's turn."""
        assert await self.world.compare() > 0
        testimony = await self.onlooker.asked(TESTIMONY)
        assert {writer for writer, epoch in testimony if writer != f"indexer writer {epoch}"} == set()
        epochs = [int(epoch) for _, epoch in testimony]
        assert epochs == sorted(epochs)
        assert len(set(epochs)) == leaders, sorted(set(epochs))


@asynccontextmanager
async def pair(database_url: str, directory: Path) -> AsyncIterator[Pair]:
    """A process that leads and one that stands by, on a chain with a history."""
    async with scene(directory, database_url) as world, world.onlooker() as onlooker:
        await onlooker.execute(WITNESS)
        world.mine(40)
        world.finalize(10)
        async with world.run() as leader:
            await leader.journalled("leading")
            async with world.run() as standby:
                await standby.journalled("standing by")
                yield Pair(world, onlooker, leader, standby)


async def role(program: Program) -> tuple[int, str, str]:
    """HTTP status, verdict and role according to its health page."""
    status, page = await program.get("/health")
    health = json.loads(page)
    return status, health["status"], health["role"]


async def events_written(program: Program) -> float:
    """How many events it claims to have written since its start."""
    return (await program.metrics()).total("indexer_events_total")


async def test_exactly_one_of_two_processes_writes_and_the_other_takes_over_when_it_is_killed(
    database_url: str, tmp_path: Path
) -> None:
    async with pair(database_url, tmp_path) as two:
        await two.grow()
        assert await role(two.leader) == (200, "ok", "leader")
        assert await role(two.standby) == (200, "ok", "standby")
        assert (await two.standby.metrics())["indexer_leader"] == 0
        assert await events_written(two.leader) > 0
        assert await events_written(two.standby) == 0
        await two.compare(leaders=1)

        await two.freeze_leader()
        two.leader.kill()
        killed = time.monotonic()
        await two.standby.journalled("leading", epoch=2)
        log.info("the standby leads %.1f s after the leader was killed", time.monotonic() - killed)
        await two.grow()
        assert await role(two.standby) == (200, "ok", "leader")
        await two.compare(leaders=2)
        assert await two.standby.stopped() == 0, two.standby.said


async def test_a_leader_that_was_frozen_in_a_transaction_writes_nothing_after_it_wakes_up(
    database_url: str, tmp_path: Path
) -> None:
    async with pair(database_url, tmp_path) as two:
        await two.world.followed()
        await two.freeze_leader()
        began = time.monotonic()
        # The server ends the frozen one's session when it has heard nothing from it for a while.
        await two.standby.journalled("leading", epoch=2)
        log.info("the standby leads %.1f s after the leader froze", time.monotonic() - began)
        await two.grow()
        while time.monotonic() < began + FROZEN_SECONDS:
            await two.grow()

        two.leader.thaw()
        await two.leader.journalled("standing by")
        written = await events_written(two.leader)
        await two.grow()
        assert await events_written(two.leader) == written
        assert await role(two.leader) == (200, "ok", "standby")
        await two.compare(leaders=2)
        assert await two.leader.stopped() == 0, two.leader.said
        assert await two.standby.stopped() == 0, two.standby.said


async def test_a_leader_whose_lock_session_is_ended_hands_over_and_stands_by(
    database_url: str, tmp_path: Path
) -> None:
    async with pair(database_url, tmp_path) as two:
        await two.grow()
        # It notices at once and asks for the lock again, so it stands still until the other one has it.
        await frozen(two.leader)
        assert await two.onlooker.asked(END_LOCK_SESSIONS) == 1
        await two.standby.journalled("leading", epoch=2)
        two.world.mine(3)
        two.leader.thaw()
        await two.leader.journalled("standing by")
        await two.grow()
        await two.compare(leaders=2)

        two.standby.kill()
        await two.leader.journalled("leading", epoch=3)
        await two.grow()
        await two.compare(leaders=3)
        assert await two.leader.stopped() == 0, two.leader.said
