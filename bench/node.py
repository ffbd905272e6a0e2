"""A node that answers from memory, in a process of its own: what it costs is not the indexer's."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from bench.chain import CHAIN_ID, TOKEN, Chain

#: Logs in one answer; more are refused, as by nodes that many people use.
MOST_LOGS = 20_000

#: Seconds to make a chain of a million logs on a machine that is busy with other things.
START_SECONDS = 300.0


class TooManyError(Exception):
    """More logs were asked for than are answered at once."""


@asynccontextmanager
async def running_node(
    log_count: int, *, sparse: bool = False, data_bytes: int = 0, most_logs: int = MOST_LOGS
) -> AsyncIterator[str]:
    """The URL of a node in a new process, with a chain of so many logs.

    Args:
        sparse: few logs in each block.
        data_bytes: not transfers, but logs with so many bytes of data.
        most_logs: in one answer.
    """
    command = [sys.executable, "-m", "bench", "node", "--logs", str(log_count), *["--sparse"] * sparse]
    command += ["--data-bytes", str(data_bytes), "--most-logs", str(most_logs)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise RuntimeError("the node ended before it was ready")
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def serve(chain: Chain, most_logs: int = MOST_LOGS) -> None:
    """Print the URL, and answer for the chain until cancelled."""
    application = web.Application(client_max_size=1 << 20)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            body=answered(chain, await request.read(), most_logs), content_type="application/json"
        )

    application.router.add_post("/", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        print(f"http://{host}:{port}/", flush=True)
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()


def answered(chain: Chain, body: bytes, most_logs: int = MOST_LOGS) -> bytes:
    """The body of the answer to a JSON-RPC request or batch."""
    request = json.loads(body)
    if isinstance(request, list):
        return b"[" + b",".join(_envelope(chain, each, most_logs) for each in request) + b"]"
    return _envelope(chain, request, most_logs)


def _envelope(chain: Chain, call: dict[str, object], most_logs: int) -> bytes:
    request_id = json.dumps(call["id"]).encode()
    try:
        result = _result(chain, str(call["method"]), call.get("params"), most_logs)
    except TooManyError:
        error = b'{"code":-32005,"message":"query returned more than %d results"}' % most_logs
        return b'{"jsonrpc":"2.0","id":%s,"error":%s}' % (request_id, error)
    if result is None:
        error = b'{"code":-32601,"message":"the method does not exist"}'
        return b'{"jsonrpc":"2.0","id":%s,"error":%s}' % (request_id, error)
    return b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (request_id, result)


def _result(chain: Chain, method: str, params: object, most_logs: int) -> bytes | None:
    first = params[0] if isinstance(params, list) and params else None
    match method:
        case "eth_chainId":
            return json.dumps(hex(CHAIN_ID)).encode()
        case "web3_clientVersion":
            return b'"bench"'
        case "eth_blockNumber":
            return json.dumps(hex(chain.last)).encode()
        case "eth_getBlockByNumber":
            number = _number(chain, str(first))
            return chain.headers[number] if number <= chain.last else b"null"
        case "eth_getLogs" if isinstance(first, dict):
            if TOKEN not in json.dumps(first.get("address", TOKEN)).lower():
                return b"[]"
            begin = _number(chain, str(first["fromBlock"]))
            end = min(_number(chain, str(first["toBlock"])), chain.last)
            if chain.count(begin, end) > most_logs:
                raise TooManyError
            return chain.range_logs(begin, end)
        case "eth_getBlockReceipts":
            return b"[]"
    return None


def _number(chain: Chain, block: str) -> int:
    if block.startswith("0x"):
        return int(block, 16)
    return 0 if block == "earliest" else chain.last
