"""What several processes of a backfill share, and what they say to each other."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from indexer.core.dealing import Portion
from indexer.core.errors import Inconsistent, IndexerError, LostLeadership, TooDeep, TooMuch, Unavailable
from indexer.core.model import Span
from indexer.core.plan import Piece
from indexer.rpc.limiter import Limiter
from indexer.settings import Settings
from indexer.settings.model import ChainSettings, ContractSettings, DatabaseSettings, EndpointSettings
from indexer.sync.branches import Parted
from indexer.workers.channel import Begin, Failed, Fill, error_of, to_leader, to_worker, told
from indexer.workers.crew import share_of

SETTINGS = Settings(
    ChainSettings(
        id=None,
        name="test",
        rpc=(
            EndpointSettings("slow", "https://node.example/v1/k3y0f7heR1ch", requests_per_second=25.0),
            EndpointSettings("free", "http://127.0.0.1:8545"),
        ),
    ),
    (ContractSettings("Token", (b"\x01" * 20,), Path("token.json"), events=("Transfer",)),),
)
URL = "postgresql://me:p4ssword@db.example/events"


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_the_shares_of_a_rate_add_up_to_it(processes: int) -> None:
    slow, free = share_of(SETTINGS, processes, URL).chain.rpc
    assert slow.requests_per_second is not None
    assert slow.requests_per_second * processes == pytest.approx(25.0)
    assert free.requests_per_second is None


@pytest.mark.parametrize(("most", "processes", "each"), [(8, 2, 4), (8, 3, 2), (3, 4, 2), (100, 4, 25)])
def test_connections_are_shared_out_and_suffice_to_work(most: int, processes: int, each: int) -> None:
    settings = replace(SETTINGS, database=DatabaseSettings(connections=most))
    assert share_of(settings, processes, URL).database == DatabaseSettings(URL, each)


async def test_a_limiter_that_shares_its_rate_lets_its_part_through_and_no_burst(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("indexer.rpc.limiter.asyncio.sleep", sleep)
    limiter = Limiter(10.0, lambda: now)
    await limiter.take(10)
    limiter.share(0.5)
    sent = []
    for _ in range(12):
        sent.append(await limiter.take(1))
        limiter.ended(sent[-1], limited=0, answered=True)
    assert sent[0].at >= 101.0
    assert max(sum(one.at <= each.at < one.at + 1 for each in sent) for one in sent) <= 5
    assert sent[-1].at == pytest.approx(101.0 + 11 / 5, abs=0.3)
    limiter.share(1.0)
    assert limiter.per_second == 10.0


def test_a_limiter_without_a_rate_has_nothing_to_share() -> None:
    limiter = Limiter(None)
    limiter.share(0.1)
    assert limiter.per_second is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unavailable("no answer"), Unavailable),
        (TooMuch("2,000 blocks"), TooMuch),
        (Parted("on two branches"), Inconsistent),
        (TooDeep("200 blocks"), TooDeep),
        (LostLeadership("epoch 4"), LostLeadership),
        (IndexerError("any other"), IndexerError),
    ],
)
def test_errors_arrive_as_what_they_were(error: IndexerError, kind: type[IndexerError]) -> None:
    arrived = error_of(told(error, str(error)))
    assert isinstance(arrived, kind)
    assert (str(arrived), arrived.exit_code) == (str(error), error.exit_code)


async def test_what_is_said_arrives_and_the_end_is_seen_by_both() -> None:
    one, other = socket.socketpair()
    leader, worker = await to_worker(one), await to_leader(other)
    begin = Begin(share_of(SETTINGS, 2, URL), 7, datetime.now(UTC), None)
    large = Fill(Portion(tuple(Piece(Span(at * 3, at * 3 + 1), frozenset({1, at})) for at in range(20_000))))
    sending = asyncio.create_task(leader.send(begin))
    assert await worker.receive() == begin
    await sending
    sending = asyncio.create_task(leader.send(large))
    assert await worker.receive() == large
    await sending
    failed = Failed("Unavailable", "no answer")
    await worker.send(failed)
    assert await leader.receive() == failed
    await worker.close()
    assert await leader.receive() is None
    # Nobody listens any more; that is no error of ours.
    await leader.send(begin)
    await leader.close()


def test_the_first_word_shows_no_secret() -> None:
    assert "p4ssword" not in repr(Begin(share_of(SETTINGS, 2, URL), 7, datetime.now(UTC), None))
