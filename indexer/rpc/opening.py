"""Opens endpoints, and the node that they make together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from indexer.core.redaction import Redactor
from indexer.rpc.address import EndpointAddress
from indexer.rpc.blocks import Checks
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.node import Node
from indexer.rpc.observer import RpcObserver, SilentObserver
from indexer.rpc.pool import Pool
from indexer.rpc.transport import HttpTransport, Timing, Transport
from indexer.rpc.websocket import WebSocketTransport


@asynccontextmanager
async def open_node(
    addresses: Sequence[EndpointAddress],
    *,
    chain_id: int | None = None,
    genesis_hash: bytes | None = None,
    timing: Timing | None = None,
    observer: RpcObserver | None = None,
    redact: Callable[[str], str] | None = None,
    prove: bool = False,
    logs_bloom: bool = True,
) -> AsyncIterator[Node]:
    """A node of these endpoints, the most preferred first; nothing is asked yet.

    Args:
        chain_id: what every endpoint must say, if known; else the first one to answer decides.
        genesis_hash: likewise, the hash of block 0.
        redact: what a node's messages go through before they are shown, default: hides the
            endpoints' URLs and their parts.
        prove: whether header and receipts of a block that is read are proved by its hash.
        logs_bloom: whether the chain's blocks have bloom filters over their logs, so that a block that lacks
            logs which its filter allows is asked for again.
    """
    timing = timing or Timing()
    observer = observer or SilentObserver()
    redact = redact or Redactor(address.url for address in addresses)
    pool = Pool(
        [open_endpoint(address, timing, observer, redact) for address in addresses],
        chain_id=chain_id,
        genesis_hash=genesis_hash,
        retry_total_seconds=timing.retry_total_seconds,
        observer=observer,
    )
    try:
        yield Node(pool, timing, observer, Checks(prove=prove, bloom=logs_bloom))
    finally:
        await pool.close()


def open_endpoint(
    address: EndpointAddress, timing: Timing, observer: RpcObserver, redact: Callable[[str], str]
) -> Endpoint:
    """One endpoint; to be closed. Nothing is asked yet."""
    transport: Transport
    if address.is_websocket:
        transport = WebSocketTransport(address.name, address.url, timing)
    else:
        transport = HttpTransport(address.name, address.url, timing, gzip=address.gzip)
    return Endpoint(address, transport, observer, redact)
