"""The chain's node for the rest of the program: a pool of endpoints that answers with checked values."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise

from indexer.core.block import Block
from indexer.core.errors import Inconsistent, Unavailable
from indexer.core.logs import RangeLogs
from indexer.core.model import BlockId, Header, Span, Transaction
from indexer.core.proof import ProofLevel
from indexer.core.source import LogFilter
from indexer.core.wire import header_of
from indexer.rpc import calls
from indexer.rpc.blocks import NO_LOGS, Checks, Reading, read_block, read_transactions
from indexer.rpc.concurrent import AT_ONCE, fetch_all
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import Behind, Unsupported
from indexer.rpc.headedranges import HeadedRange, read_headed_range
from indexer.rpc.headers import ToldHeader, read_finalized, read_headers, require_holds, tell_headers
from indexer.rpc.heads import Heads
from indexer.rpc.observer import RpcObserver
from indexer.rpc.patience import Patience
from indexer.rpc.pool import Pool
from indexer.rpc.proving import require_all_proved
from indexer.rpc.ranges import read_range_logs
from indexer.rpc.receipts import BlockWithReceipts, logs_of_blocks, read_receipts
from indexer.rpc.rechecks import Asked, Rechecks
from indexer.rpc.transport import Timing

#: Blocks whose transactions and receipts are asked for in one request.
_BLOCKS_PER_REQUEST = 10


class Node:
    """A pool of endpoints seen as one node.

    Every method retries by itself and raises only: Unavailable (nobody answered within the total time),
    Inconsistent (the answers contradict each other), TooMuch (ask for less), Fatal (such as WrongChain).
    """

    def __init__(self, pool: Pool, timing: Timing, observer: RpcObserver, checks: Checks) -> None:
        self._pool = pool
        self._checks = checks
        self._observer = observer
        self._rechecks = Rechecks(pool, observer, checks)
        self._timing = timing
        self._has_finalized = False

    @property
    def name(self) -> str:
        """The names of the endpoints."""
        return ", ".join(endpoint.name for endpoint in self._pool.endpoints)

    def apart(self, retry_total_seconds: float) -> tuple[Node, ...]:
        """Each endpoint that answers as a node of its own, the most preferred first.

        They share the endpoints with this one and are not to be closed. One that turns out to serve another
        chain raises WrongChain, though others may serve the right one.

        Args:
            retry_total_seconds: how long each question may take.
        """
        nodes = tuple(
            Node(pool, self._timing, self._observer, self._checks)
            for pool in self._pool.apart(retry_total_seconds)
        )
        for node in nodes:
            node._has_finalized = self._has_finalized
        return nodes

    @property
    def is_astray(self) -> bool:
        """Whether all endpoints lack a block that is final."""
        return all(endpoint.astray for endpoint in self._pool.endpoints)

    def found_astray(self, astray: bool) -> None:
        """Remember whether the endpoints lack a block that is final; then others are asked instead of them."""
        for endpoint in self._pool.endpoints:
            endpoint.astray = astray

    def share_rate(self, part: float) -> None:
        """From now on use only this part of each endpoint's configured requests per second."""
        for endpoint in self._pool.endpoints:
            endpoint.share_rate(part)

    async def chain_id(self) -> int:
        """The EIP-155 chain id that every endpoint in use has confirmed."""
        return (await self._pool.identity()).chain_id

    async def genesis_hash(self) -> bytes:
        """The hash of block 0 that every endpoint in use has confirmed."""
        return (await self._pool.identity()).genesis_hash

    async def head(self) -> Header:
        """The newest block of the preferred endpoint."""
        return await self._pool.run(self._pool.latest)

    async def finalized(self) -> Header | None:
        """The newest finalized block; None where the node has no such tag.

        Once it was there, its absence is taken for a failure of the node.
        """

        async def tagged(endpoint: Endpoint) -> Header:
            return await read_finalized(endpoint)

        try:
            header = await self._pool.run(tagged)
        except (Behind, Unsupported) as error:
            if self._has_finalized:
                raise Unavailable(f"no finalized block, though there was one before: {error}") from error
            return None
        self._has_finalized = True
        return header

    async def header(self, number: int) -> Header | None:
        """The canonical header of a height; None when no endpoint has it yet."""

        async def at_number(endpoint: Endpoint) -> Header:
            return (await read_headers(endpoint, [number]))[0]

        try:
            return await self._pool.run(at_number, block=number)
        except Behind:
            return None

    async def header_by_hash(self, block_hash: bytes) -> Header | None:
        """The header of a hash; None when no endpoint knows it."""

        async def of_hash(endpoint: Endpoint) -> Header:
            wire = await endpoint.ask(calls.header_of_hash(block_hash))
            if wire is None:
                raise Behind(f"{endpoint.name}: block 0x{block_hash.hex()} is not known")
            header = header_of(wire)
            if header.hash != block_hash:
                raise Inconsistent(
                    f"{endpoint.name}: asked for block 0x{block_hash.hex()}, got 0x{header.hash.hex()}"
                )
            return header

        try:
            return await self._pool.run(of_hash)
        except Behind:
            return None

    async def headers(self, numbers: Sequence[int]) -> list[Header]:
        """The canonical headers of these heights, in their order.

        Raises:
            Inconsistent: a block is missing, or an answer is another block.
        """
        return [each.header for each in await self._headers(numbers)]

    async def block(
        self,
        block: BlockId,
        filter: LogFilter | None,  # noqa: A002
        watched: frozenset[bytes],
        transactions: bool,
    ) -> Block:
        """One block by its hash, with the filter's logs and, if wanted, the watched addresses' transactions.

        All parts come from one endpoint and agree with each other.

        Raises:
            Unavailable: among other things, when no endpoint has the block (any more, or not yet).
        """

        asked = Asked(filter or NO_LOGS, watched, transactions)

        async def by_hash(endpoint: Endpoint) -> Reading:
            return await read_block(
                endpoint, block, filter, watched, transactions=transactions, checks=self._checks
            )

        reading = await self._pool.run(by_hash)
        if self._checks.bloom:
            return await self._rechecks.settled(reading, asked)
        return reading.block

    async def range_logs(
        self,
        span: Span,
        filter: LogFilter,  # noqa: A002
        proof: ProofLevel = "linked",
        final: BlockId | None = None,
    ) -> RangeLogs:
        """The logs of a range of canonical blocks, complete with the times of their blocks.

        Args:
            proof: `linked` believes the answer if it is consistent; `bloom` reads every header and asks again
                where a log may be missing; `receipts` takes the logs out of every block's receipts.
            final: a block that whoever answers has to have in its chain to be believed.

        Raises:
            TooMuch: ask for fewer blocks; also for an unknown error, a time-out, and an answer that looks
                cut off. Never for a single block.
        """
        if proof == "receipts":
            return logs_of_blocks(span, filter, await self.range_receipts(span, final))
        patience = Patience()

        # A range may have more headers than are read in the time of one question.
        async def headers_of(numbers: Sequence[int]) -> list[Header]:
            with patience.elsewhere():
                found = await self._headers(numbers)
            if proof == "bloom" and self._checks.prove:
                await require_all_proved(found)
            return [each.header for each in found]

        if proof == "bloom":

            async def with_headers(endpoint: Endpoint) -> HeadedRange:
                return await read_headed_range(endpoint, span, filter, headers_of, final)

            headed = await self._pool.run(with_headers, block=span.last, patience=patience)
            return await self._rechecks.settled_range(headed, filter)

        async def in_range(endpoint: Endpoint) -> RangeLogs:
            return await read_range_logs(endpoint, span, filter, headers_of, final)

        return await self._pool.run(in_range, block=span.last, patience=patience)

    def most_blocks(self) -> int | None:
        """The longest range of logs that the node takes by its own word; None where it has not said."""
        return self._pool.most_blocks()

    async def range_transactions(
        self, span: Span, watched: frozenset[bytes], *, prove: bool = False, final: BlockId | None = None
    ) -> tuple[list[Transaction], dict[int, bytes]]:
        """The watched addresses' transactions in a range of canonical blocks, and the hash of each block.

        Args:
            prove: whether their receipts are to be proved by each block's hash, where the node proves at all.
            final: a block that whoever answers has to have in its chain to be believed.

        Raises:
            TooMuch: ask for fewer blocks. Never for a single block.
        """

        async def of_part(part: Span) -> tuple[list[Transaction], list[Header]]:
            async def in_part(endpoint: Endpoint) -> tuple[list[Transaction], list[Header]]:
                found = await read_transactions(endpoint, part, watched, prove=prove and self._checks.prove)
                await _require_final(endpoint, final)
                return found

            return await self._pool.run(in_part, block=part.last)

        parts = await fetch_all(of_part, _requests(span), AT_ONCE)
        headers = [header for _, some in parts for header in some]
        for parent, header in pairwise(headers):
            if not header.follows(parent.id):
                raise Inconsistent(f"block {header.id} is not a child of {parent.id}")
        found = [transaction for some, _ in parts for transaction in some]
        return found, {header.number: header.hash for header in headers}

    async def range_receipts(self, span: Span, final: BlockId | None = None) -> list[BlockWithReceipts]:
        """The canonical blocks of a range with their transactions and receipts, each from one endpoint.

        Where the node proves what it reads, the receipts are proved by the block's hash.

        Args:
            final: a block that whoever answers has to have in its chain to be believed.

        Raises:
            TooMuch: ask for fewer blocks. Never for a single block.
        """

        async def of_part(part: Span) -> list[BlockWithReceipts]:
            async def in_part(endpoint: Endpoint) -> list[BlockWithReceipts]:
                found = await read_receipts(endpoint, part, prove=self._checks.prove)
                await _require_final(endpoint, final)
                return found

            return await self._pool.run(in_part, block=part.last)

        return [block for some in await fetch_all(of_part, _requests(span), AT_ONCE) for block in some]

    def heads(
        self,
        *,
        poll_seconds: float,
        stall_seconds: float = 60.0,
        told: Callable[[], None] = lambda: None,
    ) -> Heads:
        """A watch over the newest block; see `Heads`."""
        return Heads(
            self._pool, self._timing, poll_seconds=poll_seconds, stall_seconds=stall_seconds, told=told
        )

    async def _headers(self, numbers: Sequence[int]) -> list[ToldHeader]:
        """Headers in their order and who told them, some in each question: each has its own attempts.

        Raises:
            Inconsistent: a block is missing, or an answer is another block.
        """
        told: dict[int, ToldHeader] = {}
        left = deque(numbers)

        async def read(_: int) -> None:
            # How many at once is learned on the way.
            while some := [left.popleft() for _ in range(min(self._pool.batch_calls(), len(left)))]:
                await self._tell_headers(some, told)

        await fetch_all(read, range(AT_ONCE), AT_ONCE)
        return [told[number] for number in numbers]

    async def _tell_headers(self, numbers: Sequence[int], told: dict[int, ToldHeader]) -> None:
        """Add these headers to those that were told; as long as some come, the time for the others begins anew."""

        async def tell(endpoint: Endpoint) -> None:
            await tell_headers(endpoint, numbers, told)

        while True:
            before = sum(number in told for number in numbers)
            try:
                return await self._pool.run(tell, block=max(numbers))
            except Behind as error:
                span = f"{min(numbers)}..{max(numbers)}"
                raise Inconsistent(f"not all of the blocks {span} are there: {error}") from error
            except Unavailable:
                if sum(number in told for number in numbers) == before:
                    raise


async def _require_final(endpoint: Endpoint, final: BlockId | None) -> None:
    if final is not None:
        require_holds(endpoint, final, await endpoint.ask(calls.header_at(final.number)))


def _requests(span: Span) -> list[Span]:
    """The span in parts that are asked for in one request each."""
    return [
        Span(first, min(first + _BLOCKS_PER_REQUEST - 1, span.last))
        for first in range(span.first, span.last + 1, _BLOCKS_PER_REQUEST)
    ]
