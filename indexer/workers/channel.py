"""What the leading process and another one say to each other, over a pair of connected sockets.

Messages are MessagePack, each behind its length. The settings hold secrets, so they go this way: what stands in
arguments or in the environment can be read by others. When one side ends, however it ends, the other one sees the
end of the stream.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from indexer.core.dealing import Portion
from indexer.core.errors import (
    BelowFinality,
    Fatal,
    Inconsistent,
    IndexerError,
    LostLeadership,
    TooDeep,
    TooMuch,
    Unavailable,
    UserMistake,
    WrongChain,
)
from indexer.settings import Settings

Received = TypeVar("Received")

#: Bytes of the number before each message.
_LENGTH_BYTES = 4


class Begin(msgspec.Struct, frozen=True, tag=True):
    """The first word of the leader: what to work with, and on whose behalf."""

    #: With the database's URL, also where it is the embedded one.
    settings: Settings
    epoch: int
    since: datetime
    #: The newest reorg when the work was planned; None: there was none. After another one nothing may be written.
    reorg: int | None


class Fill(msgspec.Struct, frozen=True, tag=True):
    """Fetch and write these blocks."""

    portion: Portion


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The first word of the other side: it waits for work."""


class Wrote(msgspec.Struct, frozen=True, tag=True):
    """So much more is committed."""

    #: Blocks times sources.
    work: int
    rows: int


class Filled(msgspec.Struct, frozen=True, tag=True):
    """The whole portion is committed."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """An error that the program foresees; the message holds no secret."""

    kind: str
    message: str


ToWorker = Begin | Fill
ToLeader = Ready | Wrote | Filled | Failed

_KINDS: dict[str, type[IndexerError]] = {
    kind.__name__: kind
    for kind in (
        *(
            Unavailable,
            Inconsistent,
            TooMuch,
            UserMistake,
            WrongChain,
            TooDeep,
            BelowFinality,
            LostLeadership,
        ),
        *(Fatal, IndexerError),
    )
}


def told(error: IndexerError, message: str) -> Failed:
    """The error as a message, under the name of the nearest class that both sides know."""
    return Failed(next(each.__name__ for each in type(error).__mro__ if each.__name__ in _KINDS), message)


def error_of(failed: Failed) -> IndexerError:
    """The error that was told."""
    return _KINDS.get(failed.kind, IndexerError)(failed.message)


class Channel(Generic[Received]):
    """One end of a pair of sockets; made by `to_worker` or `to_leader`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: msgspec.msgpack.Decoder[Any],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder

    async def send(self, message: ToWorker | ToLeader) -> None:
        """Say something; when nobody listens any more, that shows when we listen."""
        body = msgspec.msgpack.encode(message, enc_hook=_path_to_text)
        with suppress(ConnectionError):
            self._writer.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
            await self._writer.drain()

    async def receive(self) -> Received | None:
        """What the other side says next; None when it has ended."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            message: Received = self._decoder.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return message

    async def close(self) -> None:
        """Let the other side see the end."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


async def to_worker(ours: socket.socket) -> Channel[ToLeader]:
    """The leader's end."""
    return Channel(*await asyncio.open_connection(sock=ours), msgspec.msgpack.Decoder(ToLeader))


async def to_leader(ours: socket.socket) -> Channel[ToWorker]:
    """The other end."""
    decoder = msgspec.msgpack.Decoder(ToWorker, dec_hook=_path_of_text)
    return Channel(*await asyncio.open_connection(sock=ours), decoder)


def _path_to_text(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value).__name__)


def _path_of_text(kind: type, value: object) -> object:
    if issubclass(kind, Path):
        return kind(str(value))
    raise NotImplementedError(kind.__name__)
