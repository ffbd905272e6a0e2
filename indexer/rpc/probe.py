"""What an endpoint can do, found out with few requests, for a person to read before a deployment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from indexer.core.errors import Inconsistent, IndexerError, TooMuch
from indexer.core.finding import Finding
from indexer.core.model import Header, Span
from indexer.core.redaction import Redactor
from indexer.core.source import LogFilter
from indexer.core.wire import WireLog, quantity
from indexer.rpc import calls
from indexer.rpc.address import EndpointAddress
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import Behind, Failure, Unrecognised, Unsupported
from indexer.rpc.headers import read_finalized, read_latest
from indexer.rpc.observer import SilentObserver
from indexer.rpc.opening import open_endpoint
from indexer.rpc.proofprobe import PROVED_BLOCKS, Configured, probe_proof
from indexer.rpc.ranges import is_round_cap
from indexer.rpc.transport import Timing
from indexer.rpc.websocket import subscribe_heads

#: The ranges that are tried, ascending, until the endpoint refuses one.
PROBED_BLOCKS = (10, 100, 1_000, 10_000)
#: Asked for where nothing is configured yet: an address without a contract, so that no log comes back.
_NOBODY = LogFilter((bytes(19) + b"\x01",), None)


async def probe(
    address: EndpointAddress,
    *,
    chain_id: int | None,
    wanted: LogFilter | None,
    timing: Timing | None = None,
    redact: Callable[[str], str] | None = None,
    proof: Configured | None = None,
) -> list[Finding]:
    """What was found at one endpoint; never raises for what the endpoint does.

    Args:
        chain_id: what it should be, if that is configured.
        wanted: the filter of the configured contracts, so that limits are those of the real question.
        proof: which levels of proof are configured.
    """
    timing = timing or Timing()
    endpoint = open_endpoint(address, timing, SilentObserver(), redact or Redactor([address.url]))
    try:
        return await _findings(endpoint, chain_id, wanted or _NOBODY, timing, proof or Configured())
    finally:
        await endpoint.close()


async def _findings(
    endpoint: Endpoint, chain_id: int | None, wanted: LogFilter, timing: Timing, proof: Configured
) -> list[Finding]:
    try:
        found = quantity(await endpoint.ask(calls.chain_id()), "chain id")
        head = await read_latest(endpoint)
    except (Failure, TooMuch, Inconsistent) as error:
        remedy = "check that the node runs, and its URL, key and network"
        return [Finding(f"{endpoint.name}: connection", False, str(error), remedy)]
    return [
        _chain(endpoint, found, chain_id),
        await _version(endpoint),
        await _finalized(endpoint, head),
        await _receipts(endpoint, head),
        *await probe_proof(endpoint, await _final_block(endpoint, head), proof),
        *await _logs(endpoint, head, wanted),
        *await _websocket(endpoint, timing),
    ]


def _chain(endpoint: Endpoint, found: int, expected: int | None) -> Finding:
    subject = f"{endpoint.name}: chain id"
    if expected is None or found == expected:
        return Finding(subject, True, str(found))
    return Finding(subject, False, f"{found} instead of {expected}", "correct chain.id or the node's URL")


async def _version(endpoint: Endpoint) -> Finding:
    subject = f"{endpoint.name}: software"
    try:
        return Finding(subject, None, (await endpoint.ask(calls.client_version()))[:100])
    except (Failure, TooMuch) as error:
        return Finding(subject, None, f"not told: {error}")


async def _finalized(endpoint: Endpoint, head: Header) -> Finding:
    subject = f"{endpoint.name}: finalized tag"
    try:
        finalized = await read_finalized(endpoint)
    except (Unsupported, Unrecognised, Behind):
        remark = "not there: blocks count as final after chain.confirmations"
        return Finding(subject, None, remark, "make sure that chain.confirmations suits the chain")
    except (Failure, TooMuch, Inconsistent) as error:
        return Finding(subject, False, str(error), "try again; if it stays, ask the provider")
    return Finding(
        subject, True, f"block {finalized.number}, {head.number - finalized.number} below the head"
    )


async def _final_block(endpoint: Endpoint, head: Header) -> Header:
    """The finalized block; without the tag, or on a chain that has just begun, the newest one."""
    try:
        finalized = await read_finalized(endpoint)
    except (Failure, TooMuch, Inconsistent):
        return head
    return finalized if finalized.number >= PROVED_BLOCKS else head


async def _receipts(endpoint: Endpoint, head: Header) -> Finding:
    subject = f"{endpoint.name}: block receipts"
    try:
        receipts = await endpoint.ask(calls.receipts_of(head.hash))
    except Unsupported:
        remark = "no eth_getBlockReceipts: receipts are read one by one"
        return Finding(subject, None, remark, "a node with eth_getBlockReceipts is much quicker here")
    except (Failure, TooMuch) as error:
        return Finding(subject, False, str(error), "receipts are needed for transactions: ask the provider")
    count = "not there yet" if receipts is None else f"{len(receipts)} in block {head.number}"
    return Finding(subject, True, count)


async def _logs(endpoint: Endpoint, head: Header, wanted: LogFilter) -> list[Finding]:
    """The largest range that is answered, and whether logs carry their block's time."""
    subject = f"{endpoint.name}: eth_getLogs"
    seen: Sequence[WireLog] = []
    largest = 0
    for blocks in PROBED_BLOCKS:
        span = Span(max(0, head.number - blocks + 1), head.number)
        try:
            logs = await endpoint.ask(calls.logs_in(span, wanted))
        except TooMuch as error:
            said = f"; it says: {error.blocks} blocks" if error.blocks else ""
            ok = largest > 0 and not error.addresses
            remedy = "" if ok else "ranges this small make the backfill slow: consider another provider"
            findings = [Finding(subject, ok, f"up to {largest} blocks at least{said}", remedy)]
            return findings + _timestamps(endpoint, seen)
        except Failure as error:
            return [Finding(subject, False, str(error), "logs cannot be read: ask the provider")]
        seen, largest = logs, len(span)
        if is_round_cap(len(logs)):
            remark = f"exactly {len(logs)} logs in {largest} blocks: longer ranges are cut off"
            return [Finding(subject, True, remark), *_timestamps(endpoint, seen)]
        if span.first == 0:
            break
    return [Finding(subject, True, f"{largest} blocks are answered"), *_timestamps(endpoint, seen)]


def _timestamps(endpoint: Endpoint, logs: Sequence[WireLog]) -> list[Finding]:
    subject = f"{endpoint.name}: block times in logs"
    if not logs:
        return [Finding(subject, None, "not known: no log of the contracts in the newest blocks")]
    if all(log.block_timestamp is not None for log in logs):
        return [Finding(subject, True, "yes")]
    return [Finding(subject, None, "no: the headers of blocks with logs are read as well")]


async def _websocket(endpoint: Endpoint, timing: Timing) -> list[Finding]:
    if not endpoint.address.is_websocket:
        return []
    subject = f"{endpoint.name}: new heads"
    try:
        async with subscribe_heads(endpoint.name, endpoint.address.url, timing):
            return [Finding(subject, True, "announced over WebSocket")]
    except IndexerError as error:
        return [Finding(subject, None, f"not announced, polling serves: {error}")]
