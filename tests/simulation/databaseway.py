"""The program's way to PostgreSQL: can be closed, cut at a message, or cut between a commit and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.fixtures.cutting import CuttingProxy

#: The server's message that a commit is done. Source: PostgreSQL, "Message Formats", CommandComplete.
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"


class DatabaseWay(CuttingProxy):
    """A proxy that also refuses connections, and that can swallow the answer to a commit."""

    def __init__(self, server_url: str) -> None:
        super().__init__(server_url)
        self._closed = False
        self._commits_left: int | None = None
        self._swallowed: Callable[[], object] = self.cut

    def close(self) -> None:
        """Break all connections, and refuse new ones."""
        self._closed = True
        self.cut()

    def open(self) -> None:
        """Let connections through again."""
        self._closed = False

    def swallow_commit(self, commits: int, strike: Callable[[], object] | None = None) -> None:
        """Keep the answer to the so-manieth commit from now to ourselves, and cut or do something else."""
        self._commits_left, self._swallowed = commits, strike or self.cut

    def disarm(self) -> None:
        """Forget what was to happen."""
        self._left = self._commits_left = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.transport.abort()
            return
        await super()._serve(reader, writer)

    async def _pass_on(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, client: bool) -> None:
        if client:
            await super()._pass_on(source, to, client)
            return
        while data := await source.read(1 << 20):
            if self._commits_left and COMMITTED in data:
                self._commits_left -= 1
                if self._commits_left == 0:
                    self._swallowed()
                    continue
            to.write(data)
            await to.drain()
        to.transport.abort()
