"""JSON-RPC answers as a node writes them, and their translation into our values.

Fields that we do not know are ignored; those that we know must have the right JSON type. Numbers and
bytes stay hexadecimal text here: whoever needs the value converts it, once.

Source: the Ethereum execution API specification ("execution-apis"), method schemas.
"""

from __future__ import annotations

import re
from binascii import unhexlify

from msgspec import Struct, field

from indexer.core.errors import Inconsistent
from indexer.core.model import Header

#: The last second of the year 9999, beyond which neither Python nor a reader of the rows has a date.
LAST_TIME = 253_402_300_799

#: Block numbers are stored as int8.
LAST_BLOCK = 2**63 - 1

#: Indexes within a block are stored as int4.
LAST_INDEX = 2**31 - 1

_QUANTITY = re.compile("0x[0-9a-fA-F]{1,66}")
_SHOWN = 80  # characters of a wrong value in a message


class WireLog(Struct, rename="camel", gc=False):
    """A log, from `eth_getLogs` or a receipt."""

    address: str
    topics: list[str]
    data: str
    block_number: str
    block_hash: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    removed: bool = False
    #: Not every node sends it.
    block_timestamp: str | None = None


class WireHeader(Struct, rename="camel", gc=False, kw_only=True):
    """A block without its transactions."""

    number: str
    hash: str
    parent_hash: str
    timestamp: str
    gas_used: str
    gas_limit: str
    logs_bloom: str
    receipts_root: str
    #: Absent before London. Source: EIP-1559.
    base_fee_per_gas: str | None = None
    # What follows is only hashed, and chains that hash otherwise may lack it. See `indexer.core.headerhash`.
    sha3_uncles: str | None = None
    miner: str | None = None
    state_root: str | None = None
    transactions_root: str | None = None
    difficulty: str | None = None
    extra_data: str | None = None
    mix_hash: str | None = None
    nonce: str | None = None
    #: Absent before Shanghai. Source: EIP-4895.
    withdrawals_root: str | None = None
    #: Absent before Cancun, as are the next two. Source: EIP-4844.
    blob_gas_used: str | None = None
    excess_blob_gas: str | None = None
    #: Source: EIP-4788.
    parent_beacon_block_root: str | None = None
    #: Absent before Prague. Source: EIP-7685.
    requests_hash: str | None = None
    #: Absent before Amsterdam, as is the next one. Source: EIP-7928.
    block_access_list_hash: str | None = None
    #: Source: EIP-7843.
    slot_number: str | None = None


class WireTransaction(Struct, rename="camel", gc=False, kw_only=True):
    """A transaction inside a block that was asked for with full transactions."""

    hash: str
    sender: str = field(name="from")
    #: None for a contract creation.
    to: str | None = None
    transaction_index: str
    input: str
    gas: str
    value: str
    #: The offered price; since London mostly the price paid.
    gas_price: str | None = None


class WireBlock(WireHeader, rename="camel", gc=False, kw_only=True):
    """A block with its transactions in full."""

    transactions: list[WireTransaction]


class WireReceipt(Struct, rename="camel", gc=False, kw_only=True):
    """A transaction's receipt."""

    transaction_hash: str
    transaction_index: str
    block_hash: str
    block_number: str
    gas_used: str
    cumulative_gas_used: str
    logs: list[WireLog]
    logs_bloom: str | None = None
    contract_address: str | None = None
    #: Absent on some nodes for transactions from before London.
    effective_gas_price: str | None = None
    #: Absent before Byzantium. Source: EIP-658.
    status: str | None = None
    #: The state root in place of the status, before Byzantium.
    root: str | None = None
    #: The transaction's type; absent means a legacy one. Source: EIP-2718.
    type: str | None = None
    #: Of deposits from the chain below, since Regolith. Source: OP Stack specification, "Deposits".
    deposit_nonce: str | None = None
    #: Of the same, since Canyon.
    deposit_receipt_version: str | None = None


def quantity(text: str, what: str, largest: int = 2**256 - 1) -> int:
    """The number that a hexadecimal quantity stands for; leading zeros are tolerated.

    Raises:
        Inconsistent: it is not a quantity, or larger than the largest one allowed.
    """
    if not _QUANTITY.fullmatch(text):
        raise Inconsistent(f"{what}: not a hexadecimal quantity: {text[:_SHOWN]!r}")
    value = int(text, 16)
    if value > largest:
        raise Inconsistent(f"{what}: {value} is more than {largest}")
    return value


def octets(text: str, what: str, length: int | None = None) -> bytes:
    """The bytes behind `0x…` text, in any case of the letters.

    Raises:
        Inconsistent: it is not hexadecimal, or not of the given length in bytes.
    """
    if not text.startswith("0x"):
        raise Inconsistent(f"{what}: does not begin with 0x: {text[:_SHOWN]!r}")
    try:
        value = unhexlify(text[2:])
    except ValueError as error:
        raise Inconsistent(f"{what}: not hexadecimal: {text[:_SHOWN]!r}") from error
    if length is not None and len(value) != length:
        raise Inconsistent(f"{what}: {len(value)} bytes instead of {length}")
    return value


def header_of(wire: WireHeader) -> Header:
    """The header that we keep.

    Raises:
        Inconsistent: a field is not what the specification says it is.
    """
    number = quantity(wire.number, "block number", LAST_BLOCK)
    at = f"block {number}, "
    fee = wire.base_fee_per_gas
    return Header(
        number=number,
        hash=octets(wire.hash, at + "hash", 32),
        parent_hash=octets(wire.parent_hash, at + "parentHash", 32),
        timestamp=quantity(wire.timestamp, at + "timestamp", LAST_TIME),
        base_fee_wei=None if fee is None else quantity(fee, at + "baseFeePerGas"),
        gas_used=quantity(wire.gas_used, at + "gasUsed", LAST_BLOCK),
        gas_limit=quantity(wire.gas_limit, at + "gasLimit"),
        logs_bloom=octets(wire.logs_bloom, at + "logsBloom", 256),
        receipts_root=octets(wire.receipts_root, at + "receiptsRoot", 32),
    )
