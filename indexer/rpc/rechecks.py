"""Asks somebody else about a block whose bloom filter may hold logs that did not come.

A filter that lets through what is not there costs a question and nothing else: whoever is asked agrees, and
the answer stays what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer import journal
from indexer.core.block import Block
from indexer.core.bloomcheck import unexplained
from indexer.core.difference import same_logs
from indexer.core.errors import Inconsistent, TooMuch, Unavailable
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import Header, Span
from indexer.core.source import LogFilter
from indexer.core.wire import WireLog
from indexer.rpc import calls
from indexer.rpc.blocks import Checks, Reading, read_block, read_block_logs, read_receipt_logs
from indexer.rpc.concurrent import AT_ONCE, fetch_all
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import TooLarge, Unsupported
from indexer.rpc.headedranges import HeadedRange
from indexer.rpc.observer import Disagreement, Recheck, RpcObserver
from indexer.rpc.pool import Pool

log = journal.get(__name__)

#: What keeps somebody from answering; then the next one is asked.
_NO_ANSWER = (Unavailable, Inconsistent, TooMuch)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked about a block, so that it can be asked again."""

    filter: LogFilter
    watched: frozenset[bytes] = frozenset()
    transactions: bool = False


class Rechecks:
    """Settles what a bloom filter leaves open, endpoint against endpoint, or logs against receipts."""

    def __init__(self, pool: Pool, observer: RpcObserver, checks: Checks) -> None:
        self._pool = pool
        self._observer = observer
        self._checks = checks

    async def settled(self, first: Reading, asked: Asked) -> Block:
        """The block as it was read, or as it should have been.

        Raises:
            Inconsistent: two sources contradict each other, and neither can be proved right.
            Unavailable: the source that has more logs did not give the block.
        """
        block = first.block
        if first.proved or not unexplained([block.header], block.logs, asked.filter):
            return block
        return (await self._settle(first, asked)).block

    async def settled_range(self, found: HeadedRange, wanted: LogFilter) -> RangeLogs:
        """The range's logs as they were read, or as they should have been.

        Raises: as `settled`.
        """
        asked = Asked(wanted)
        span, doubtful = found.logs.span, found.doubtful
        if not doubtful:
            return found.logs
        open_ = await self._not_confirmed(found, wanted)

        async def settle(header: Header) -> tuple[Header, Reading, Reading]:
            first = Reading(
                _block_of(found.logs, header, wanted), found.endpoint, with_receipts=False, proved=False
            )
            return header, first, await self._settle(first, asked)

        better: dict[int, RangeLogs] = {}
        for header, first, settled in await fetch_all(settle, open_, AT_ONCE):
            if settled is not first:
                better[header.number] = settled.block.logs
        if not better:
            return found.logs
        kept = [each for each in found.logs.logs if int(each.block_number, 16) not in better]
        added = [each for logs in better.values() for each in logs.logs]
        return check_range_logs(span, wanted, kept + added).with_headers(found.headers)

    async def _not_confirmed(self, found: HeadedRange, wanted: LogFilter) -> list[Header]:
        """Those of the doubtful blocks of which nobody else said the same, asked in as few requests as possible."""
        for other in self._others(found.endpoint):
            try:
                await self._pool.verify(other)
                answers = await other.ask_all(
                    [
                        calls.logs_of(header.hash, part)
                        for header in found.doubtful
                        for part in calls.split_filter(wanted, other.filter_limit)
                    ]
                )
                return self._unlike(found, wanted, answers)
            except _NO_ANSWER as error:
                log.debug("no second answer", endpoint=other.name, reason=str(error))
        return found.doubtful

    def _unlike(
        self, found: HeadedRange, wanted: LogFilter, answers: Sequence[list[WireLog]]
    ) -> list[Header]:
        """The doubtful blocks of which the other endpoint said something else."""
        parts = len(answers) // len(found.doubtful)
        unlike: list[Header] = []
        for at, header in enumerate(found.doubtful):
            second = [each for answer in answers[at * parts : (at + 1) * parts] for each in answer]
            checked = check_range_logs(Span(header.number, header.number), wanted, second)
            if not same_logs(found.logs.of_block(header.number), checked.logs):
                unlike.append(header)
        for _ in range(len(found.doubtful) - len(unlike)):
            self._observer.recheck(Recheck.AGREED)
        return unlike

    async def _settle(self, first: Reading, asked: Asked) -> Reading:
        header = first.block.header
        for other in self._others(first.endpoint):
            try:
                await self._pool.verify(other)
                second = await read_block_logs(other, header, asked.filter)
            except _NO_ANSWER as error:
                log.debug("no second answer", endpoint=other.name, block=header.number, reason=str(error))
                continue
            if same_logs(first.block.logs.logs, second.logs):
                return self._ended(Recheck.AGREED, first)
            return await self._judge(first, other, asked)
        return await self._ask_receipts(first, asked)

    async def _judge(self, first: Reading, other: Endpoint, asked: Asked) -> Reading:
        """The better one of two answers that differ.

        One that is proved is right. Where neither can be, the one with more logs is taken: all of them are in
        the block's bloom filter, and it is easier to lose a log than to invent one that is.
        """
        second = await self._read_whole(other, first, asked)
        if second is not None and same_logs(first.block.logs.logs, second.block.logs.logs):
            return self._ended(Recheck.AGREED, first)
        mine = first
        if self._checks.prove and (second is None or not second.proved):
            mine = await self._read_whole(first.endpoint, first, asked) or first
        if second is not None and (second.proved or (not mine.proved and _more(second, mine))):
            self._blame(first, second)
            return self._ended(Recheck.FOUND, second)
        if mine.proved or (second is not None and _more(mine, second)):
            other.tell_disagreement(Disagreement.OTHER_LOGS)
            return self._ended(Recheck.KEPT, mine)
        self._observer.recheck(Recheck.UNSETTLED)
        raise Inconsistent(
            f"block {first.block.header.id}: {first.endpoint.name} and {other.name} tell different logs, "
            "and neither can be proved"
        )

    async def _ask_receipts(self, first: Reading, asked: Asked) -> Reading:
        """What receipts say, of the same endpoint where nobody else has them; unless they were read already.

        Raises:
            Unavailable: they may be had later: an answer that the filter doubts is not kept for a broken connection.
        """
        if first.with_receipts:
            return self._ended(Recheck.ALONE, first)
        block = first.block.header.id
        try:
            second = await self._pool.run(
                lambda endpoint: read_receipt_logs(endpoint, block, asked.filter, self._checks)
            )
        except (Unsupported, TooLarge, TooMuch) as error:
            log.debug("no receipts", endpoint=first.endpoint.name, block=block.number, reason=str(error))
            return self._ended(Recheck.ALONE, first)
        if same_logs(first.block.logs.logs, second.block.logs.logs):
            return self._ended(Recheck.AGREED, first)
        if second.proved or _more(second, first):
            self._blame(first, second)
            return self._ended(Recheck.FOUND, second)
        self._observer.recheck(Recheck.UNSETTLED)
        raise Inconsistent(
            f"block {block}: {first.endpoint.name} tells {len(first.block.logs.logs)} logs by eth_getLogs, "
            f"and {len(second.block.logs.logs)} others in receipts that cannot be proved"
        )

    async def _read_whole(self, endpoint: Endpoint, first: Reading, asked: Asked) -> Reading | None:
        """The block from this endpoint, proved by its receipts if that is possible; None: it has no sound answer."""
        with_receipts = asked.transactions or self._checks.prove
        try:
            return await read_block(
                endpoint,
                first.block.header.id,
                asked.filter,
                asked.watched if asked.transactions else frozenset(),
                transactions=with_receipts,
                checks=self._checks,
            )
        except _NO_ANSWER as error:
            log.warning(
                "no sound second answer",
                endpoint=endpoint.name,
                block=first.block.header.number,
                reason=str(error),
            )
            return None

    def _others(self, endpoint: Endpoint) -> list[Endpoint]:
        """Who else may be asked right now."""
        return [
            each
            for each in self._pool.endpoints
            if each is not endpoint and each.banned is None and not each.wait_seconds()
        ]

    def _blame(self, worse: Reading, better: Reading) -> None:
        """Tell of an answer that was thrown away."""
        difference = len(worse.block.logs.logs) - len(better.block.logs.logs)
        kind = Disagreement.OTHER_LOGS
        if difference:
            kind = Disagreement.MISSING_LOGS if difference < 0 else Disagreement.EXTRA_LOGS
        worse.endpoint.tell_disagreement(kind)
        log.warning(
            "answer thrown away for another source's",
            endpoint=worse.endpoint.name,
            taken_from=better.endpoint.name,
            block=worse.block.header.number,
            logs=len(worse.block.logs.logs),
            logs_taken=len(better.block.logs.logs),
            proved=better.proved,
        )

    def _ended(self, outcome: Recheck, reading: Reading) -> Reading:
        self._observer.recheck(outcome)
        return reading


def _more(one: Reading, other: Reading) -> bool:
    return len(one.block.logs.logs) > len(other.block.logs.logs)


def _block_of(logs: RangeLogs, header: Header, wanted: LogFilter) -> Block:
    """One block of a range."""
    checked = check_range_logs(Span(header.number, header.number), wanted, logs.of_block(header.number))
    return Block(header, (), checked.with_headers([header]))
