"""`indexer run` as a whole process against a chain that grows, and what it told and stored."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from bench.chain import ABI, CHAIN_ID, TOKEN

#: Seconds for the program to start, to reach the head, to end.
PATIENCE_SECONDS = 180.0
#: Between two looks at what announces itself in no other way.
LOOK_SECONDS = 0.1
CONFIGURATION = """
[chain]
id = {chain_id}
rpc = [{{ url = "{rpc}", gzip = false }}]
poll_seconds = {poll_seconds}

[http]
listen = "127.0.0.1:0"

[[contracts]]
name = "Token"
address = "{token}"
abi = "token.json"
"""


@dataclass(frozen=True, slots=True)
class Running:
    """The program while it runs."""

    process: asyncio.subprocess.Process
    #: Where its HTTP endpoints are.
    url: str

    async def metrics(self) -> dict[str, float]:
        """The sum of the samples of each name and, for calls to the node, of each name and method."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/metrics") as response:
            page = await response.text()
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                for name in {sample.name, f"{sample.name}:{sample.labels.get('method', '')}"}:
                    sums[name] = sums.get(name, 0.0) + sample.value
        return sums

    def memory_bytes(self, field: str) -> int:
        """`VmRSS` for what it holds now, `VmHWM` for the most that it ever held."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"the system does not tell {field}")


@asynccontextmanager
async def running(
    directory: Path, rpc: str, database: str, *, poll_seconds: float = 1.0
) -> AsyncIterator[Running]:
    """The program, which follows the node from the moment when its endpoints answer."""
    (directory / "token.json").write_text(json.dumps(ABI))
    config = directory / "indexer.toml"
    config.write_text(
        CONFIGURATION.format(chain_id=CHAIN_ID, rpc=rpc, token=TOKEN, poll_seconds=poll_seconds)
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "indexer", "run", "--config", str(config)),
        env={**os.environ, "DATABASE_URL": database, "INDEXER_JOURNAL": "json"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    said: list[str] = []
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reader = asyncio.create_task(_read_journal(process, listening, said))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            url = await listening
        yield Running(process, url.rstrip("/"))
        if process.returncode is not None:
            raise RuntimeError(f"the indexer ended with {process.returncode}: {said[-3:]}")
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await process.wait()
            await reader


async def _read_journal(
    process: asyncio.subprocess.Process, listening: asyncio.Future[str], said: list[str]
) -> None:
    """Keep what is worse than usual, and tell where the endpoints are."""
    assert process.stderr is not None
    async for line in process.stderr:
        text = line.decode().rstrip()
        with suppress(ValueError):
            record = json.loads(text)
            if record.get("message") == "listening" and not listening.done():
                listening.set_result(record["url"])
            if record.get("level") in {"info", "debug"} or record.get("message") == "reorg":
                continue
        said.append(text)
        print(text, file=sys.stderr)
    if not listening.done():
        listening.set_exception(RuntimeError(f"the indexer ended at its start: {said[-3:]}"))


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return when the condition is true.

    Raises:
        RuntimeError: it takes too long.
    """
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await condition():  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError as error:
        raise RuntimeError(f"it did not come true that {what}") from error


async def cursor(database: str) -> int:
    """The newest followed block in the database; -1 before the first."""
    connection = await asyncpg.connect(database)
    try:
        found = await connection.fetchval("select number from indexer.cursor")
        return -1 if found is None else int(found)
    except asyncpg.UndefinedTableError:
        return -1
    finally:
        await connection.close()
