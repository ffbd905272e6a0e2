"""One endpoint: sends calls, sorts what comes back, and remembers what the endpoint can do."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Any, TypeVar

from indexer import journal
from indexer.core.errors import IndexerError, TooMuch
from indexer.core.model import Span
from indexer.core.verdicts import Refusal
from indexer.core.wire import quantity
from indexer.rpc import envelope
from indexer.rpc.address import EndpointAddress
from indexer.rpc.batchsize import LIMITED_BATCH_CALLS, BatchSize
from indexer.rpc.calls import Call
from indexer.rpc.callwindow import Sent
from indexer.rpc.failures import (
    UNHEALTHY,
    BatchRefused,
    Disconnected,
    Failure,
    Garbled,
    RateLimited,
    Refused,
    TimedOut,
    TooLarge,
    Unrecognised,
    failure_of,
    outcome_of,
)
from indexer.rpc.health import LONGEST_REST_SECONDS, Health
from indexer.rpc.limiter import Limiter
from indexer.rpc.observer import Outcome, RpcObserver
from indexer.rpc.transport import Answer, Transport

log = journal.get(__name__)
Result = TypeVar("Result")

#: So many different unknown errors are shown in the journal; all are counted.
_SAMPLES = 20
_SHOWN = 200  # characters of each
_NUMBERS = re.compile("0x[0-9a-fA-F]+|[0-9]+")
#: How long an endpoint is believed that it takes no longer ranges than it said: plans are changed, if rarely.
RANGE_CAP_SECONDS = 3_600.0
#: So few calls, those of a question about a range, stay together whatever the rate.
TOGETHER_CALLS = 3
#: How long an endpoint is believed to serve the same chain before it is asked again.
IDENTITY_SECONDS = 60.0
#: How long it is not asked again for a tag that it did not understand.
TAG_SECONDS = 60.0
#: Failures of single calls in a batch that are worth asking again when others of it were answered.
_PASSING = (RateLimited, Refused, Garbled)


class Endpoint:
    """A node, or a provider's many nodes behind one URL."""

    def __init__(
        self,
        address: EndpointAddress,
        transport: Transport,
        observer: RpcObserver,
        redact: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = address.name
        self.address = address
        self.health = Health()
        #: Whether chain id and genesis block were found to be the right ones, and when.
        self.verified = False
        self._verified_at = 0.0
        #: The chain id that it gave then.
        self.chain_id: int | None = None
        #: Why it must not be used at all, if so.
        self.banned: str | None = None
        #: Whether it was found without a block that is final: then it is asked only where there is nobody else.
        self.astray = False
        #: Addresses, and topics, that it takes in one filter; None when it never complained.
        self.filter_limit: int | None = None
        #: Whether it has eth_getBlockReceipts, as far as known.
        self.has_block_receipts = True
        #: Whether it has ever answered to the tag `finalized`.
        self.knows_finalized_tag = False
        self._without_tag_until = float("-inf")
        self._transport = transport
        self._observer = observer
        self._redact = redact
        self._clock = clock
        self._batch = BatchSize(clock)
        self._limiter = Limiter(address.requests_per_second, clock)
        self._most_blocks: int | None = None
        self._most_blocks_at = 0.0
        self._next_id = 1
        self._samples: set[str] = set()
        self._told_state: tuple[bool, int | None] | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    async def close(self) -> None:
        """Let go of its connections."""
        await self._transport.close()

    def share_rate(self, part: float) -> None:
        """From now on use only this part of the configured requests per second."""
        self._limiter.share(part)

    async def ask(self, call: Call[Result]) -> Result:
        """The result of one call.

        Raises:
            Failure, TooMuch: there is none.
        """
        result: Result = (await self.ask_all([call]))[0]
        return result

    async def ask_all(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """The results of several calls, in their order, in as few requests as the endpoint likes.

        A batch that is refused is sent again in halves, and its size remembered. What failed in a batch that
        was answered in part is asked again; as every round answers at least one call, this ends.

        Raises:
            Failure, TooMuch: one of the calls has no result.
        """
        results: dict[int, Any] = {}
        waiting = list(range(len(calls)))
        while waiting:
            asked = waiting[: self._calls_at_once()]
            try:
                replies = await self._send([calls[at] for at in asked])
            except BatchRefused as refused:
                self._shrink(min(refused.limit or len(asked), len(asked) // 2))
                continue
            failed = self._sort(asked, replies, results)
            waiting = failed + waiting[len(asked) :]
        return [results[at] for at in range(len(calls))]

    def batch_calls(self) -> int:
        """How many calls to put into one request where there are many: what it takes, spread over each second."""
        spread = self._limiter.batch_calls()
        return self._batch.calls() if spread is None else min(self._batch.calls(), spread)

    def most_blocks(self) -> int | None:
        """The longest range of logs that it takes by its own word; None where it has not said."""
        if self._most_blocks is not None and self._clock() - self._most_blocks_at > RANGE_CAP_SECONDS:
            self._most_blocks = None
        return self._most_blocks

    def refused_range(self, span: Span, error: TooMuch) -> None:
        """Remember what a refusal says about ranges in general, if it does."""
        if error.is_cap and error.blocks is not None and 0 < error.blocks < len(span):
            self._most_blocks, self._most_blocks_at = error.blocks, self._clock()
            log.info("no longer ranges from now on", endpoint=self.name, blocks=error.blocks)

    def is_verified(self) -> bool:
        """Whether its identity was found to be right, and not too long ago."""
        return self.verified and self._clock() - self._verified_at <= IDENTITY_SECONDS

    def serves(self, chain_id: int) -> None:
        """Remember that it is of the right chain, which has this id."""
        self.verified, self._verified_at, self.chain_id = True, self._clock(), chain_id

    def require_chain(self, told: str) -> None:
        """Return if the chain id that came along with an answer is the one that was verified.

        Raises:
            Refused: it is not. The answer is of no use, and the endpoint's identity has to be asked anew.
        """
        found = quantity(told, f"{self.name}, chain id")
        if found != self.chain_id:
            self.verified = False
            raise Refused(f"{self.name}: chain id {found} instead of {self.chain_id}")

    def tell_proof(self, verdict: str) -> None:
        """Count what proving a block of this endpoint came to."""
        self._observer.proof(self.name, verdict)

    def tell_header_proofs(self, verdict: str, headers: int) -> None:
        """Count what proving so many headers of this endpoint came to."""
        self._observer.header_proof(self.name, verdict, headers)

    def tell_disagreement(self, kind: str) -> None:
        """Count an answer of this endpoint that was thrown away for what another source says."""
        self._observer.disagreement(self.name, kind)

    def checking(self) -> AbstractContextManager[None]:
        """Around all work on answers that have been read."""
        return self._observer.checking()

    def tell_state(self) -> None:
        """Tell the observer whether the endpoint is up, and its head, if either changed."""
        up = self.verified and not self.health.is_open and self.banned is None
        # A short rest is everyday life; during a long one nobody is there.
        up = up and self.resting_seconds() <= LONGEST_REST_SECONDS
        state = (up, self.health.head)
        if state != self._told_state:
            self._told_state = state
            self._observer.endpoint_state(self.name, *state)

    def saw_head(self, number: int) -> None:
        """Remember the newest block that it has shown."""
        self.health.saw_head(number, self._clock())
        self.tell_state()

    def lacks(self, number: int) -> None:
        """Remember that it did not have this block."""
        self.health.lacks(number, self._clock())
        self.tell_state()

    def lacks_block_receipts(self) -> None:
        """Remember that receipts come from it by transaction only."""
        self.has_block_receipts = False
        log.info("no eth_getBlockReceipts, receipts are read one by one", endpoint=self.name)

    def lacks_finalized_tag(self) -> None:
        """Remember for a while that it did not understand the tag `finalized`.

        Not for good: where a tag is not known every node has words of its own, so it may have been another trouble.
        """
        self._without_tag_until = self._clock() + TAG_SECONDS

    @property
    def is_without_finalized_tag(self) -> bool:
        """Whether it did not understand the tag `finalized` a short while ago."""
        return self._clock() < self._without_tag_until

    def is_behind(self, number: int) -> bool:
        """Whether it is known not to have that block yet."""
        return self.health.is_behind(number, self._clock())

    def resting_seconds(self) -> float:
        """How much longer it wants to rest, 0 for not at all."""
        return self.health.resting_seconds(self._clock())

    def wait_seconds(self) -> float:
        """How long it should be left alone, 0 for not at all."""
        return self.health.wait_seconds(self._clock())

    def pause_seconds(self) -> float:
        """How long to leave it alone at least between two looks at its newest block."""
        return max(self.wait_seconds(), self._limiter.pause_of_a_watch())

    def unexplained(self, method: str, code: int | None, text: str) -> None:
        """Count an answer that no rule explains; each different one is shown once in the journal."""
        self._observer.unknown_error(self.name)
        sample = f"{method} {code} {_NUMBERS.sub('', text)}"
        if len(self._samples) < _SAMPLES and sample not in self._samples:
            self._samples.add(sample)
            log.warning("unexplained answer", endpoint=self.name, method=method, code=code, text=text)

    def _calls_at_once(self) -> int:
        most = self._limiter.most_at_once()
        return self._batch.calls() if most is None else min(self._batch.calls(), max(most, TOGETHER_CALLS))

    def _shrink(self, calls: int) -> None:
        if self._batch.shrink(calls):
            log.info("smaller batches from now on", endpoint=self.name, calls=self._batch.calls())

    def _sort(self, asked: Sequence[int], replies: Sequence[Any], results: dict[int, Any]) -> list[int]:
        """Keep the results; which calls to ask again."""
        failed: list[int] = []
        passing: list[IndexerError] = []
        for at, reply in zip(asked, replies, strict=True):
            if not isinstance(reply, Failure | TooMuch):
                results[at] = reply
            elif isinstance(reply, _PASSING):
                failed.append(at)
                passing.append(reply)
            else:
                raise reply
        if passing and len(failed) == len(asked):
            raise passing[0]
        if any(isinstance(each, RateLimited) for each in passing):
            self._shrink(max(len(asked) - len(failed), LIMITED_BATCH_CALLS))
        return failed

    async def _send(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """A result, a Failure or a TooMuch for each call.

        Raises:
            Failure, TooMuch: of the request as a whole.
        """
        sent = await self._limiter.take(len(calls))
        first_id = self._next_id
        self._next_id += len(calls)
        encoded = envelope.encode(calls, first_id)
        most_bytes = min((call.most_bytes for call in calls if call.most_bytes is not None), default=None)
        begun = self._clock()
        received = 0
        try:
            answer = await self._transport.exchange(
                envelope.joined(encoded), range(first_id, first_id + len(calls)), most_bytes
            )
            received = len(answer.body)
            replies = await self._read(answer, calls, first_id)
        except TooLarge as error:
            failure = TooMuch(str(error)) if any(call.narrowable for call in calls) else error
            self._observe(calls, [failure] * len(calls), encoded, begun, received)
            self._pace(sent, [failure] * len(calls))
            raise failure from error
        except (Failure, TooMuch) as error:
            self._observe(calls, [error] * len(calls), encoded, begun, received)
            self._pace(sent, [error] * len(calls))
            raise
        self._observe(calls, replies, encoded, begun, received)
        self._pace(sent, replies)
        return replies

    def _pace(self, sent: Sent, replies: Sequence[Any]) -> None:
        """Learn how many calls a second it takes."""
        limited = sum(isinstance(reply, RateLimited) for reply in replies)
        answered = not isinstance(replies[0], Disconnected | TimedOut)
        if self._limiter.ended(sent, limited=limited, answered=answered):
            per_second = round(self._limiter.per_second or 0.0, 1)
            log.info("fewer calls a second from now on", endpoint=self.name, per_second=per_second)

    async def _read(self, answer: Answer, calls: Sequence[Call[Any]], first_id: int) -> list[Any]:
        try:
            if answer.status is not None and answer.status != HTTPStatus.OK:
                replies = envelope.told_refusals(
                    answer.body, calls, first_id, answer.status, answer.retry_after
                )
            elif len(answer.body) > envelope.BIG_BYTES:
                replies = await asyncio.to_thread(
                    envelope.decode, answer.body, calls, first_id, answer.status, answer.retry_after
                )
            else:
                replies = envelope.decode(answer.body, calls, first_id, answer.status, answer.retry_after)
        except Garbled as error:
            raise self._unreadable(error, calls[-1].method) from error
        if isinstance(replies[0], Refusal) and replies[0].batch:
            narrowable = any(call.narrowable for call in calls)
            raise self._failure(replies[0], calls[-1].method, narrowable=narrowable)
        return [self._reply(reply, call) for call, reply in zip(calls, replies, strict=True)]

    def _reply(self, reply: Any, call: Call[Any]) -> Any:
        """The result of one call, or the failure that stands for it."""
        if isinstance(reply, Refusal):
            return self._failure(reply, call.method, narrowable=call.narrowable)
        return self._unreadable(reply, call.method) if isinstance(reply, Garbled) else reply

    def _unreadable(self, error: Garbled, method: str) -> Garbled:
        return Garbled(f"{self.name}, {method}: {error}")

    def _failure(self, refusal: Refusal, method: str, *, narrowable: bool) -> Failure | TooMuch:
        failure = failure_of(refusal, self.name, method, narrowable=narrowable, redact=self._redact)
        if isinstance(failure, Unrecognised):
            self.unexplained(method, refusal.code, self._redact(refusal.message)[:_SHOWN])
        return failure

    def _observe(
        self,
        calls: Sequence[Call[Any]],
        replies: Sequence[Any],
        encoded: Sequence[bytes],
        begun: float,
        received: int,
    ) -> None:
        now = self._clock()
        self._learn([reply for reply in replies if isinstance(reply, Failure)], len(replies), now)
        # What part of the bytes belongs to which call is not known: all of them share alike.
        share, rest = divmod(received, len(calls))
        for call, reply, sent in zip(calls, replies, encoded, strict=True):
            failed = isinstance(reply, Failure | TooMuch)
            outcome = outcome_of(reply) if failed else Outcome.OK
            self._observer.request(self.name, call.method, outcome, now - begun, len(sent), share + rest)
            rest = 0
        self.tell_state()

    def _learn(self, failures: Sequence[Failure], calls: int, now: float) -> None:
        limited = [failure for failure in failures if isinstance(failure, RateLimited)]
        ill = [failure for failure in failures if isinstance(failure, UNHEALTHY)]
        was_open = self.health.is_open
        if any(isinstance(failure, Disconnected) for failure in ill):
            # Whoever answers at this URL the next time may be another node.
            self.verified = False
        if len(ill) == calls:
            self.health.failed(now)
        elif not limited:
            self.health.answered()
        if self.health.is_open and not was_open:
            self.verified = False
            log.warning("endpoint left alone for a while", endpoint=self.name, reason=str(ill[0]))
        elif was_open and not self.health.is_open:
            log.info("endpoint answers again", endpoint=self.name)
        if limited:
            waits = [failure.retry_after for failure in limited if failure.retry_after is not None]
            self.health.limited(now, max(waits, default=None))
