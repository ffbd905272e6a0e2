"""Seven incidents from their cause to the people: the right message on the right channels, and then its end.

Everything is real but the people: chain, database, indexer, Prometheus and Alertmanager of two generations, with our
files. Only time runs faster (`tests/fixtures/shortened.py`); the incidents happen side by side.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.fixtures.debian import Parts
from tests.fixtures.hearing import (
    DATABASE_TEAM,
    LOOKED_INTO,
    ON_CALL,
    Alert,
    is_kept,
    is_muted,
    told,
    told_over,
)
from tests.fixtures.incidents import FACTOR, USUAL_GAS_GWEI, Indexed, Stack, Watch, available, stack
from tests.fixtures.program import until
from tests.fixtures.receivers import SECRETS, Channel

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

log = logging.getLogger(__name__)
PEOPLE: Sequence[Channel] = ("slack", "pagerduty", "email")
BACKUP = """
    insert into indexer.backup (started_at, finished_at, outcome, file_name, size_bytes, checksum)
    values (now() - $1::interval - interval '1 minute', now() - $1::interval, 'ok', 'index.dump', 52428800,
            repeat('0', 64))
"""
#: What there is only when the history reaches back into the hour before the last one.
BASELINE = 'avg_over_time(indexer:gas_price:gwei{chain="sound"}[1m] offset 1m)'
REORG_BLOCKS = 12


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that goes wrong, and is mended when all have heard of it."""

    name: str
    cause: Callable[[], Awaitable[object]]
    remedy: Callable[[], Awaitable[object]]
    alerts: Sequence[Alert]
    #: What follows from it, and must not be told to anybody as long as it lasts.
    muted: Sequence[str] = ()


async def test_seven_incidents_reach_those_who_have_to_know_and_so_does_their_end(
    old_parts: Parts, tmp_path: Path
) -> None:
    newer = Parts("monitoring-new", old_parts.root.with_name("monitoring-new"))
    async with stack(available(old_parts, newer), tmp_path) as running:
        async with asyncio.TaskGroup() as meanwhile:
            for each in (failures(running.sound), deep_reorg(running.sound), backup(running.sound)):
                meanwhile.create_task(play(running, each))
            meanwhile.create_task(gas_spike_after_an_hour(running))
            for each in (stuck(running.troubled), node(running.troubled), database(running.troubled)):
                await play(running, each)
        log.info("%s", table(running))
        assert len(running.measured) == 7
        said = running.troubled.program.said + running.sound.program.said
        assert not [secret for secret in SECRETS if secret in said]


async def play(running: Stack, incident: Incident) -> None:
    """Cause it, see everybody told, mend it, and see everybody told that it is over."""
    clock = asyncio.get_running_loop().time
    before = heard_so_far(running)
    began = clock()
    await incident.cause()
    pairs = [(watch, alert) for watch in running.watches for alert in incident.alerts]
    messages = await asyncio.gather(*(told(watch, alert, before[watch.name]) for watch, alert in pairs))
    to_message = clock() - began
    log.info("%s: told after %.1f s", incident.name, to_message)
    for watch in running.watches:
        for name in incident.muted:
            await until(partial(is_muted, watch, name), f"{name} is muted during {incident.name}")
            told_all_the_same = [
                each for one in PEOPLE for each in watch.receivers.of(one, containing=f"{name} (")
            ]
            assert not told_all_the_same
    before = heard_so_far(running)
    began = clock()
    await incident.remedy()
    await asyncio.gather(
        *(
            told_over(watch, alert, message, before[watch.name])
            for (watch, alert), message in zip(pairs, messages, strict=True)
        )
    )
    running.measured[incident.name] = (to_message, clock() - began)
    log.info("%s: over after %.1f s", incident.name, clock() - began)
    for alert in incident.alerts:
        await is_kept(running.sound.postgres.url, alert)


def heard_so_far(running: Stack) -> dict[str, int]:
    return {watch.name: len(watch.receivers.told) for watch in running.watches}


def table(running: Stack) -> str:
    """How long everything took."""
    lines = [f"{'incident':28}  to message  to its end   (s, all durations divided by {FACTOR})"]
    lines += [f"{name:28}  {first:10.1f}  {end:10.1f}" for name, (first, end) in running.measured.items()]
    return "\n".join(lines)


def stuck(indexed: Indexed) -> Incident:
    """Somebody has left a transaction open that keeps the indexer from writing; everything answers."""

    async def lock() -> None:
        await indexed.other_session.execute("begin; lock table indexer.cursor in exclusive mode")

    async def unlock() -> None:
        await indexed.other_session.execute("rollback")

    told = Alert("IndexerStuck", f"The indexer is stuck on chain {indexed.name}")
    return Incident("stuck indexer", lock, unlock, [told])


def node(indexed: Indexed) -> Incident:
    """The only node does not answer any more, and does not say so."""

    async def freeze() -> None:
        indexed.freeze_node()

    async def thaw() -> None:
        indexed.thaw_node()

    told = Alert("AllRpcDown", f"No RPC endpoint of chain {indexed.name} answers")
    return Incident("node stopped", freeze, thaw, [told], muted=["RpcEndpointDown"])


def database(indexed: Indexed) -> Incident:
    """The indexer says so, and so does the exporter; those who look after databases are called, too."""
    called = [*ON_CALL, *DATABASE_TEAM]
    alerts = [
        Alert(
            "DatabaseConnectionFailure",
            f"The indexer of chain {indexed.name} cannot use its database",
            called,
        ),
        Alert("DatabaseDown", "does not answer", called),
    ]
    return Incident("PostgreSQL stopped", indexed.postgres.stop, indexed.postgres.start, alerts)


def failures(indexed: Indexed) -> Incident:
    """Half of the transactions fail; the warning of the same contract is not told beside the critical alert."""

    async def begin() -> None:
        indexed.traffic.failing = indexed.traffic.transactions

    async def end() -> None:
        indexed.traffic.failing = 0

    alerts = [
        Alert(
            "HighContractFailureRate", f"of the transactions to our contracts on chain {indexed.name} fail"
        ),
        Alert("ContractErrorRateCritical", "of the transactions to Token fail"),
    ]
    return Incident("failing transactions", begin, end, alerts, muted=["ContractErrorRateHigh"])


def deep_reorg(indexed: Indexed) -> Incident:
    """It is over by itself when it was an hour ago."""

    async def reorg() -> None:
        await indexed.dev.reorg(REORG_BLOCKS)

    async def nothing() -> None:
        """Nobody can undo it."""

    told = Alert("DeepReorg", f"A reorg of more than 10 blocks on chain {indexed.name}")
    return Incident("deep reorg", reorg, nothing, [told])


def backup(indexed: Indexed) -> Incident:
    """The newest one is of yesterday morning; then there is a new one."""

    async def of_yesterday() -> None:
        await indexed.postgres.asked(BACKUP, timedelta(hours=27))

    async def of_now() -> None:
        await indexed.postgres.asked(BACKUP, timedelta(0))

    told = Alert("BackupTooOld", f"The newest backup of chain {indexed.name} is 1d 3h")
    return Incident("late backup", of_yesterday, of_now, [told])


async def gas_spike_after_an_hour(running: Stack) -> None:
    """A spike is judged by the hour before the last one, so there has to be one; its length is that of the factor."""
    traffic = running.sound.traffic
    async with aiohttp.ClientSession() as session:
        for watch in running.watches:
            await until(partial(has_baseline, session, watch), "there is a price of the hour before the last")

    async def rise() -> None:
        traffic.gas_gwei = 6 * USUAL_GAS_GWEI

    async def fall() -> None:
        traffic.gas_gwei = USUAL_GAS_GWEI

    told = Alert("AnomalousGasSpike", f"Gas on chain {running.sound.name} costs", LOOKED_INTO)
    await play(running, Incident("gas spike", rise, fall, [told]))


async def has_baseline(session: aiohttp.ClientSession, watch: Watch) -> bool:
    async with session.get(f"{watch.prometheus_url}/api/v1/query", params={"query": BASELINE}) as response:
        return bool((await response.json())["data"]["result"])
