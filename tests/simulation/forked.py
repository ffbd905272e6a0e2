"""Starts the program through the fork server, as a process that can be told to stop, frozen and killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from tests.fixtures.program import KEPT_ENVIRONMENT, PROJECT, Program

#: A line of the journal may hold a whole block.
LINE_BYTES = 1 << 24


class Forked:
    """A process of the program, with what `asyncio.subprocess.Process` offers of it."""

    def __init__(
        self,
        pid: int,
        stderr: asyncio.StreamReader,
        stdout: asyncio.StreamReader,
        status: asyncio.StreamReader,
    ) -> None:
        self.pid = pid
        self.stderr = stderr
        self.stdout = stdout
        self.returncode: int | None = None
        self._end = asyncio.create_task(self._await_end(status), name="the program's end")

    async def _await_end(self, status: asyncio.StreamReader) -> int:
        told = await status.read()
        # Nothing is told when the fork server itself was ended; then so were its children.
        self.returncode = int(told) if told else -signal.SIGKILL
        return self.returncode

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    def send_signal(self, signal_: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal_)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """Forks processes of the program. Made by `fork_server`."""

    def __init__(self, control: socket.socket, bug: str | None) -> None:
        self._control = control
        self._turn = asyncio.Lock()
        self._bug = bug

    async def start(
        self, arguments: list[str], *, environment: Mapping[str, str] | None = None, seed: int = 0
    ) -> Forked:
        """The program with these arguments, and random numbers from the seed, as a running process."""
        kept = {name: value for name, value in os.environ.items() if name in KEPT_ENVIRONMENT}
        request = {
            "arguments": arguments,
            "environment": {**kept, "INDEXER_JOURNAL": "json", **(environment or {})},
            "seed": seed,
            "bug": self._bug,
        }
        pipes = [os.pipe() for _ in range(3)]
        loop = asyncio.get_running_loop()
        async with self._turn:
            socket.send_fds(self._control, [json.dumps(request).encode()], [write for _, write in pipes])
            for _, write in pipes:
                os.close(write)
            pid = int(await loop.sock_recv(self._control, 64))
        stdout, stderr, status = [await _reader(read) for read, _ in pipes]
        return Forked(pid, stderr, stdout, status)

    @asynccontextmanager
    async def running(self, *arguments: str, seed: int = 0) -> AsyncIterator[Program]:
        """The program for as long as the block lasts; killed at the end if it still runs."""
        program = Program(await self.start(list(arguments), seed=seed))
        try:
            yield program
        finally:
            program.kill()
            await program.ended()


async def _reader(file: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(file, "rb")
    )
    return reader


@asynccontextmanager
async def fork_server(speed: float, *, bug: str | None = None) -> AsyncIterator[ForkServer]:
    """A fork server of our own; the processes that it started end with it.

    Args:
        speed: how many of the program's seconds pass in a real one.
        bug: a mistake to plant in every process; see `tests.simulation.bugs`.
    """
    # Messages with file descriptors are kept apart from each other only by a socket that keeps boundaries.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.simulation.forkserver",
        str(theirs.fileno()),
        str(speed),
        cwd=PROJECT,
        # A library of numbers that starts threads at its import would forbid to fork.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        pass_fds=[theirs.fileno()],
        stdin=asyncio.subprocess.DEVNULL,
    )
    theirs.close()
    try:
        yield ForkServer(ours, bug)
    finally:
        ours.close()
        process.kill()
        await process.wait()
