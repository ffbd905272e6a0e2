"""Several endpoints as one: whom to ask, when to ask again, and when to give up.

This is the only place where anything is asked twice because it failed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from indexer import journal
from indexer.core.errors import Inconsistent, IndexerError, Unavailable, WrongChain
from indexer.core.model import Header
from indexer.core.wire import header_of, quantity
from indexer.rpc import calls
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import Behind, Garbled, RateLimited, Refused, Unsupported
from indexer.rpc.headers import read_latest
from indexer.rpc.observer import Disagreement, Outcome, RpcObserver
from indexer.rpc.patience import Patience

log = journal.get(__name__)
Result = TypeVar("Result")

#: The first pause between two attempts and the longest; each is cut by a random half.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 8.0
#: An endpoint more than this far behind the others is asked after them.
LAG_BLOCKS = 2


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one chain from all others."""

    chain_id: int
    genesis_hash: bytes


@dataclass(slots=True)
class _Tour:
    """The attempts of one question."""

    #: The block that an endpoint must have to be asked.
    block: int | None
    #: Who was asked since the last pause.
    asked: list[Endpoint] = field(default_factory=list)
    #: Whose last failure says nothing about whether he has the block.
    troubled: set[Endpoint] = field(default_factory=set)
    #: Who contradicted himself, and how.
    contradicted: dict[Endpoint, Inconsistent] = field(default_factory=dict)
    #: Why the last attempt failed.
    last: IndexerError | None = None

    @property
    def is_unsure(self) -> bool:
        """Whether "not there" may be wrong. Of a block by hash it never is: it is best asked for anew."""
        return self.block is not None and bool(self.troubled)


class Pool:
    """Endpoints in the order in which they are preferred."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        chain_id: int | None,
        genesis_hash: bytes | None,
        retry_total_seconds: float,
        observer: RpcObserver,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self._chain_id = chain_id
        self._genesis_hash = genesis_hash
        self._total = retry_total_seconds
        self._observer = observer
        self._verifying = {endpoint: asyncio.Lock() for endpoint in self.endpoints}
        #: How many checks of an endpoint's identity have failed.
        self._unverified = dict.fromkeys(self.endpoints, 0)

    async def close(self) -> None:
        """Let go of all connections."""
        for endpoint in self.endpoints:
            await endpoint.close()

    def apart(self, retry_total_seconds: float) -> tuple[Pool, ...]:
        """Each endpoint that answers as a pool of its own, in the order of preference; not to be closed."""
        return tuple(
            Pool(
                [endpoint],
                chain_id=self._chain_id,
                genesis_hash=self._genesis_hash,
                retry_total_seconds=min(retry_total_seconds, self._total),
                observer=self._observer,
            )
            for endpoint in self.endpoints
            if endpoint.banned is None and not endpoint.health.is_open
        )

    async def identity(self) -> Identity:
        """The chain's identity, as every endpoint that is used has confirmed it."""

        async def verified(_: Endpoint) -> Identity:
            assert self._chain_id is not None
            assert self._genesis_hash is not None
            return Identity(self._chain_id, self._genesis_hash)

        return await self.run(verified)

    async def run(
        self,
        question: Callable[[Endpoint], Awaitable[Result]],
        *,
        block: int | None = None,
        patience: Patience | None = None,
    ) -> Result:
        """The answer of the first endpoint that has one.

        Another endpoint is asked at once, the same one after a pause, all within a total time. What the
        endpoint found too much is not asked again; what contradicted itself is asked of every other endpoint.

        Args:
            block: the block that an endpoint must have to be asked.
            patience: takes out of the total time what the question spends on questions of its own.

        Raises:
            Unavailable: nobody answered in time; `Behind`: nobody has the block, `Unsupported`: the method.
            Inconsistent, TooMuch: see above.
            WrongChain: every endpoint serves another chain.
        """
        tour = _Tour(block)
        patience = patience or Patience()
        attempts = AsyncRetrying(
            retry=retry_if_exception(lambda error: self._ask_again(tour, error)),
            wait=lambda state: self._pause(tour, state),
            stop=patience.is_over,
            reraise=True,
        )
        try:
            async with patience.asking(self._total):
                return await attempts(self._attempt, question, tour)
        except Behind as error:
            if tour.is_unsure:
                # Who failed otherwise might have it.
                raise Unavailable(str(error)) from error
            raise
        except TimeoutError as error:
            if not patience.ran_out:
                raise
            last = f"; last: {tour.last}" if tour.last else ""
            raise Unavailable(f"no answer within {self._total:g} s{last}") from error

    async def latest(self, endpoint: Endpoint) -> Header:
        """The endpoint's own newest block, asked once.

        Raises:
            Unavailable, Inconsistent: it has no answer.
            WrongChain: every endpoint serves another chain.
        """
        await self.verify(endpoint)
        return await read_latest(endpoint)

    async def verify(self, endpoint: Endpoint) -> None:
        """Return when the endpoint is known to serve our chain.

        Raises:
            Unavailable: it serves another one, or did not say.
            WrongChain: and so do all the others.
        """
        failed = self._unverified[endpoint]
        async with self._verifying[endpoint]:
            if endpoint.banned is None and not endpoint.is_verified():
                if self._unverified[endpoint] != failed:
                    # Who waited for another one's check shares its end, or all would wait one after another.
                    raise Refused(f"{endpoint.name}: did not say which chain it serves")
                try:
                    self._compare(endpoint, await self._identity_at(endpoint))
                except IndexerError:
                    self._unverified[endpoint] += 1
                    raise
                endpoint.tell_state()
        if endpoint.banned is None:
            return
        if all(each.banned is not None for each in self.endpoints):
            raise WrongChain(
                "; ".join(each.banned or "" for each in self.endpoints)
                + ". Correct the node's URL or the chain's id in the configuration; a development chain that was "
                "started anew is a new chain and needs an empty database"
            )
        raise Refused(endpoint.banned)

    async def _identity_at(self, endpoint: Endpoint) -> Identity:
        chain_id, genesis = await endpoint.ask_all([calls.chain_id(), calls.header_at(0)])
        if genesis is None:
            raise Garbled(f"{endpoint.name}: has no block 0")
        return Identity(quantity(chain_id, f"{endpoint.name}, chain id"), header_of(genesis).hash)

    def _compare(self, endpoint: Endpoint, found: Identity) -> None:
        """Take the endpoint in, or ban it; the first one speaks for what was not known before."""
        if self._chain_id is None:
            self._chain_id = found.chain_id
        if found.chain_id != self._chain_id:
            endpoint.banned = f"{endpoint.name}: chain id {found.chain_id} instead of {self._chain_id}"
        elif self._genesis_hash is None:
            self._genesis_hash = found.genesis_hash
        elif found.genesis_hash != self._genesis_hash:
            endpoint.banned = (
                f"{endpoint.name}: genesis block 0x{found.genesis_hash.hex()} "
                f"instead of 0x{self._genesis_hash.hex()}"
            )
        if endpoint.banned is None:
            endpoint.serves(self._chain_id)
            return
        endpoint.verified = False
        endpoint.tell_state()
        self._observer.request(endpoint.name, "eth_chainId", Outcome.WRONG_CHAIN, 0.0, 0, 0)
        log.error("endpoint serves another chain, not used", endpoint=endpoint.name, reason=endpoint.banned)

    async def _attempt(self, question: Callable[[Endpoint], Awaitable[Result]], tour: _Tour) -> Result:
        endpoint = self._choose(tour)
        tour.asked.append(endpoint)
        tour.troubled.discard(endpoint)
        try:
            await self.verify(endpoint)
            answer = await question(endpoint)
        except Inconsistent as error:
            tour.contradicted[endpoint] = error
            raise
        except Behind:
            if tour.block is not None:
                endpoint.lacks(tour.block)
            raise
        except Unavailable:
            tour.troubled.add(endpoint)
            raise
        self._tell_disagreements(tour, endpoint)
        return answer

    def _tell_disagreements(self, tour: _Tour, answered: Endpoint) -> None:
        """Whose answers were thrown away because another endpoint gave a sound one."""
        for endpoint, error in tour.contradicted.items():
            if endpoint is not answered:
                self._observer.disagreement(endpoint.name, Disagreement.CONTRADICTION)
                log.warning(
                    "answer thrown away for another endpoint's",
                    endpoint=endpoint.name,
                    taken_from=answered.name,
                    reason=str(error),
                )

    def _choose(self, tour: _Tour) -> Endpoint:
        """The endpoint to ask next.

        Raises:
            RateLimited: all of them asked us to rest.
            Behind: all of them are known not to have the block.
            WrongChain: none may be used.
        """
        usable = self._usable() or list(self.endpoints)
        candidates = [each for each in usable if each not in tour.asked] or usable
        if tour.block is not None and len(usable) > 1:
            candidates = [each for each in candidates if not each.is_behind(tour.block)]
            if not candidates:
                raise Behind(f"no endpoint has block {tour.block} yet")
        awake = [each for each in candidates if not each.resting_seconds()]
        if not awake:
            soonest = min(each.resting_seconds() for each in candidates)
            raise RateLimited("all endpoints ask for fewer requests", soonest)
        # An open circuit is tried before its time only where there is nobody else. Python's sort is stable:
        # among equals the order of the configuration holds.
        return min(awake, key=lambda each: (each.wait_seconds(), self._lag(each) > LAG_BLOCKS))

    def batch_calls(self) -> int:
        """Calls to ask for in one question where there are many: no more than any endpoint likes."""
        return min(each.batch_calls() for each in self._usable() or self.endpoints)

    def most_blocks(self) -> int | None:
        """The longest range of logs that the endpoint takes which would be asked now; None where it has not said."""
        awake = [each for each in self._usable() if not each.wait_seconds()] or self._usable()
        return awake[0].most_blocks() if awake else None

    def _usable(self) -> list[Endpoint]:
        usable = [each for each in self.endpoints if each.banned is None]
        return [each for each in usable if not each.astray] or usable

    def _lag(self, endpoint: Endpoint) -> int:
        heads = [each.health.head for each in self.endpoints if each.health.head is not None]
        own = endpoint.health.head
        return max(heads) - own if heads and own is not None else 0

    def _others(self, tour: _Tour) -> list[Endpoint]:
        """Who may be asked right now and was not since the last pause."""
        return [
            each
            for each in self._usable()
            if each not in tour.asked
            and not each.wait_seconds()
            and (tour.block is None or not each.is_behind(tour.block))
        ]

    def _ask_again(self, tour: _Tour, error: BaseException) -> bool:
        if not isinstance(error, Unavailable | Inconsistent):
            return False
        tour.last = error
        others = self._others(tour)
        if isinstance(error, Inconsistent):
            return any(each not in tour.contradicted for each in others)
        if isinstance(error, Behind | Unsupported):
            return bool(others) or tour.is_unsure
        return True

    def _pause(self, tour: _Tour, state: RetryCallState) -> float:
        """Seconds until the next attempt: none when somebody else can be asked."""
        if self._others(tour):
            return 0.0
        tour.asked.clear()
        exponent = min(state.attempt_number - 1, 10)
        longest = min(FIRST_PAUSE_SECONDS * 2**exponent, LONGEST_PAUSE_SECONDS)
        pause = random.uniform(longest / 2, longest)
        if isinstance(tour.last, RateLimited):
            rests = [each.resting_seconds() for each in self._usable()]
            pause = max(pause, min(rests, default=0.0))
        return pause
