"""Another process of ours that fills portions, as the leader sees it: started, given work, let go."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import suppress

from indexer import journal
from indexer.core.dealing import Portion
from indexer.core.errors import Fatal, Unavailable
from indexer.workers.channel import Begin, Channel, Failed, Fill, Ready, ToLeader, Wrote, error_of, to_worker
from indexer.workers.portion import Told

log = journal.get(__name__)

#: How long a process may take to end by itself; it has nothing to save.
ENDING_SECONDS = 5.0
#: What a process that was told to stop by somebody else ends with.
TOLD_TO_STOP = {128 + signal.SIGTERM, 128 + signal.SIGINT}


class Ended(Exception):
    """The process was ended from outside, at whatever moment."""


class WorkerProcess:
    """One process. It ends with us, whatever ends us: it sees the end of its channel."""

    def __init__(self, process: asyncio.subprocess.Process, channel: Channel[ToLeader]) -> None:
        self._process = process
        self._channel = channel

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(cls) -> WorkerProcess:
        """A process that knows nothing yet.

        Raises:
            Unavailable: the system gives us no other process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            channel = await to_worker(ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "indexer", "backfill-worker", "--channel", str(theirs.fileno())),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    # Ctrl-C at the terminal is for us: we let go of it in our own time.
                    process_group=0,
                )
            except OSError as error:
                await channel.close()
                raise Unavailable(f"the system starts no other process: {error.strerror}") from error
        return cls(process, channel)

    async def begin(self, begin: Begin) -> None:
        """Return when it is ready for work.

        Raises:
            Ended: it was ended from outside.
            IndexerError: it cannot work.
        """
        await self._channel.send(begin)
        message = await self._next()
        if not isinstance(message, Ready):
            raise Fatal(f"worker process {self.pid} said {type(message).__name__} before it was ready")

    async def fill(self, portion: Portion, told: Told) -> None:
        """Return when all of the portion is committed.

        Raises:
            Ended: it was ended from outside; what is committed of the portion is for the database to say.
            IndexerError: as it met it; what was committed until then stays.
        """
        await self._channel.send(Fill(portion))
        while isinstance(message := await self._next(), Wrote):
            told(message.work, message.rows)

    async def end(self) -> int:
        """Let it go, also in the middle of its work; its exit code."""
        await self._channel.close()
        try:
            async with asyncio.timeout(ENDING_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            return await self._process.wait()

    async def _next(self) -> ToLeader:
        message = await self._channel.receive()
        if isinstance(message, Failed):
            raise error_of(message)
        if message is not None:
            return message
        code = await self.end()
        if code < 0 or code in TOLD_TO_STOP:
            raise Ended(f"worker process {self.pid} was ended by signal {-code if code < 0 else code - 128}")
        raise Fatal(
            f"worker process {self.pid} ended with code {code}, see the journal above; please report it"
        )
