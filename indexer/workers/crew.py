"""Fill gaps by several processes: this one leads, deals out portions and works along.

Every portion is committed by whoever fills it, range by range, exactly as by one process alone: rows and coverage in
one transaction, under this process's epoch. So whatever happens to a process, the database knows what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from indexer import journal
from indexer.core.dealing import Dealer, Portion
from indexer.core.errors import IndexerError, LostLeadership
from indexer.core.model import Span
from indexer.core.plan import merge_gaps
from indexer.rpc.node import Node
from indexer.settings import Settings
from indexer.store.reading import State
from indexer.sync.backfill import Backfill, Progress, Wanted, gaps
from indexer.workers.channel import Begin
from indexer.workers.portion import fill_portion
from indexer.workers.process import Ended, WorkerProcess

log = journal.get(__name__)

#: So long this process works alone: other ones take about as long to start.
ALONE_SECONDS = 0.5
#: When less than this is left to do after that, they are not started.
WORTH_SECONDS = 1.0
#: Connections that a process needs at least to read and write at the same time.
LEAST_CONNECTIONS = 2


def share_of(settings: Settings, processes: int, database_url: str) -> Settings:
    """The settings of one of so many processes: rates and connections are shared out, the sum stays the same.

    Only where there are fewer than two connections for each, each gets two all the same.
    """
    part = 1 / processes
    endpoints = tuple(
        replace(each, requests_per_second=each.requests_per_second and each.requests_per_second * part)
        for each in settings.chain.rpc
    )
    connections = max(LEAST_CONNECTIONS, settings.database.connections // processes)
    return replace(
        settings,
        chain=replace(settings.chain, rpc=endpoints),
        database=replace(settings.database, url=database_url, connections=connections),
        contracts=(),
    )


@dataclass(slots=True)
class _Hand:
    """Somebody at work."""

    #: None: this process itself.
    process: WorkerProcess | None
    portion: Portion
    began: float
    #: How much of the portion it has told to be done: blocks times sources.
    told: int = 0


class Crew:
    """This process and others, which live for one `fill`.

    Args:
        begin: what another process has to know, as of now; its share of the settings is for so many `processes`.
        backfill: that of this process.
        node: likewise.
        processes: how many there may be, this one included.
    """

    def __init__(
        self,
        begin: Callable[[], Awaitable[Begin]],
        backfill: Backfill,
        read_state: Callable[[], Awaitable[State]],
        node: Node,
        *,
        processes: int,
    ) -> None:
        self._begin = begin
        self._backfill = backfill
        self._read_state = read_state
        self._node = node
        self._most = processes
        self._hiring: set[asyncio.Future[list[WorkerProcess]]] = set()
        self._processes: list[WorkerProcess] = []
        #: How many of them will do nothing any more.
        self._gone = 0
        #: None: this process itself.
        self._idle: list[WorkerProcess | None] = []

    async def fill(self, within: Span, wanted: Wanted, progress: Progress) -> None:
        """Fill every gap of the wanted sources within these blocks, all of them final.

        Raises:
            Unavailable, Inconsistent, TooMuch: what was committed until then stays and is not fetched again.
            LostLeadership: no process writes anything any more.
        """
        begin = await self._begin()
        missing = gaps(wanted, (await self._read_state()).coverage, within)
        progress.begin(sum(len(span) for spans in missing.values() for span in spans))
        of_transactions = set(wanted.transaction_sources.values())
        # Events and transactions go at paces of their own.
        dealers = [
            Dealer(merge_gaps({each: missing[each] for each in kind}), self._most)
            for kind in (missing.keys() - of_transactions, missing.keys() & of_transactions)
        ]
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._let_go)
            self._idle = [None]
            if self._most > 1:
                self._hiring.add(asyncio.ensure_future(self._hire(begin, dealers)))
            for dealer in dealers:
                await self._work(dealer, wanted, progress)

    async def _work(self, dealer: Dealer, wanted: Wanted, progress: Progress) -> None:
        """Fill all that the dealer has; whoever is idle gets the next portion."""
        clock = asyncio.get_running_loop().time
        busy: dict[asyncio.Future[None], _Hand] = {}
        try:
            while dealer or busy:
                while self._idle and dealer:
                    hand = _Hand(self._idle.pop(), dealer.deal(), clock())
                    busy[asyncio.ensure_future(self._fill(hand, wanted, progress))] = hand
                waiting: set[asyncio.Future[Any]] = {*busy, *self._hiring}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for hired in [each for each in self._hiring if each.done()]:
                    self._hiring.remove(hired)
                    self._idle += hired.result()
                for task in [each for each in busy if each.done()]:
                    hand = busy.pop(task)
                    try:
                        task.result()
                    except Ended as ended:
                        await self._take_back(hand, ended, dealer, progress)
                    else:
                        dealer.filled(hand.portion, clock() - hand.began)
                        self._idle.append(hand.process)
        finally:
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)

    async def _fill(self, hand: _Hand, wanted: Wanted, progress: Progress) -> None:
        def told(work: int, rows: int) -> None:
            hand.told += work
            progress.done += work
            progress.rows += rows
            progress.changed(progress)

        if hand.process is None:
            await fill_portion(self._backfill, wanted, hand.portion, told)
        else:
            await hand.process.fill(hand.portion, told)

    async def _take_back(self, hand: _Hand, ended: Ended, dealer: Dealer, progress: Progress) -> None:
        """Deal again what a process that is no more has left undone; the database knows what that is.

        Should a commit of it come later still, what is filled twice is refused the second time.
        """
        left = Portion(tuple(hand.portion.without((await self._read_state()).coverage)))
        log.warning(
            "the blocks of a process that was ended are dealt again", reason=str(ended), blocks=left.blocks
        )
        dealer.take_back(left.pieces)
        progress.done += hand.portion.work - hand.told - left.work
        progress.changed(progress)
        self._do_without()

    async def _hire(self, begin: Begin, dealers: Sequence[Dealer]) -> list[WorkerProcess]:
        """Other processes, if there is enough to do for them."""
        # What is done before they could be ready is done without them.
        await asyncio.sleep(ALONE_SECONDS)
        left = [dealer.seconds_left for dealer in dealers]
        if sum(each or 0.0 for each in left) < WORTH_SECONDS and None not in left:
            return []
        self._node.share_rate(1 / self._most)
        hired = await asyncio.gather(*(self._hire_one(begin) for _ in range(self._most - 1)))
        return [each for each in hired if each is not None]

    async def _hire_one(self, begin: Begin) -> WorkerProcess | None:
        try:
            process = await WorkerProcess.start()
            self._processes.append(process)
            await process.begin(begin)
        except LostLeadership:
            raise
        except (Ended, IndexerError) as error:
            log.warning("a process could not begin, the others do its part", reason=str(error))
            self._do_without()
            return None
        return process

    def _do_without(self) -> None:
        """Use the share of one that is no more."""
        self._gone += 1
        self._node.share_rate((1 + self._gone) / self._most)

    async def _let_go(self) -> None:
        """End the other processes, in the middle of their work if need be."""
        for hiring in self._hiring:
            hiring.cancel()
        await asyncio.gather(*self._hiring, return_exceptions=True)
        await asyncio.gather(*(process.end() for process in self._processes))
        self._hiring, self._processes, self._gone = set(), [], 0
        self._node.share_rate(1.0)
