"""Commands a development chain over JSON-RPC: mine, reorg, rewind, send transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import aiohttp
import msgspec

from indexer.core.errors import Fatal, Unavailable
from indexer.dev.samples import TransactionRequest

ANSWER_SECONDS = 300.0  # a million events in one block take a while
RECEIPT_SECONDS = 120.0
RECEIPT_POLL_SECONDS = 0.01


class Refused(Fatal):
    """The chain answered with an error."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"{method} was refused ({code}): {message}")
        self.code = code


class Chain:
    """A connection to a development chain: ``async with Chain(url) as chain``.

    Raises from every method:
        Unavailable: no answer.
        Refused: an error for an answer.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Chain:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(self, method: str, *params: Any) -> Any:
        """The `result` of one call."""
        return _result(method, await self._post(_request(0, method, params)))

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of calls sent as one JSON-RPC batch, in the order of the calls."""
        if not calls:
            return []
        requests = [_request(at, method, params) for at, (method, params) in enumerate(calls)]
        answers = await self._post(requests)
        if not isinstance(answers, list):
            raise Unavailable(f"a batch of {len(calls)} calls did not get a list for an answer")
        by_id = {answer["id"]: answer for answer in answers}
        return [_result(method, by_id[at]) for at, (method, _) in enumerate(calls)]

    async def accounts(self) -> list[str]:
        """The unlocked accounts, as lower-case 0x text."""
        return list(await self.call("eth_accounts"))

    async def block_number(self) -> int:
        """The height of the head."""
        return int(await self.call("eth_blockNumber"), 16)

    async def block(self, block: int | str, *, transactions: bool = False) -> dict[str, Any]:
        """The block of that height or tag as the node writes it, its transactions as hashes or in full.

        Raises:
            Unavailable: there is none.
        """
        found = await self.call("eth_getBlockByNumber", _tag(block), transactions)
        if found is None:
            raise Unavailable(f"the chain has no block {block}")
        return dict(found)

    async def mine(self, blocks: int = 1) -> None:
        """Make so many blocks; the first takes all pending transactions."""
        await self.call("anvil_mine", hex(blocks))

    async def automine(self, on: bool) -> None:
        """Whether each transaction is mined at once, in a block of its own."""
        await self.call("evm_setAutomine", on)

    async def space_blocks(self, seconds: int | None) -> None:
        """Let each block be so many seconds after its parent, whenever it is made.

        None: blocks bear the time of the chain's clock.
        """
        if seconds is None:
            await self.call("anvil_removeBlockTimestampInterval")
        else:
            await self.call("anvil_setBlockTimestampInterval", seconds)

    async def set_time(self, unix_seconds: int) -> None:
        """Set the chain's clock, which runs on from there."""
        await self.call("anvil_setTime", unix_seconds)

    async def reorg(self, depth: int, transactions: Sequence[tuple[TransactionRequest, int]] = ()) -> None:
        """Replace the newest ``depth`` blocks by as many others.

        Args:
            depth: at least 1, at most 499.
            transactions: each with the new block that takes it, 0 being the lowest. A request without `nonce`
                gets the sender's next one. The replaced transactions are gone unless they are among these.

        The new blocks name another fee recipient than any block before, or else equal contents would make
        the same blocks again, and there would be no reorg.
        """
        head = await self.block("latest")
        await self.call("anvil_setCoinbase", "0x" + head["hash"][-40:])
        await self.call("anvil_reorg", depth, [[request, at] for request, at in transactions])

    async def rollback(self, depth: int) -> None:
        """Forget the newest ``depth`` blocks: the chain gets shorter."""
        await self.call("anvil_rollback", depth)

    async def snapshot(self) -> str:
        """The id of the present state, for `revert`."""
        return str(await self.call("evm_snapshot"))

    async def revert(self, snapshot: str) -> None:
        """Go back to a snapshot, which is used up by that.

        Raises:
            Fatal: there is no such snapshot.
        """
        if not await self.call("evm_revert", snapshot):
            raise Fatal(f"the chain has no snapshot {snapshot}")

    async def send(self, *requests: TransactionRequest) -> list[str]:
        """Send transactions from unlocked accounts in one batch; their hashes, in the same order.

        A request that names its `gas` is not tried beforehand: it may fail when it is mined.
        """
        return [str(sent) for sent in await self.batch([("eth_sendTransaction", [one]) for one in requests])]

    async def receipt(self, transaction: str) -> dict[str, Any]:
        """The receipt of a transaction, as soon as it is mined.

        Anvil answers before a mined transaction can be read, and announces nothing: so this asks repeatedly.

        Raises:
            Unavailable: it was not mined within two minutes.
        """
        try:
            async with asyncio.timeout(RECEIPT_SECONDS):
                while (found := await self.call("eth_getTransactionReceipt", transaction)) is None:  # noqa: ASYNC110
                    await asyncio.sleep(RECEIPT_POLL_SECONDS)
        except TimeoutError as error:
            raise Unavailable(f"{transaction} was not mined within {RECEIPT_SECONDS:.0f} s") from error
        return dict(found)

    async def _post(self, body: object) -> Any:
        if self._session is None:
            raise Fatal("the connection to the development chain is not open")
        try:
            async with self._session.post(
                self._url, data=msgspec.json.encode(body), headers={"content-type": "application/json"}
            ) as response:
                return msgspec.json.decode(await response.read())
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
            raise Unavailable(f"the development chain does not answer: {type(error).__name__}") from error


def _request(number: int, method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _result(method: str, answer: dict[str, Any]) -> Any:
    if error := answer.get("error"):
        raise Refused(method, error["code"], error["message"])
    return answer["result"]


def _tag(block: int | str) -> str:
    return hex(block) if isinstance(block, int) else block
