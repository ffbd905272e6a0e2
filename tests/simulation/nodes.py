"""One endpoint of the simulated node: JSON-RPC over HTTP and WebSocket, through its weather."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

from aiohttp import ClientConnectionResetError, WSMsgType, web

from tests.fixtures.fakechain import FakeBlock
from tests.fixtures.fakenode import RpcError
from tests.simulation.faults import HANG_SECONDS, PROVIDER_ERRORS, SERVER_ERRORS, Weather, Whole
from tests.simulation.views import View

Json = Any

#: What a broken socket announces.
GARBAGE = ("", "{", "null", "[]", '{"jsonrpc":"2.0"}', '{"method":"eth_subscription","params":{"result":5}}')


class SimulatedEndpoint:
    """Serves one view of the chain."""

    def __init__(
        self,
        name: str,
        view: View,
        weather: Weather,
        socket_rates: dict[str, float],
        *,
        asked: Callable[[int], None],
        struck: Counter[str],
    ) -> None:
        self.name = name
        self.view = view
        self.weather = weather
        self.url = ""
        #: No request gets an answer.
        self.away = False
        #: Logs that it leaves out of ranges, by block hash and log index.
        self.left_out: set[tuple[str, str]] = set()
        #: Those that were wanted and not given.
        self.withheld: set[tuple[int, int]] = set()
        #: A mistake of the simulation itself.
        self.failure: Exception | None = None
        self._socket_rates = socket_rates
        self._asked = asked
        self._struck = struck
        self._announced = 0
        self._subscribed: list[web.WebSocketResponse] = []
        self._ending = asyncio.Event()

    @property
    def ws_url(self) -> str:
        return self.url.replace("http://", "ws://") + "/ws"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One HTTP request."""
        if self.away:
            return _reset(request)
        if request.path == "/ws":
            # Whoever was frozen or killed is not there any more when we answer.
            with suppress(ClientConnectionResetError):
                return await self._serve_socket(request)
            return _reset(request)
        asked = await request.json()
        calls = asked if isinstance(asked, list) else [asked]
        self._asked(len(calls))
        whole = self.weather.request(calls)
        if whole is not None and (refusal := await self._refused(request, whole, asked)) is not None:
            return refusal
        body = json.dumps(self._answers(asked, whole)).encode()
        if whole is not None and whole.kind == "cut_short":
            return await _cut_short(request, body, whole.random)
        return web.Response(body=body, content_type="application/json")

    async def announce(self, block: FakeBlock) -> None:
        """Tell the subscribers about a new head, if the weather lets us."""
        if not self._subscribed or self.away:
            return
        self._announced += 1
        random = Random(f"announce {self.name} {self._announced}")
        text = self._announcement(block, random)
        for socket in list(self._subscribed):
            with suppress(ClientConnectionResetError, ConnectionError):
                if text is None:
                    await socket.close()
                elif text:
                    await socket.send_str(text)

    async def end(self) -> None:
        """Let go of requests that hang, and of sockets."""
        self._ending.set()
        for socket in list(self._subscribed):
            await socket.close()

    def _announcement(self, block: FakeBlock, random: Random) -> str | None:
        """What is told instead of the block, empty for nothing; None closes the socket."""
        message = {
            "jsonrpc": "2.0",
            "method": "eth_subscription",
            "params": {"subscription": "0x1", "result": self.view.archive.header(block)},
        }
        if self.weather.clear:
            return json.dumps(message)
        for kind, rate in self._socket_rates.items():
            # Announcements are few: a fault has to strike them often to be seen at all.
            if random.random() >= 5 * rate:
                continue
            self._struck[kind] += 1
            if kind == "socket_silent":
                return ""
            if kind == "socket_dropped":
                return None
            if kind == "socket_garbage":
                return random.choice(GARBAGE) or "\0"
            # The fourth: the block that is announced is not there yet.
            self.view.announced_only[block.hash] = 3
        return json.dumps(message)

    def _answers(self, asked: Json, whole: Whole | None) -> Json:
        if not isinstance(asked, list):
            return self._one(asked)
        answers = [self._one(call) for call in asked]
        kind = whole.kind if whole else None
        if kind == "batch_reversed":
            return answers[::-1]
        if kind == "batch_without_one":
            return answers[:-1]
        if kind == "batch_refused":
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batch too large"}}
        if kind == "batch_partly_failed":
            assert whole is not None
            told = whole.random.choice(PROVIDER_ERRORS)
            at = whole.random.randrange(len(answers))
            answers[at] = _error(asked[at]["id"], told["code"] or -32000, told["message"])
        return answers

    def _one(self, call: Json) -> Json:
        method, params = call["method"], call.get("params", [])
        try:
            result = self.weather.result(self.view, method, params)
        except RpcError as error:
            return _error(call["id"], error.code, str(error))
        except (ValueError, LookupError, TypeError, AttributeError) as failure:
            self.failure = failure
            raise
        if (
            method == "eth_getLogs"
            and "fromBlock" in params[0]
            and self.left_out
            and isinstance(result, list)
        ):
            result = [log for log in result if not self._withholds(log)]
        return {"jsonrpc": "2.0", "id": call["id"], "result": result}

    def _withholds(self, log: Json) -> bool:
        if not isinstance(log, dict) or (log.get("blockHash"), log.get("logIndex")) not in self.left_out:
            return False
        self.withheld.add((int(log["blockNumber"], 16), int(log["logIndex"], 16)))
        return True

    async def _refused(self, request: web.Request, whole: Whole, asked: Json) -> web.Response | None:
        """The response that takes the place of any answer; None where there is one."""
        kind, random = whole.kind, whole.random
        if kind == "slow":
            await self._wait(random.uniform(0.01, 0.25))
        elif kind == "hang":
            await self._wait(HANG_SECONDS)
            return _reset(request)
        elif kind == "reset":
            return _reset(request)
        elif kind == "html":
            page = "<html><body>Bad gateway</body></html>"
            return web.Response(text=page, content_type="text/html", status=random.choice((200, 502)))
        elif kind == "empty_body":
            return web.Response(body=b"", content_type="application/json")
        elif kind == "too_many_requests":
            after = random.choice((None, "0", "1", "Wed, 21 Oct 2015 07:28:00 GMT"))
            headers = {"Retry-After": after} if after else {}
            return web.Response(status=429, headers=headers, text="too many requests")
        elif kind == "server_error":
            return web.Response(status=random.choice(SERVER_ERRORS), text="upstream connect error")
        del asked
        return None

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    async def _serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=1.0)
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            asked = json.loads(message.data)
            self._asked(len(asked) if isinstance(asked, list) else 1)
            if isinstance(asked, dict) and asked["method"] == "eth_subscribe":
                await socket.send_json({"jsonrpc": "2.0", "id": asked["id"], "result": "0x1"})
                self._subscribed.append(socket)
                continue
            if self.away:
                break
            whole = self.weather.request(asked if isinstance(asked, list) else [asked])
            if whole is not None and whole.kind in ("reset", "cut_short", "server_error"):
                break
            if whole is not None and whole.kind == "hang":
                continue
            with suppress(ClientConnectionResetError, ConnectionError):
                await socket.send_json(self._answers(asked, whole))
        if socket in self._subscribed:
            self._subscribed.remove(socket)
        return socket


def _error(id_: Json, code: int, message: str) -> Json:
    return {"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": message}}


def _reset(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _cut_short(request: web.Request, body: bytes, random: Random) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    with suppress(ClientConnectionResetError):
        await response.prepare(request)
        await response.write(body[: random.randrange(len(body))])
    if request.transport is not None:
        request.transport.close()
    return response


@asynccontextmanager
async def served(endpoint: SimulatedEndpoint) -> AsyncIterator[SimulatedEndpoint]:
    """The endpoint at a free port, for as long as the block lasts."""
    application = web.Application(client_max_size=64 << 20)
    application.router.add_route("*", "/{path:.*}", endpoint.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield endpoint
    finally:
        await endpoint.end()
        await runner.cleanup()
