"""Bytes to an endpoint and back over HTTP, with limits on time and size."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from indexer.core.verdicts import seconds_to_wait
from indexer.rpc.failures import Disconnected, Failure, Garbled, Refused, TimedOut, TooLarge

#: Fewer, larger reads: the default of 64 KiB costs a switch of tasks for each of them.
_READ_BYTES = 1024 * 1024
#: How long an idle connection is kept for the next request.
_KEEP_ALIVE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the node may take, in seconds, and how large its answers may be."""

    #: To open a connection.
    connect_seconds: float = 5.0
    #: From sending a request to the last byte of the answer.
    request_seconds: float = 30.0
    #: All attempts of one question together.
    retry_total_seconds: float = 60.0
    #: The largest answer that is read.
    response_bytes: int = 256 * 1024 * 1024

    def most_bytes(self, of_this_answer: int | None) -> int:
        """How large an answer may be that has a limit of its own, or none."""
        return self.response_bytes if of_this_answer is None else min(of_this_answer, self.response_bytes)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    #: The HTTP status; None over WebSocket.
    status: int | None
    body: bytes | bytearray
    #: Seconds that the endpoint asks us to wait.
    retry_after: float | None = None


class Transport(Protocol):
    """A way to an endpoint."""

    async def exchange(self, body: bytes, ids: range, most_bytes: int | None = None) -> Answer:
        """The answer to a request that carries these ids.

        Args:
            most_bytes: the answer may have so many where that is less than what any answer may have.

        Raises:
            Disconnected, TimedOut, Garbled: there is none.
            TooLarge: it has more bytes than are allowed.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections."""


class HttpTransport:
    """Requests to one URL, with connections kept open between them."""

    def __init__(self, name: str, url: str, timing: Timing, *, gzip: bool) -> None:
        self._name = name
        self._url = url
        self._timing = timing
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                # Compression saves bytes on the way and costs time at both ends.
                "Accept-Encoding": "gzip" if gzip else "identity",
            },
            timeout=aiohttp.ClientTimeout(
                total=timing.request_seconds,
                connect=timing.connect_seconds,
                sock_connect=timing.connect_seconds,
            ),
            read_bufsize=_READ_BYTES,
            # Cookies of one answer must not change the next one.
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def exchange(self, body: bytes, ids: range, most_bytes: int | None = None) -> Answer:
        """The answer to a request; see `Transport`."""
        del ids  # HTTP pairs answers with requests by itself
        most = self._timing.most_bytes(most_bytes)
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                return Answer(
                    response.status,
                    await self._read(response, most),
                    seconds_to_wait(response.headers.get("Retry-After"), time.time()),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not chained: the texts of aiohttp's errors hold the host and at times the URL with its key.
            raise broken(self._name, error, self._timing) from None

    async def close(self) -> None:
        """Let go of all connections."""
        await self._session.close()

    async def _read(self, response: aiohttp.ClientResponse, most: int) -> bytearray:
        length = response.content_length
        if length is not None and length > most:
            response.close()
            raise too_large(self._name, most)
        if length is not None and "Content-Encoding" not in response.headers:
            return await self._read_known(response, length)
        body = bytearray()
        # Counted after decompression, so that a small body cannot unfold without bound.
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > most:
                response.close()
                raise too_large(self._name, most)
        return body

    @staticmethod
    async def _read_known(response: aiohttp.ClientResponse, length: int) -> bytearray:
        """A body whose length is known: each part goes to its place at once, so that nothing is held twice."""
        body = bytearray(length)
        size = 0
        # aiohttp takes care that neither more nor fewer bytes come.
        async for chunk in response.content.iter_any():
            body[size : size + len(chunk)] = chunk
            size += len(chunk)
        return body


def too_large(name: str, most_bytes: int) -> TooLarge:
    """What an answer of more bytes means."""
    return TooLarge(f"{name}: an answer of more than {most_bytes} bytes")


def broken(name: str, error: Exception, timing: Timing) -> Failure:
    """What a failed exchange means, in words that hold neither the host nor the URL."""
    if isinstance(error, asyncio.TimeoutError | TimeoutError):
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return TimedOut(f"{name}: no connection within {timing.connect_seconds:g} s")
        return TimedOut(f"{name}: no complete answer within {timing.request_seconds:g} s")
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return Refused(f"{name}: HTTP {error.status}")
    if isinstance(error, aiohttp.ClientResponseError):
        # Its status is not the server's: aiohttp made it up for an answer that it could not read.
        return Garbled(f"{name}: the answer is not HTTP")
    if isinstance(error, aiohttp.ClientPayloadError):
        return Garbled(f"{name}: the answer was cut short or its encoding is broken")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Disconnected(f"{name}: the host's name is not known")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return Disconnected(f"{name}: no trusted TLS connection")
    if isinstance(error, OSError) and error.errno:
        return Disconnected(f"{name}: {os.strerror(error.errno)}")
    if isinstance(error, aiohttp.InvalidURL):
        return Disconnected(f"{name}: the configured URL is not valid")
    return Disconnected(f"{name}: the connection broke ({type(error).__name__})")
