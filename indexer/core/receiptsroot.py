"""The root hash of a block's receipts and the bloom filter over their logs, from the receipts alone.

Source: Ethereum Yellow Paper, section 4.3.1; EIP-658, EIP-2718, EIP-2930, EIP-1559, EIP-4844, EIP-7702;
OP Stack specification, "Deposits".
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from dataclasses import dataclass

from indexer.core.bloom import bits_of, bloom_of
from indexer.core.errors import Inconsistent
from indexer.core.rlp import rlp_list, rlp_number, rlp_string
from indexer.core.trie import list_root
from indexer.core.wire import LAST_BLOCK, WireReceipt, octets, quantity

#: Legacy, with access list, with dynamic fee, with blobs, with authorizations: receipts of one form.
_ETHEREUM_TYPES = range(5)
#: A deposit from the chain below, on chains of the OP Stack.
_DEPOSIT = 0x7E

_HASH_HEAD = bytes((0x80 + 32,))
_ADDRESS_HEAD = bytes((0x80 + 20,))
#: What the list of so many topics begins with; a log has at most four.
_TOPICS_HEADS = tuple(rlp_list(bytes(33 * count))[: -33 * count or None] for count in range(5))


class UnknownForm(Exception):
    """A receipt of a form that we do not know to encode; it is neither right nor wrong."""


@dataclass(frozen=True, slots=True)
class ReceiptsSummary:
    """What a block's header must say if these are its receipts."""

    root: bytes
    bloom: bytes
    #: The last receipt's cumulativeGasUsed; 0 without receipts.
    gas_used: int


def summarize(receipts: Sequence[WireReceipt]) -> ReceiptsSummary:
    """Root, bloom filter and gas of a block's receipts in their order.

    Bloom filters that the receipts bring are not used but computed from the logs.

    Raises:
        UnknownForm: a receipt is of an unknown type, or lacks what is hashed.
        Inconsistent: a field is not what the specification says it is.
    """
    encoded: list[bytes] = []
    all_bits = gas_used = 0
    for receipt in receipts:
        bits, logs = _encode_logs(receipt)
        all_bits |= bits
        gas_used = quantity(receipt.cumulative_gas_used, _of(receipt, "cumulativeGasUsed"), LAST_BLOCK)
        encoded.append(_encode(receipt, gas_used, bloom_of(bits), logs))
    return ReceiptsSummary(list_root(encoded), bloom_of(all_bits), gas_used)


def receipts_root(receipts: Sequence[WireReceipt]) -> bytes:
    """The root hash of a block's receipts in their order.

    Raises: as `summarize`.
    """
    return summarize(receipts).root


def receipts_bloom(receipts: Sequence[WireReceipt]) -> bytes:
    """The bloom filter over all logs of the receipts, of whatever form those are.

    Raises:
        Inconsistent: an address or topic is not what the specification says it is.
    """
    bits = 0
    for receipt in receipts:
        bits |= _encode_logs(receipt)[0]
    return bloom_of(bits)


def _encode(receipt: WireReceipt, gas_used: int, bloom: bytes, logs: bytes) -> bytes:
    kind = 0 if receipt.type is None else quantity(receipt.type, _of(receipt, "type"))
    if kind not in _ETHEREUM_TYPES and kind != _DEPOSIT:
        raise UnknownForm(f"receipt {receipt.transaction_index} is of the unknown type {kind:#x}")
    parts = [_outcome(receipt, kind), rlp_number(gas_used), rlp_string(bloom), logs]
    if kind == _DEPOSIT:
        parts.append(_deposit_fields(receipt))
    content = rlp_list(b"".join(parts))
    return content if kind == 0 else bytes((kind,)) + content


def _outcome(receipt: WireReceipt, kind: int) -> bytes:
    """The status; before Byzantium the state root, which only legacy receipts can have. Source: EIP-658."""
    root = receipt.root
    if kind == 0 and root is not None and len(root) == 66:
        return rlp_string(octets(root, _of(receipt, "root"), 32))
    if receipt.status is None:
        raise UnknownForm(f"receipt {receipt.transaction_index} has neither a status nor a state root")
    return rlp_number(quantity(receipt.status, _of(receipt, "status"), 1))


def _deposit_fields(receipt: WireReceipt) -> bytes:
    """Nonce and version, which are hashed only where there is a version, that is since Canyon."""
    nonce, version = receipt.deposit_nonce, receipt.deposit_receipt_version
    if version is None:
        return b""
    if nonce is None:
        raise UnknownForm(f"receipt {receipt.transaction_index} is of a deposit and lacks its nonce")
    return rlp_number(quantity(nonce, _of(receipt, "depositNonce"))) + rlp_number(
        quantity(version, _of(receipt, "depositReceiptVersion"))
    )


def _encode_logs(receipt: WireReceipt) -> tuple[int, bytes]:
    """The bits that the logs set in a bloom filter, and the list of the logs in RLP."""
    bits = 0
    encoded: list[bytes] = []
    for log in receipt.logs:
        try:
            address = _octets(log.address, 42)
            topics = [_octets(topic, 66) for topic in log.topics]
            data = _octets(log.data, len(log.data))
            topic_list = _HASH_HEAD.join((_TOPICS_HEADS[len(topics)], *topics))
        except (ValueError, IndexError) as error:
            raise Inconsistent(
                f"receipt {receipt.transaction_index}, log {log.log_index}: the address, a topic or the data "
                f"is not hexadecimal of the right length, or {len(log.topics)} topics are too many"
            ) from error
        bits |= bits_of((address, *topics))
        encoded.append(rlp_list(_ADDRESS_HEAD + address + topic_list + rlp_string(data)))
    return bits, rlp_list(b"".join(encoded))


def _octets(text: str, length: int) -> bytes:
    """What stands in text of this many characters.

    Raises:
        ValueError: it is not hexadecimal, or of another length.
    """
    if len(text) != length or text[:2] != "0x":
        raise ValueError(f"{len(text)} characters instead of {length}, or no 0x")
    return unhexlify(text[2:])


def _of(receipt: WireReceipt, field: str) -> str:
    return f"receipt {receipt.transaction_index}, {field}"
