"""Starts and stops Anvil, a real Ethereum node for one machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from indexer.core.errors import Fatal, UserMistake
from indexer.dev.chain import Chain
from indexer.dev.checkout import PROJECT, program

#: With a fixed time of the genesis block its hash is the same at each start.
GENESIS_TIME = 1_700_000_000  # Unix seconds

START_SECONDS = 120.0  # a throttled machine needs many times the usual 0.06
STOP_SECONDS = 20.0

#: Room for transactions with 100,000 events.
GAS_LIMIT = 3_000_000_000

LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")


def find_anvil() -> Path:
    """The program: what ANVIL names, else `anvil` on PATH, else the one that npm installed in the checkout.

    Raises:
        UserMistake: there is none.
    """
    named = os.environ.get("ANVIL")
    if named:
        if not os.access(named, os.X_OK):
            raise UserMistake("the environment variable ANVIL does not name a program: correct or remove it")
        return Path(named)
    from_npm = PROJECT / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
    found = program("anvil") or (from_npm if from_npm.exists() else None)
    if found is None:
        raise UserMistake(
            "Anvil is missing: run `npm ci` in the checkout (Linux on x86-64), "
            "or install Foundry and put `anvil` on PATH, or name the program in the variable ANVIL"
        )
    return found


class Anvil:
    """One Anvil process: ``async with Anvil() as anvil`` starts it, and stops it at the end.

    It ends with us even when we are killed (on Linux): with the thread that started it, so start it from the
    main thread. It is not in our process group: Ctrl-C ends us, and we end it.

    The hard fork is Cancun: later ones keep block hashes in state, which makes Anvil quadratic in the number
    of blocks. States stay in memory, the newest 500 of them, which is how deep a reorg can go.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        chain_id: int = 31337,
        timestamp: int | None = GENESIS_TIME,
        mining: bool = True,
        block_seconds: float | None = None,
        slots_in_an_epoch: int = 32,
        accounts: int = 20,
        gas_limit: int = GAS_LIMIT,
        arguments: Sequence[str] = (),
    ) -> None:
        """
        Args:
            port: 0 is a free one.
            timestamp: of the genesis block, in Unix seconds; None is now.
            mining: False: blocks are made on demand only; True: one for each transaction.
            block_seconds: a block each so many seconds instead.
            slots_in_an_epoch: `safe` is so many blocks behind the head, `finalized` twice as many.
            accounts: how many funded, unlocked accounts there are.
            arguments: more of Anvil's command line.
        """
        self._port = port
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._last_lines: deque[bytes] = deque(maxlen=12)
        self._flags = [
            *("--chain-id", str(chain_id), "--hardfork", "cancun"),
            *("--max-persisted-states", "0", "--no-request-size-limit", "--order", "fifo"),
            *("--slots-in-an-epoch", str(slots_in_an_epoch), "--accounts", str(accounts)),
            *("--gas-limit", str(gas_limit), "--color", "never"),
            *(("--timestamp", str(timestamp)) if timestamp is not None else ()),
            *(() if mining else ("--no-mining",)),
            *(("--block-time", str(block_seconds)) if block_seconds is not None else ()),
            *arguments,
        ]

    @property
    def port(self) -> int:
        """The port it listens on; the same again after a stop and a start."""
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The id of the process.

        Raises:
            Fatal: it does not run.
        """
        return self._running().pid

    async def start(self) -> None:
        """Start the process and wait until it answers.

        Raises:
            UserMistake: there is no Anvil, or the port is taken.
            Fatal: it ended or did not listen in time; its last words are in the message.
        """
        if self._process is not None:
            raise Fatal(f"Anvil runs already, as process {self._process.pid}")
        found = find_anvil()
        # Anvil makes a folder at each start and leaves it behind, by default below the home.
        self._folder = tempfile.TemporaryDirectory(prefix="anvil-", ignore_cleanup_errors=True)
        try:
            async with asyncio.timeout(START_SECONDS):
                self._process = await self._launch(found, self._folder.name)
                self._port = await self._read_port(self._process)
                self._reader = asyncio.create_task(self._read_on(self._process), name="anvil's output")
                async with Chain(self.url) as chain:
                    await chain.call("anvil_setLoggingEnabled", False)
        except TimeoutError as error:
            await self.stop()
            raise Fatal(f"Anvil did not answer within {START_SECONDS:.0f} s: {self._last_words()}") from error
        except OSError as error:
            await self.stop()
            raise UserMistake(f"the Anvil that was found cannot be run: {error.strerror}") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the process, if it runs, and wait for its end."""
        process, self._process = self._process, None
        reader, self._reader = self._reader, None
        folder, self._folder = self._folder, None
        try:
            if process is not None:
                await _end(process)
            if reader is not None:
                await reader
        finally:
            if folder is not None:
                folder.cleanup()

    def pause(self) -> None:
        """Freeze the process: connections stay open and nothing is answered."""
        _signal(self._running(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on."""
        _signal(self._running(), signal.SIGCONT)

    async def __aenter__(self) -> Anvil:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise Fatal("Anvil does not run")
        return self._process

    async def _launch(self, found: Path, folder: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(*_ending_with_us(), str(found), "--port", str(self._port), "--cache-path", folder),
            *self._flags,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def _read_port(self, process: asyncio.subprocess.Process) -> int:
        """The port from the line in which Anvil says that it listens."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._last_lines.append(line)
            if found := LISTENING.match(line):
                return int(found[1])
        words = self._last_words()
        if "Address already in use" in words:
            raise UserMistake(f"port {self._port} is taken: choose another for the development chain, or 0")
        raise Fatal(f"Anvil ended with {await process.wait()}: {words}")

    async def _read_on(self, process: asyncio.subprocess.Process) -> None:
        """Empty the pipe until the end, or a full pipe would stop the process."""
        assert process.stdout is not None
        while part := await process.stdout.read(1 << 16):
            self._last_lines.append(part)

    def _last_words(self) -> str:
        return b"".join(self._last_lines).decode("utf-8", "replace").strip() or "it said nothing"


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask the process to end, make it when it does not, and wait for its end."""
    try:
        _signal(process, signal.SIGTERM)
        _signal(process, signal.SIGCONT)
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            _signal(process, signal.SIGKILL)
            await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal, unless the process has ended.

    The process's own `send_signal` is not used: it may collect the exit code that asyncio's watcher
    waits for.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _ending_with_us() -> tuple[str, ...]:
    """A command in front of another that has the kernel end that when its parent is gone."""
    setpriv = program("setpriv")
    return (str(setpriv), "--pdeathsig", "KILL", "--") if setpriv is not None else ()
