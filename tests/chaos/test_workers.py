"""A backfill by several processes writes what one alone writes, whichever of them is killed, frozen or told to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from indexer import once
from indexer.core.errors import LostLeadership
from indexer.core.redaction import Redactor
from indexer.settings.reading import load_settings
from indexer.workers.process import WorkerProcess
from tests.chaos.scene import BACKFILL, Onlooker, Scene, frozen, scene
from tests.chaos.test_stop import COMPLAINTS
from tests.chaos.test_two_processes import END_LOCK_SESSIONS, TESTIMONY, WITNESS
from tests.fixtures.gate import Gate, gate_before, range_of_logs
from tests.fixtures.postgres import fresh_database
from tests.fixtures.program import Program, command, started, until

pytestmark = [
    pytest.mark.chaos,
    # What is killed in the middle of a request leaves a socket to the test's own node that is only collected later.
    pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"),
]

WORKERS = 3
#: With all of them at work each has so many requests under way.
RANGES = WORKERS * int(str(BACKFILL["parallel"]))

#: Fills that have copied their rows and wait for a source's row.
AT_THE_CLAIM = """
    select count(*) from pg_catalog.pg_stat_activity
    where datname = current_database() and application_name ~ '^indexer writer' and wait_event_type = 'Lock'
"""
UNDECODED = "logs that do not fit their events were kept in indexer.undecoded_log"
#: All that a backfill writes but the moments at which it did.
CONTENTS: Sequence[str] = (
    "select * from indexer.event order by contract, block_number, log_index",
    "select contract, signature, address, blocks, rows, active from indexer.coverage order by 1, 2 nulls last, 3, 5",
    "select * from indexer.transaction order by block_number, transaction_index",
    "select number, hash, timestamp from indexer.block order by number",
    "select block_number, log_index, reason, topics, data from indexer.undecoded_log order by 1, 2",
)


async def contents(database_url: str) -> list[list[tuple[Any, ...]]]:
    connection = await asyncpg.connect(database_url)
    try:
        return [[tuple(row) for row in await connection.fetch(query)] for query in CONTENTS]
    finally:
        await connection.close()


def assert_same(several: list[list[tuple[Any, ...]]], alone: list[list[tuple[Any, ...]]]) -> None:
    for query, ours, theirs in zip(CONTENTS, several, alone, strict=True):
        assert ours, f"nothing to compare: {query}"
        assert ours == theirs, query


def others(program: Program) -> list[int]:
    """The processes that the program has started, by their ids."""
    try:
        return [
            int(pid) for pid in Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
        ]
    except FileNotFoundError:
        return []


async def gone(pids: Sequence[int]) -> None:
    """Return when none of these processes runs."""

    def runs(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    async def all_gone() -> bool:
        return not any(map(runs, pids))

    await until(all_gone, "the other processes end")


@dataclass(slots=True)
class Work:
    """A backfill whose processes have all begun, each with its requests waiting at the gate."""

    world: Scene
    onlooker: Onlooker
    gate: Gate
    program: Program
    pids: list[int]

    @asynccontextmanager
    async def at_the_claim(self) -> AsyncIterator[None]:
        """All of them are in transactions that have written, and are kept from claiming what they wrote."""
        async with self.world.onlooker() as holder:
            await holder.execute("begin; lock table indexer.source in exclusive mode")
            self.gate.release()

            async def all_wait() -> bool:
                return bool(await self.onlooker.asked(AT_THE_CLAIM) == RANGES)

            await until(all_wait, "every process waits in its transactions")
            yield

    async def is_complete(self) -> None:
        """Everything is in the database, once, and is what the chain says."""
        assert await self.onlooker.covers(self.world.chain.head.number)
        assert await self.world.compare_claims() > 0


@asynccontextmanager
async def at_work(database_url: str, directory: Path, *options: str) -> AsyncIterator[Work]:
    async with (
        scene(directory, database_url) as world,
        world.onlooker() as onlooker,
        gate_before(world.rpc_url) as gate,
    ):
        world.mine(90)
        world.finalize()
        gate.hold(range_of_logs)
        config = str(world.config(rpc_url=gate.url))
        arguments = ("backfill", "--config", config, "--from-block", "0", "--workers", str(WORKERS), *options)
        async with started(*arguments) as program:

            async def all_ask() -> bool:
                assert program.running, program.said
                return gate.waiting == RANGES

            await until(all_ask, "every process has asked for its first ranges")
            pids = others(program)
            assert len(pids) == WORKERS - 1
            yield Work(world, onlooker, gate, program, pids)


async def test_several_processes_write_what_one_alone_writes(empty_database_url: str, tmp_path: Path) -> None:
    async with at_work(empty_database_url, tmp_path) as work:
        work.gate.release()
        assert await work.program.ended() == 0, work.program.said
        await gone(work.pids)
        await work.is_complete()
        async with fresh_database(empty_database_url) as url:
            config = str(work.world.config(database_url=url))
            alone = await command("backfill", "--config", config, "--from-block", "0", "--workers", "1")
            assert alone.code == 0, alone.said
            assert_same(await contents(empty_database_url), await contents(url))
        # Those logs are of every kind that contracts emit.
        assert {each["message"] for each in work.program.journal} == {UNDECODED}


async def test_processes_that_are_killed_have_their_blocks_dealt_again_and_the_first_does_all_the_rest(
    empty_database_url: str, tmp_path: Path
) -> None:
    async with at_work(empty_database_url, tmp_path) as work:
        again = "the blocks of a process that was ended are dealt again"
        async with work.at_the_claim():
            os.kill(work.pids[0], signal.SIGKILL)
            told = await work.program.journalled(again)
            assert told["blocks"] > 0 and "signal 9" in told["reason"]
            os.kill(work.pids[1], signal.SIGKILL)
            await work.program.journalled(again, times=2)
        assert await work.program.ended() == 0, work.program.said
        await work.is_complete()


async def test_when_the_first_process_is_killed_the_others_end_and_the_next_start_completes(
    empty_database_url: str, tmp_path: Path
) -> None:
    async with at_work(empty_database_url, tmp_path) as work:
        async with work.at_the_claim():
            work.program.kill()
            await work.program.ended()
            await gone(work.pids)
        await work.world.compare_claims()
        while (outcome := await work.world.backfilled()).code == 75:
            pass
        assert outcome.code == 0 and outcome.json()["complete"], outcome.said
        await work.is_complete()


@pytest.mark.parametrize(("told", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_all_processes_end_without_a_complaint_when_the_first_is_told_to_stop(
    empty_database_url: str, tmp_path: Path, told: signal.Signals, code: int
) -> None:
    async with at_work(empty_database_url, tmp_path) as work:
        async with work.at_the_claim():
            os.kill(work.program.pid, told)
            assert await work.program.ended() == code, work.program.said
            await gone(work.pids)
        assert not [each for each in COMPLAINTS if each in work.program.said], work.program.said
        await work.world.compare_claims()


async def test_no_process_writes_once_the_lead_is_taken_from_the_first(
    empty_database_url: str, tmp_path: Path
) -> None:
    async with at_work(empty_database_url, tmp_path) as work:
        # Frozen, it cannot tell the others that it leads no longer.
        await frozen(work.program)
        assert await work.onlooker.asked(END_LOCK_SESSIONS) == 1
        successor = await command(
            *("backfill", "--config", str(work.world.config()), "--from-block", "0", "--to-block", "9"),
            *("--workers", "1"),
        )
        assert successor.code == 0, successor.said
        before = await contents(work.world.database_url)
        await work.onlooker.execute(WITNESS)
        work.gate.release()
        asked = work.gate

        async def answered() -> bool:
            return asked.waiting == 0

        await until(answered, "the others have what they asked for")
        work.program.thaw()
        assert await work.program.ended() == LostLeadership.exit_code, work.program.said
        await gone(work.pids)
        assert await contents(work.world.database_url) == before
        assert await work.onlooker.asked(TESTIMONY) is None


async def test_no_process_is_started_for_a_small_gap(
    empty_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def start() -> WorkerProcess:
        raise AssertionError("a process is started")

    monkeypatch.setattr(WorkerProcess, "start", start)
    async with scene(tmp_path, empty_database_url) as world:
        world.mine(5)
        world.finalize()
        settings = load_settings({}, world.config())
        assert await once.backfill(settings, Redactor(), 0, None, None, processes=8, as_json=True) == 0
        assert await world.compare_claims() >= 0
    assert '"complete":true' in capsys.readouterr().out
