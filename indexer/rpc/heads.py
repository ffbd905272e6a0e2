"""The newest block, observed independently of what is done with it.

Every endpoint is polled, always; one that offers WebSocket also announces its heads. So a subscription that
falls silent costs no more than the time between two polls.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from indexer import journal
from indexer.core.errors import Inconsistent, TooMuch, Unavailable, WrongChain
from indexer.core.model import BlockId, Header
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.pool import Pool
from indexer.rpc.transport import Timing
from indexer.rpc.websocket import HeadSubscription, subscribe_heads

log = journal.get(__name__)

#: How long a head whose block could not be read is passed over, with all that its endpoint shows.
DOUBT_SECONDS = 30.0
#: The first pause before a subscription is opened again and the longest; each is cut by a random half.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0


class Heads:
    """Watches the endpoints' newest blocks; `run` does the work, everybody else reads or waits."""

    def __init__(
        self,
        pool: Pool,
        timing: Timing,
        *,
        poll_seconds: float,
        stall_seconds: float,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            told: called whenever an endpoint tells its newest block, be it a new one or not.
        """
        self._pool = pool
        self._told = told
        self._timing = timing
        self._poll_seconds = poll_seconds
        self._stall_seconds = stall_seconds
        #: The newest block of the endpoints that are up; None until one has answered.
        self.latest: Header | None = None
        self._views: dict[Endpoint, Header] = {}
        #: Until when an endpoint's head does not count where another one has one, by the loop's clock.
        self._doubted_until: dict[Endpoint, float] = {}
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            WrongChain: every endpoint serves another chain.
        """
        watches = [self._poll(endpoint) for endpoint in self._pool.endpoints]
        watches += [
            self._listen(endpoint) for endpoint in self._pool.endpoints if endpoint.address.is_websocket
        ]
        tasks = [asyncio.ensure_future(watch) for watch in watches]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def next_after(self, seen: BlockId | None) -> Header:
        """The newest block, as soon as it is another one than the given one.

        It need not be higher: after a reorg, or when the endpoint that was ahead is gone, it may be of the
        same height or lower.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self.latest is not None and self.latest.id != seen)
        assert self.latest is not None
        return self.latest

    async def doubt(self, head: BlockId) -> None:
        """Pass over for a while who shows this head, which led nowhere, where somebody else shows another."""
        until = asyncio.get_running_loop().time() + DOUBT_SECONDS
        for endpoint, header in self._views.items():
            if header.id == head:
                self._doubted_until[endpoint] = until
        await self._choose()

    async def announce(self, endpoint: Endpoint, header: Header) -> None:
        """Take in what an endpoint says is its newest block."""
        self._told()
        self._views[endpoint] = header
        await self._choose()

    async def _choose(self) -> None:
        best = self._best()
        if best is None or (self.latest is not None and best.id == self.latest.id):
            return
        async with self._changed:
            self.latest = best
            self._changed.notify_all()

    def _best(self) -> Header | None:
        """The highest head of the endpoints that are up; of equals the one we have, else the preferred."""
        up = [
            endpoint
            for endpoint in self._pool.endpoints
            if endpoint in self._views and not endpoint.health.is_open and endpoint.banned is None
        ]
        now = asyncio.get_running_loop().time()
        trusted = [
            endpoint
            for endpoint in up
            if self._doubted_until.get(endpoint, 0.0) <= now and not endpoint.astray
        ]
        heads = [self._views[endpoint] for endpoint in trusted or up]
        if not heads:
            return None
        top = max(header.number for header in heads)
        highest = [header for header in heads if header.number == top]
        held = [header for header in highest if self.latest is not None and header.id == self.latest.id]
        return (held or highest)[0]

    async def _poll(self, endpoint: Endpoint) -> None:
        told = True
        while True:
            try:
                header = await self._pool.latest(endpoint)
            except WrongChain:
                raise
            except (Unavailable, Inconsistent, TooMuch) as error:
                if told:
                    log.warning("head not readable", endpoint=endpoint.name, reason=str(error))
                told = False
            else:
                if not told:
                    log.info("head readable again", endpoint=endpoint.name, head=header.number)
                told = True
                await self.announce(endpoint, header)
            if endpoint.banned is not None:
                return
            await asyncio.sleep(max(self._poll_seconds, endpoint.pause_seconds()))

    async def _listen(self, endpoint: Endpoint) -> None:
        failures = 0
        clock = asyncio.get_running_loop().time
        while endpoint.banned is None:
            opened = clock()
            try:
                await self._pool.verify(endpoint)
                async with subscribe_heads(endpoint.name, endpoint.address.url, self._timing) as subscription:
                    log.debug("subscribed to new heads", endpoint=endpoint.name)
                    await self._follow(endpoint, subscription)
            except WrongChain:
                raise
            except (Unavailable, Inconsistent, TooMuch) as error:
                if clock() - opened > _LONGEST_PAUSE_SECONDS:
                    # It went well for a while: one that closes whatever is opened never did.
                    failures = 0
                level = log.warning if failures == 0 else log.debug
                level("no announcements of new heads", endpoint=endpoint.name, reason=str(error))
            longest = min(_FIRST_PAUSE_SECONDS * 2 ** min(failures, 10), _LONGEST_PAUSE_SECONDS)
            failures += 1
            await asyncio.sleep(random.uniform(longest / 2, longest))

    async def _follow(self, endpoint: Endpoint, subscription: HeadSubscription) -> None:
        """Take in announcements until the connection ends or stalls."""
        announced: Header | None = None
        while endpoint.banned is None:
            try:
                async with asyncio.timeout(self._stall_seconds):
                    announced = await subscription.next_head()
            except TimeoutError as error:
                polled = self._views.get(endpoint)
                # A quiet chain is no fault: only what polling saw and nobody announced shows a stall.
                if polled is None or (announced is not None and polled.id == announced.id):
                    continue
                raise Unavailable(
                    f"{endpoint.name}: no announcement for {self._stall_seconds:g} s "
                    f"though block {polled.number} came"
                ) from error
            endpoint.saw_head(announced.number)
            await self.announce(endpoint, announced)
