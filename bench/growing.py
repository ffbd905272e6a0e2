"""A node whose chain grows: blocks at a steady pace, announced over WebSocket, now and then a reorg."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from aiohttp import WSMsgType, web

from bench.chain import CHAIN_ID, TOKEN
from bench.mined import GENESIS_PARENT, Blocks, MinedBlock, Shape

#: How far below the head a block is final.
FINAL_BLOCKS = 32
#: Blocks that are there before the first one is mined.
HISTORY_BLOCKS = 2 * FINAL_BLOCKS
#: Blocks kept in memory; the first one always is.
KEPT_BLOCKS = 1_000
#: Blocks made before they are announced, so that making them disturbs nobody at that moment.
AHEAD_BLOCKS = 4
#: Seconds until it answers, on a machine that is busy with other things.
START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How the chain grows."""

    block_seconds: float
    #: A reorg in place of every so manyth block, of one, two and three blocks in turn; 0: none.
    reorg_every: int = 0
    #: So many logs of the token are in one block of every hundred; 0: in none.
    big_logs: int = 0


@dataclass(slots=True)
class Told:
    """When the node told what of a block, in Unix seconds."""

    announced: float
    #: When the block was asked for by its hash, with its transactions, for the first time.
    asked: float | None = None


@dataclass(slots=True)
class GrowingChain:
    """What the node has shown; `due` is what it shows next."""

    pace: Pace
    blocks: dict[int, MinedBlock] = field(default_factory=dict)
    by_hash: dict[str, MinedBlock] = field(default_factory=dict)
    #: By block hash, of blocks that were announced.
    told: dict[str, Told] = field(default_factory=dict)
    head: int = -1
    #: Each the blocks that appear at one moment.
    due: deque[list[MinedBlock]] = field(default_factory=deque)
    #: The newest blocks after all that is due, oldest first: a reorg begins there.
    _tip: deque[MinedBlock] = field(default_factory=lambda: deque(maxlen=4))
    _maker: Blocks = field(default_factory=lambda: Blocks(Shape()))
    _depths: cycle[int] = field(default_factory=lambda: cycle((1, 2, 3)))
    _made: int = 0
    _started: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        for _ in range(HISTORY_BLOCKS):
            self._show([self._make(None)])
        while len(self.due) < AHEAD_BLOCKS:
            self.prepare()

    @property
    def final(self) -> MinedBlock:
        return self.blocks[max(0, self.head - FINAL_BLOCKS)]

    def prepare(self) -> None:
        """Make what comes after all that is due: one block, or the branch of a reorg."""
        self._made += 1
        if self.pace.reorg_every and self._made % self.pace.reorg_every == 0:
            depth = next(self._depths)
            for _ in range(depth):
                self._tip.pop()
            self.due.append([self._make(None) for _ in range(depth + 1)])
        elif self.pace.big_logs and self._made % 100 == 50:
            receipts = max(1, self.pace.big_logs // 100)
            self.due.append([self._make(Shape(receipts, 100, watched_every=1, all_watched=True))])
        else:
            self.due.append([self._make(None)])

    def grow(self) -> list[MinedBlock]:
        """Show what is due; the blocks that are new."""
        new = self.due.popleft()
        self._show(new)
        now = time.time()
        for block in new:
            self.told[block.hash] = Told(now)
        return new

    def _make(self, shape: Shape | None) -> MinedBlock:
        parent = self._tip[-1] if self._tip else None
        number = parent.number + 1 if parent else 0
        block = self._maker.make(
            number, parent.hash if parent else GENESIS_PARENT, int(self._started) + number, shape
        )
        self._tip.append(block)
        return block

    def _show(self, new: list[MinedBlock]) -> None:
        for block in new:
            self.blocks[block.number] = self.by_hash[block.hash] = block
        self.head = new[-1].number
        while len(self.by_hash) > KEPT_BLOCKS:
            old = next(block for block in self.by_hash.values() if block.number > 0)
            del self.by_hash[old.hash]
            if self.blocks.get(old.number) is old:
                del self.blocks[old.number]


class GrowingNode:
    """Answers for the chain, and lets it grow from the first question on."""

    def __init__(self, chain: GrowingChain) -> None:
        self._chain = chain
        self._listening: set[web.WebSocketResponse] = set()
        self._requests = self._calls = 0

    async def mine(self) -> None:
        """Grow for ever; a block that is late does not move those after it."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            due += self._chain.pace.block_seconds
            await asyncio.sleep(due - clock())
            for block in self._chain.grow():
                for socket in tuple(self._listening):
                    with contextlib.suppress(ConnectionError):
                        await socket.send_str(block.announcement)
            # Halfway to the next block, when everybody has had time for this one.
            await asyncio.sleep(due + self._chain.pace.block_seconds / 2 - clock())
            self._chain.prepare()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One HTTP request, or a WebSocket."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        return web.Response(body=self.answered(await request.read()), content_type="application/json")

    async def told(self, _: web.Request) -> web.Response:
        """When each block was announced, and asked for: for the measurement, not for the indexer."""
        told = {block_hash: [each.announced, each.asked] for block_hash, each in self._chain.told.items()}
        return web.json_response({"told": told, "requests": self._requests, "calls": self._calls})

    def answered(self, body: bytes | str) -> bytes:
        """The body of the answer to a JSON-RPC request or batch."""
        request = json.loads(body)
        self._requests += 1
        self._calls += len(request) if isinstance(request, list) else 1
        if isinstance(request, list):
            return b"[" + b",".join(self._envelope(each) for each in request) + b"]"
        return self._envelope(request)

    async def _serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=1.0)
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                if '"eth_subscribe"' in message.data:
                    await socket.send_json({"jsonrpc": "2.0", "id": 1, "result": "0x1"})
                    self._listening.add(socket)
                else:
                    await socket.send_str(self.answered(message.data).decode())
        finally:
            self._listening.discard(socket)
        return socket

    def _envelope(self, call: dict[str, Any]) -> bytes:
        request_id = json.dumps(call["id"]).encode()
        result = self._result(call["method"], call.get("params", []))
        if result is None:
            error = b'{"code":-32601,"message":"the method does not exist"}'
            return b'{"jsonrpc":"2.0","id":%s,"error":%s}' % (request_id, error)
        return b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (request_id, result)

    def _result(self, method: str, params: list[Any]) -> bytes | None:
        chain = self._chain
        match method:
            case "eth_chainId":
                return json.dumps(hex(CHAIN_ID)).encode()
            case "web3_clientVersion":
                return b'"bench"'
            case "eth_getBlockByNumber":
                block = self._at(params[0])
            case "eth_getBlockByHash" | "eth_getBlockReceipts":
                block = chain.by_hash.get(params[0]) or self._at(params[0])
            case "eth_getLogs":
                return b"[" + b",".join(self._logs(params[0])) + b"]"
            case _:
                return None
        if block is None:
            return b"null"
        if method == "eth_getBlockReceipts":
            return block.receipts
        if params[1] and (told := chain.told.get(block.hash)) is not None and told.asked is None:
            told.asked = time.time()
        return block.full if params[1] else block.header

    def _at(self, block: str) -> MinedBlock | None:
        if block in {"finalized", "safe"}:
            return self._chain.final
        if len(block) == len(GENESIS_PARENT):
            return None
        number = self._number(block)
        return self._chain.blocks.get(number) if number <= self._chain.head else None

    def _number(self, block: str) -> int:
        return int(block, 16) if block.startswith("0x") else self._chain.head

    def _logs(self, wanted: dict[str, Any]) -> list[bytes]:
        if TOKEN not in json.dumps(wanted.get("address", TOKEN)):
            return []
        if "blockHash" in wanted:
            block = self._chain.by_hash.get(wanted["blockHash"])
            found = [block] if block else []
        else:
            first, last = self._number(wanted["fromBlock"]), self._number(wanted["toBlock"])
            numbers = range(first, min(last, self._chain.head) + 1)
            found = [self._chain.blocks[number] for number in numbers if number in self._chain.blocks]
        return [block.logs for block in found if block.logs]


async def serve(pace: Pace) -> None:
    """Print the host and port, and answer for the growing chain until cancelled."""
    node = GrowingNode(GrowingChain(pace))
    application = web.Application(client_max_size=1 << 20)
    application.router.add_get("/told", node.told)
    application.router.add_route("*", "/", node.serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        print(f"{host}:{port}", flush=True)
        await node.mine()
    finally:
        await runner.cleanup()


@asynccontextmanager
async def growing_node(pace: Pace) -> AsyncIterator[str]:
    """Host and port of a node in a new process, whose chain grows at this pace."""
    command = [sys.executable, "-m", "bench.growing", "--block-seconds", str(pace.block_seconds)]
    command += ["--reorg-every", str(pace.reorg_every), "--big-logs", str(pace.big_logs)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            place = (await process.stdout.readline()).decode().strip()
        if not place:
            raise RuntimeError("the node ended before it was ready")
        yield place
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growing", description=__doc__)
    parser.add_argument("--block-seconds", type=float, default=1.0)
    parser.add_argument("--reorg-every", type=int, default=0)
    parser.add_argument("--big-logs", type=int, default=0)
    options = parser.parse_args()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serve(Pace(options.block_seconds, options.reorg_every, options.big_logs))


if __name__ == "__main__":
    asyncio.run(_main())
