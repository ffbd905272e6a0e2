"""Headers of canonical blocks, many in one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.core.errors import Inconsistent
from indexer.core.model import BlockId, Header
from indexer.core.wire import WireHeader, header_of
from indexer.rpc import calls
from indexer.rpc.concurrent import AT_ONCE, fetch_all
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.failures import Behind, Unrecognised, Unsupported


@dataclass(frozen=True, slots=True)
class ToldHeader:
    """A header with all that was said of it, and by whom."""

    endpoint: Endpoint
    wire: WireHeader
    header: Header


async def read_headers(endpoint: Endpoint, numbers: Sequence[int]) -> list[Header]:
    """The headers of these heights, in their order.

    Raises:
        Behind: the endpoint does not have all of them.
        Inconsistent: an answer is another block than was asked for.
    """

    told: dict[int, ToldHeader] = {}
    await tell_headers(endpoint, numbers, told)
    return [told[number].header for number in numbers]


async def tell_headers(endpoint: Endpoint, numbers: Sequence[int], told: dict[int, ToldHeader]) -> None:
    """Add the headers of these heights to those that were told already, which are not asked again.

    Raises: as `read_headers`; what was told until then was added.
    """

    async def read(some: Sequence[int]) -> None:
        wires = await endpoint.ask_all([calls.header_at(number) for number in some])
        for number, wire in zip(some, wires, strict=True):
            told[number] = ToldHeader(endpoint, wire, numbered(endpoint, wire, number))

    size = endpoint.batch_calls()
    missing = [number for number in numbers if number not in told]
    chunks = [missing[at : at + size] for at in range(0, len(missing), size)]
    await fetch_all(read, chunks, AT_ONCE)


def require_holds(endpoint: Endpoint, final: BlockId, found: WireHeader | None) -> None:
    """Return if what the endpoint has at the height of a block that is final is that block.

    Raises:
        Behind: it has none there.
        Inconsistent: it is on another branch, or the chain broke its finality.
    """
    header = numbered(endpoint, found, final.number)
    if header.id != final:
        raise Inconsistent(f"{endpoint.name}: block {header.id} in the place of our {final}, which was final")


async def read_latest(endpoint: Endpoint) -> Header:
    """The endpoint's newest block, which it is remembered for.

    Raises:
        Behind: it has none.
    """
    wire = await endpoint.ask(calls.header_at("latest"))
    if wire is None:
        raise Behind(f"{endpoint.name}: no latest block")
    header = header_of(wire)
    endpoint.saw_head(header.number)
    return header


async def read_finalized(endpoint: Endpoint) -> Header:
    """The newest finalized block.

    Raises:
        Unsupported: the endpoint does not know the tag; this is remembered for a while. One that has answered
            before is not believed to have forgotten it: then its error is raised.
        Behind: it knows it, and has no such block yet.
        Inconsistent: it is above the endpoint's own newest block.
    """
    if endpoint.is_without_finalized_tag:
        raise Unsupported(f"{endpoint.name}: the tag 'finalized' is not known")
    try:
        wire = await endpoint.ask(calls.header_at("finalized"))
    except (Unrecognised, Unsupported) as error:
        if endpoint.knows_finalized_tag:
            raise
        endpoint.lacks_finalized_tag()
        raise Unsupported(f"{endpoint.name}: the tag 'finalized' is not known") from error
    if wire is None:
        raise Behind(f"{endpoint.name}: no finalized block")
    endpoint.knows_finalized_tag = True
    header = header_of(wire)
    if endpoint.health.head is None or header.number > endpoint.health.head:
        # The chain may just have grown; it is asked only where that would explain it.
        latest = await read_latest(endpoint)
        if header.number > latest.number:
            raise Inconsistent(
                f"{endpoint.name}: block {header.number} is said to be final, above the newest, {latest.number}"
            )
    return header


def numbered(endpoint: Endpoint, wire: WireHeader | None, number: int) -> Header:
    """The header that was asked for by height.

    Raises:
        Behind: there is none.
        Inconsistent: it has another height.
    """
    if wire is None:
        raise Behind(f"{endpoint.name}: block {number} is not there yet")
    header = header_of(wire)
    if header.number != number:
        raise Inconsistent(f"{endpoint.name}: asked for block {number}, got block {header.number}")
    return header
