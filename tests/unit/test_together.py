"""Side by side: the gravest error comes out, cancellation is never lost, results come in order."""

import asyncio

import pytest

from indexer.core.errors import BelowFinality, Unavailable
from indexer.sync.lookahead import gather_in_order
from indexer.sync.together import together


async def fail(error: BaseException, *, after: asyncio.Event | None = None) -> None:
    if after:
        await after.wait()
    raise error


async def test_one_failure_cancels_the_others_and_comes_out_as_itself() -> None:
    stopped = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(Unavailable, match="gone"):
        await together(forever(), fail(Unavailable("gone")))
    assert stopped.is_set()


async def test_a_failure_in_the_first_step_leaves_nothing_unawaited() -> None:
    with pytest.raises(Unavailable, match="at once"):
        await together(fail(Unavailable("at once")), fail(Unavailable("later"), after=asyncio.Event()))


async def test_of_several_failures_the_fatal_one_comes_out() -> None:
    async def fail_on_cancel() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise BelowFinality("halt") from None

    with pytest.raises(BelowFinality):
        await together(fail_on_cancel(), fail(Unavailable("gone")))


async def test_a_cancellation_at_the_moment_of_a_failure_is_not_lost() -> None:
    begun = asyncio.Event()

    async def fail_when_cancelled() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Unavailable("rollback failed") from None

    task = asyncio.create_task(together(fail_when_cancelled()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_results_come_in_order_and_never_more_than_the_bound_run() -> None:
    running = most = 0

    async def fetch(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5 - item % 5):
            await asyncio.sleep(0)
        running -= 1
        return item * 10

    assert await gather_in_order(fetch, range(20), 3) == [item * 10 for item in range(20)]
    assert most == 3


async def test_a_failed_fetch_stops_those_that_run_ahead() -> None:
    cancelled = []

    async def fetch(item: int) -> int:
        if item == 0:
            raise Unavailable("no answer")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    with pytest.raises(Unavailable):
        await gather_in_order(fetch, range(5), 3)
    assert set(cancelled) <= {1, 2}


async def test_a_single_item_is_fetched_without_a_task_of_its_own() -> None:
    async def fetch(_: int) -> asyncio.Task[None] | None:
        return asyncio.current_task()

    assert await gather_in_order(fetch, [1], 3) == [asyncio.current_task()]
