"""A node that is far away and has limits, over a real socket, with an account of what was asked of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from bench.chain import CHAIN_ID, TOKEN
from bench.invented import InventedChain
from bench.limits import CallCounter, Limits

Json = Any
_TOO_MANY_CALLS = (429, "rate limit exceeded")


class RefusalError(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Account:
    """What was asked; times are seconds since the first request."""

    began: float | None = None
    requests: int = 0
    #: Calls that were let in, by method.
    calls: Counter[str] = field(default_factory=Counter)
    #: When the last answer left.
    ended_at: float = 0.0
    #: When requests had too many calls for this second.
    limited_at: list[float] = field(default_factory=list)
    #: When ranges were refused, and how many blocks they had.
    refused: list[tuple[float, int]] = field(default_factory=list)
    #: Logs that were given out.
    logs: int = 0

    def now(self) -> float:
        if self.began is None:
            self.began = time.monotonic()
        return time.monotonic() - self.began

    def told(self) -> dict[str, Json]:
        return {
            "requests": self.requests,
            "calls": sum(self.calls.values()),
            "by_method": dict(self.calls),
            "seconds": self.ended_at,
            "limited_at": self.limited_at,
            "refused": self.refused,
            "logs": self.logs,
        }


class LimitedNode:
    """Answers for an invented chain within limits."""

    def __init__(self, chain: InventedChain, limits: Limits) -> None:
        self._chain = chain
        self._limits = limits
        self._counter = CallCounter(limits.calls_per_second, limits.counting)
        self.account = Account()

    async def answer(self, request: web.Request) -> web.Response:
        """The answer to a JSON-RPC request or batch."""
        body = json.loads(await request.read())
        status, text = self._answered(body)
        await asyncio.sleep(self._limits.latency_seconds)
        self.account.ended_at = self.account.now()
        return web.Response(status=status, body=text, content_type="application/json")

    async def counts(self, request: web.Request) -> web.Response:
        """What was asked until now; asking resets it."""
        del request
        told, self.account = self.account.told(), Account()
        return web.json_response(told)

    def _answered(self, body: Json) -> tuple[int, bytes]:
        account, limits = self.account, self._limits
        asked = body if isinstance(body, list) else [body]
        account.requests += 1
        now = account.now()
        if limits.batch_calls is not None and len(asked) > limits.batch_calls:
            return 200, _refused(None, -32600, f"batch limit of {limits.batch_calls} calls exceeded")
        allowed = self._counter.allowed(len(asked))
        if allowed < len(asked):
            account.limited_at.append(now)
            if limits.by_status:
                return 429, _refused(None, *_TOO_MANY_CALLS)
        self._counter.let_in(allowed)
        answers = [self._envelope(call) for call in asked[:allowed]]
        answers += [_refused(call["id"], *_TOO_MANY_CALLS) for call in asked[allowed:]]
        return 200, b"[" + b",".join(answers) + b"]" if isinstance(body, list) else answers[0]

    def _envelope(self, call: Json) -> bytes:
        self.account.calls[call["method"]] += 1
        try:
            result = self._result(call["method"], call.get("params") or [None])
        except RefusalError as error:
            return _refused(call["id"], error.code, str(error))
        return b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (json.dumps(call["id"]).encode(), result)

    def _result(self, method: str, params: list[Json]) -> bytes:
        match method:
            case "eth_chainId":
                return json.dumps(hex(CHAIN_ID)).encode()
            case "eth_blockNumber":
                return json.dumps(hex(self._chain.last)).encode()
            case "eth_getBlockByNumber":
                number = self._number(params[0])
                return self._chain.header(number) if number <= self._chain.last else b"null"
            case "eth_getLogs":
                return self._logs(params[0])
        raise RefusalError(-32601, f"the method {method} does not exist")

    def _logs(self, wanted: Json) -> bytes:
        if TOKEN not in json.dumps(wanted.get("address", TOKEN)).lower():
            return b"[]"
        first, last = self._number(wanted["fromBlock"]), self._number(wanted["toBlock"])
        limits = self._limits
        if limits.range_blocks is not None and last - first + 1 > limits.range_blocks:
            self._refuse_range(
                first, last, -32600, f"eth_getLogs is limited to a {limits.range_blocks:,} range"
            )
        count = sum(count for _, count in self._chain.blocks_with_logs(first, last))
        if limits.answer_logs is not None and count > limits.answer_logs:
            self._refuse_range(first, last, -32005, f"query returned more than {limits.answer_logs} results")
        self.account.logs += count
        return self._chain.range_logs(first, last)

    def _refuse_range(self, first: int, last: int, code: int, message: str) -> None:
        self.account.refused.append((self.account.now(), last - first + 1))
        raise RefusalError(code, message)

    def _number(self, block: str) -> int:
        if block.startswith("0x"):
            return int(block, 16)
        return 0 if block == "earliest" else self._chain.last


def _refused(call_id: Json, code: int, message: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": call_id, "error": {"code": code, "message": message}}).encode()


@asynccontextmanager
async def serving(chain: InventedChain, limits: Limits) -> AsyncIterator[tuple[str, LimitedNode]]:
    """The URL of such a node, in this process; `GET /counts` below it tells what was asked."""
    node = LimitedNode(chain, limits)
    application = web.Application(client_max_size=1 << 20)
    application.router.add_post("/", node.answer)
    application.router.add_get("/counts", node.counts)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}/", node
    finally:
        await runner.cleanup()


def main() -> None:
    """Serve the chain and the limits that the one argument tells as JSON; the first line printed is the URL."""
    import signal
    import sys

    chain, limits = json.loads(sys.argv[1])

    async def serve() -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        async with serving(InventedChain(**chain), Limits(**limits)) as (url, _):
            print(url, flush=True)
            await ended.wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
