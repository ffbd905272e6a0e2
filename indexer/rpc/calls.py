"""The JSON-RPC calls that we make, and the type of what each gives.

Source: the Ethereum execution API specification ("execution-apis").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from msgspec import Raw
from msgspec.json import Decoder

from indexer.core.answeredlogs import LogsDecoder
from indexer.core.model import Span
from indexer.core.source import LogFilter
from indexer.core.wire import WireBlock, WireHeader, WireLog, WireReceipt

Result = TypeVar("Result")
Decoded_co = TypeVar("Decoded_co", covariant=True)

# Built at import, complete before any thread can see them.
_TEXT = Decoder(str)
_HEADER = Decoder(WireHeader | None)
_NAMES = Decoder(dict[str, Raw] | None)
_BLOCK = Decoder(WireBlock | None)
_LOGS = LogsDecoder()
_RECEIPTS = Decoder(list[WireReceipt] | None)
_RECEIPT = Decoder(WireReceipt | None)


#: The largest answer to a question that can be asked for fewer blocks: several are in memory at a time.
MOST_RANGE_BYTES = 16 * 1024 * 1024


class Reader(Protocol[Decoded_co]):
    """Makes a value of a result's JSON."""

    def decode(self, result: Raw, /) -> Decoded_co:
        """The value. Raises: msgspec.DecodeError, UnicodeDecodeError, RecursionError."""
        ...


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One JSON-RPC call."""

    method: str
    params: tuple[object, ...]
    decoder: Reader[Result]
    #: Whether less can be asked for when the endpoint finds it too much.
    narrowable: bool = False
    #: An answer with more bytes counts as too much; None: as many as any answer may have.
    most_bytes: int | None = None


def chain_id() -> Call[str]:
    """The chain's id as a hexadecimal quantity. Source: EIP-695."""
    return Call("eth_chainId", (), _TEXT)


def client_version() -> Call[str]:
    """Name and version of the node's software."""
    return Call("web3_clientVersion", (), _TEXT)


def header_at(block: int | str) -> Call[WireHeader | None]:
    """The canonical block of a height, or of a tag such as `latest` or `finalized`."""
    return Call("eth_getBlockByNumber", (_block(block), False), _HEADER)


def header_of_hash(block_hash: bytes) -> Call[WireHeader | None]:
    """The block of a hash, canonical or not."""
    return Call("eth_getBlockByHash", (_hex(block_hash), False), _HEADER)


def names_of_hash(block_hash: bytes) -> Call[dict[str, Raw] | None]:
    """The block of a hash with its fields by name, those included that we know nothing of."""
    return Call("eth_getBlockByHash", (_hex(block_hash), False), _NAMES)


def block_at(number: int) -> Call[WireBlock | None]:
    """The canonical block of a height with its transactions in full."""
    return Call("eth_getBlockByNumber", (hex(number), True), _BLOCK, narrowable=True)


def block_of_hash(block_hash: bytes) -> Call[WireBlock | None]:
    """The block of a hash with its transactions in full."""
    return Call("eth_getBlockByHash", (_hex(block_hash), True), _BLOCK)


def logs_in(span: Span, wanted: LogFilter) -> Call[Sequence[WireLog]]:
    """The logs of a range of canonical blocks."""
    most_bytes = MOST_RANGE_BYTES if len(span) > 1 else None
    return _logs({"fromBlock": hex(span.first), "toBlock": hex(span.last)}, wanted, most_bytes)


def logs_of(block_hash: bytes, wanted: LogFilter) -> Call[Sequence[WireLog]]:
    """The logs of one block. Source: EIP-234."""
    return _logs({"blockHash": _hex(block_hash)}, wanted)


def receipts_at(number: int) -> Call[list[WireReceipt] | None]:
    """All receipts of the canonical block of a height."""
    return Call("eth_getBlockReceipts", (hex(number),), _RECEIPTS, narrowable=True)


def receipts_of(block_hash: bytes) -> Call[list[WireReceipt] | None]:
    """All receipts of the block of a hash."""
    return Call("eth_getBlockReceipts", (_hex(block_hash),), _RECEIPTS)


def receipt_of(transaction_hash: str) -> Call[WireReceipt | None]:
    """The receipt of one transaction, given as the node wrote its hash."""
    return Call("eth_getTransactionReceipt", (transaction_hash,), _RECEIPT)


def split_filter(wanted: LogFilter, most: int | None) -> list[LogFilter]:
    """Filters with at most so many addresses and topics each, that together let through the same logs.

    A filter without addresses would ask for every log of the chain, hence for it there is none.
    """
    if not wanted.addresses or wanted.topic0s == ():
        return []
    if most is None:
        return [wanted]
    topics: Sequence[tuple[bytes, ...] | None] = (
        [None] if wanted.topic0s is None else _chunks(wanted.topic0s, most)
    )
    return [LogFilter(some, few) for some in _chunks(wanted.addresses, most) for few in topics]


def _chunks(items: tuple[bytes, ...], most: int) -> list[tuple[bytes, ...]]:
    return [items[at : at + most] for at in range(0, len(items), most)]


def _logs(
    blocks: dict[str, object], wanted: LogFilter, most_bytes: int | None = None
) -> Call[Sequence[WireLog]]:
    if not wanted.addresses:
        raise ValueError("a filter without addresses would ask for every log of the chain")
    blocks["address"] = [_hex(address) for address in wanted.addresses]
    if wanted.topic0s is not None:
        blocks["topics"] = [[_hex(topic) for topic in wanted.topic0s]]
    return Call("eth_getLogs", (blocks,), _LOGS, narrowable=True, most_bytes=most_bytes)


def _block(block: int | str) -> str:
    return hex(block) if isinstance(block, int) else block


def _hex(octets: bytes) -> str:
    return "0x" + octets.hex()
