"""An endpoint over WebSocket: calls, and the subscription to new heads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

import aiohttp
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder

from indexer.core.model import Header
from indexer.core.wire import WireHeader, header_of
from indexer.rpc.envelope import UNREADABLE
from indexer.rpc.failures import Disconnected, Failure, Garbled, Unsupported
from indexer.rpc.transport import Answer, Timing, broken, too_large

#: One that gives text as bytes; in quotes, because the class is generic for type checkers only.
Socket: TypeAlias = "aiohttp.ClientWebSocketResponse[Literal[False]]"

#: Pings keep proxies from closing a quiet connection, and tell a dead one.
_HEARTBEAT_SECONDS = 20.0


class _Identified(Struct):
    id: int | str | None = None


class _Params(Struct):
    result: WireHeader


class _Message(Struct):
    """An answer to eth_subscribe, or a notification."""

    id: int | str | None = None
    method: str | None = None
    params: _Params | None = None
    result: Raw | UnsetType = UNSET
    error: object = None


_IDENTIFIED = Decoder(list[_Identified] | _Identified)
_MESSAGE = Decoder(_Message)
_SUBSCRIBE = '{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}'


class WebSocketTransport:
    """Calls over one connection, which is opened when it is first needed and again after it broke."""

    def __init__(self, name: str, url: str, timing: Timing) -> None:
        self._name = name
        self._url = url
        self._timing = timing
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._socket: Socket | None = None
        self._reader: asyncio.Task[None] | None = None
        #: Messages that came over the connection, of any kind.
        self._received = 0
        #: Who waits for the answer with an id; the ids of a batch all lead to the same one.
        self._waiting: dict[int, asyncio.Future[bytes]] = {}

    async def exchange(self, body: bytes, ids: range, most_bytes: int | None = None) -> Answer:
        """The answer to the request with these ids; see `Transport`."""
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        socket: Socket | None = None
        before = 0
        try:
            async with asyncio.timeout(self._timing.request_seconds):
                socket = await self._opened()
                before = self._received
                self._waiting.update(dict.fromkeys(ids, answered))
                await socket.send_str(body.decode())
                message = await answered
                if len(message) > (most := self._timing.most_bytes(most_bytes)):
                    # It is here already, but the next one will be smaller.
                    raise too_large(self._name, most)
                return Answer(None, message)
        except Failure:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError) and socket is self._socket and before == self._received:
                # Open, and nothing comes: whoever is at the other end may answer pings for ever.
                self._socket = None
            # Not chained: the texts of aiohttp's errors hold the host and at times the URL with its key.
            raise broken(self._name, error, self._timing) from None
        finally:
            for each in ids:
                self._waiting.pop(each, None)
            # Nobody else will look at it; a failure that came too late is not worth a warning.
            if answered.done() and not answered.cancelled():
                answered.exception()

    async def close(self) -> None:
        """End the connection and the task that reads it."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _opened(self) -> Socket:
        async with self._opening:
            if self._socket is not None and not self._socket.closed:
                return self._socket
            await self.close()
            self._session = aiohttp.ClientSession()
            socket = self._socket = await connect(self._session, self._url, self._timing)
            self._reader = asyncio.create_task(self._read(socket))
            return socket

    async def _read(self, socket: Socket) -> None:
        """Hand every answer to the one who waits for it, until the connection ends."""
        failure: Failure = Disconnected(f"{self._name}: the connection was closed")
        try:
            async for message in socket:
                self._received += 1
                if message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
                    self._hand_over(message.data)
            if socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
                failure = too_large(self._name, self._timing.response_bytes)
        except UNREADABLE:
            failure = Garbled(f"{self._name}: a message that is not JSON-RPC")
        finally:
            # Before anybody learns of it: a request on a connection that nobody reads would wait in vain.
            self._socket = None
            for answered in set(self._waiting.values()):
                if not answered.done():
                    answered.set_exception(failure)
            await socket.close()

    def _hand_over(self, body: bytes) -> None:
        seen = _IDENTIFIED.decode(body)
        ids = [each.id for each in (seen if isinstance(seen, list) else [seen])]
        known = (each for each in ids if isinstance(each, int) and each in self._waiting)
        waiting = next((self._waiting[each] for each in known), None)
        if waiting is None and ids == [None] and len(set(self._waiting.values())) == 1:
            # A request that could not be read is refused without an id; there is only one it can be.
            waiting = next(iter(self._waiting.values()))
        if waiting is not None and not waiting.done():
            waiting.set_result(body)


class HeadSubscription:
    """The new heads that an endpoint announces over a connection of its own."""

    def __init__(self, name: str, socket: Socket) -> None:
        self._name = name
        self._socket = socket

    async def next_head(self) -> Header:
        """The next header that is announced.

        Raises:
            Disconnected: the connection ended.
            Garbled, Inconsistent: what came is not a header; the connection should be given up.
        """
        while True:
            message = await _received(self._name, self._socket)
            if message.method == "eth_subscription" and message.params is not None:
                return header_of(message.params.result)


@asynccontextmanager
async def subscribe_heads(name: str, url: str, timing: Timing) -> AsyncIterator[HeadSubscription]:
    """A subscription to `newHeads`, until the end of the block.

    Raises:
        Failure: there is no connection, or the endpoint does not offer it.
    """
    async with aiohttp.ClientSession() as session:
        socket = await _subscribed(name, session, url, timing)
        try:
            yield HeadSubscription(name, socket)
        finally:
            await socket.close()


async def connect(session: aiohttp.ClientSession, url: str, timing: Timing) -> Socket:
    """An open connection, within the time for connecting."""
    async with asyncio.timeout(timing.connect_seconds):
        return await session.ws_connect(
            url,
            heartbeat=_HEARTBEAT_SECONDS,
            max_msg_size=timing.response_bytes,
            # A large answer as text and as bytes at the same time would be twice the memory.
            decode_text=False,
            # Waiting for the other side's goodbye would hold up our own end.
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),  # pyright: ignore[reportCallIssue]
        )


async def _subscribed(name: str, session: aiohttp.ClientSession, url: str, timing: Timing) -> Socket:
    try:
        socket = await connect(session, url, timing)
        await socket.send_str(_SUBSCRIBE)
        async with asyncio.timeout(timing.request_seconds):
            while (message := await _received(name, socket)).id != 1:
                pass
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Not chained: the texts of aiohttp's errors hold the host and at times the URL with its key.
        raise broken(name, error, timing) from None
    if message.error is not None or isinstance(message.result, UnsetType):
        raise Unsupported(f"{name}: does not announce new heads")
    return socket


async def _received(name: str, socket: Socket) -> _Message:
    message = await socket.receive()
    if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
        raise Disconnected(f"{name}: the connection was closed")
    try:
        return _MESSAGE.decode(message.data)
    except UNREADABLE:
        # The decoder's words may repeat the message.
        raise Garbled(f"{name}: a message that is not JSON-RPC") from None
