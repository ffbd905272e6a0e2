"""The receipts of a block: do they belong to its transactions, and what came of those that are watched."""

from __future__ import annotations

from collections.abc import Sequence

from indexer.core.errors import Inconsistent
from indexer.core.model import Header, Transaction
from indexer.core.wire import LAST_BLOCK, LAST_INDEX, WireLog, WireReceipt, WireTransaction, octets, quantity

_STATUS = {0: False, 1: True}


def check_receipts(
    header: Header, transactions: Sequence[WireTransaction], receipts: Sequence[WireReceipt]
) -> None:
    """Each transaction has its receipt, in order, and the receipts' logs are numbered from 0 without a gap.

    Source: Ethereum Yellow Paper, section 4.3.1 (receipts); execution-apis, `eth_getBlockReceipts`.

    Raises:
        Inconsistent: a receipt is missing, of another block, in the wrong place, or a log is.
    """
    at = f"block {header.id}"
    if len(receipts) != len(transactions):
        raise Inconsistent(f"{at} has {len(transactions)} transactions but {len(receipts)} receipts")
    gas_before = next_log = 0
    for position, (transaction, receipt) in enumerate(zip(transactions, receipts, strict=True)):
        where = f"{at}, transaction {position}"
        for index, what in (
            (transaction.transaction_index, "transactionIndex"),
            (receipt.transaction_index, "the receipt's transactionIndex"),
        ):
            if quantity(index, f"{where}, {what}") != position:
                raise Inconsistent(f"{where}: {what} is {int(index, 16)}")
        if transaction.hash.lower() != receipt.transaction_hash.lower():
            raise Inconsistent(f"{where}: its hash and its receipt's differ")
        _check_block(header, receipt.block_number, receipt.block_hash, f"{where}, the receipt")
        gas = quantity(receipt.cumulative_gas_used, f"{where}, cumulativeGasUsed")
        if gas < gas_before:
            raise Inconsistent(f"{where}: cumulativeGasUsed sinks from {gas_before} to {gas}")
        gas_before = gas
        for log in receipt.logs:
            _check_log(header, receipt, log, next_log, where)
            next_log += 1


def watched_transactions(
    header: Header,
    transactions: Sequence[WireTransaction],
    receipts: Sequence[WireReceipt],
    watched: frozenset[bytes],
) -> tuple[Transaction, ...]:
    """The transactions to a watched address, creating one, or with a log of one, in order.

    Takes transactions and receipts that `check_receipts` let pass.

    Raises:
        Inconsistent: a field is not what the specification says it is.
    """
    watched_texts = frozenset("0x" + address.hex() for address in watched)
    found: list[Transaction] = []
    for transaction, receipt in zip(transactions, receipts, strict=True):
        touched = {log.address.lower() for log in receipt.logs}
        touched.update(
            each.lower() for each in (transaction.to, receipt.contract_address) if each is not None
        )
        if not watched_texts.isdisjoint(touched):
            found.append(_transaction(header, transaction, receipt))
    return tuple(found)


def _check_block(header: Header, number: str, block_hash: str, where: str) -> None:
    if quantity(number, f"{where}, blockNumber") != header.number:
        raise Inconsistent(f"{where} is of block {int(number, 16)}")
    if octets(block_hash, f"{where}, blockHash", 32) != header.hash:
        raise Inconsistent(f"{where} is of another block at this height: {block_hash.lower()[:14]}…")


def _check_log(header: Header, receipt: WireReceipt, log: WireLog, expected: int, where: str) -> None:
    index = quantity(log.log_index, f"{where}, logIndex", LAST_INDEX)
    if index != expected:
        raise Inconsistent(f"{where}: log {index} where log {expected} of the block should be")
    _check_block(header, log.block_number, log.block_hash, f"{where}, log {index}")
    if log.transaction_hash.lower() != receipt.transaction_hash.lower():
        raise Inconsistent(f"{where}: log {index} is of another transaction")
    if log.removed:
        raise Inconsistent(f"{where}: log {index} is marked as removed by a reorg")


def _transaction(header: Header, wire: WireTransaction, receipt: WireReceipt) -> Transaction:
    where = f"block {header.id}, transaction {wire.transaction_index}"
    call = octets(wire.input, f"{where}, input")
    created = receipt.contract_address
    return Transaction(
        block_number=header.number,
        block_time=header.timestamp,
        index=quantity(wire.transaction_index, f"{where}, transactionIndex", LAST_INDEX),
        hash=octets(wire.hash, f"{where}, hash", 32),
        sender=octets(wire.sender, f"{where}, from", 20),
        recipient=None if wire.to is None else octets(wire.to, f"{where}, to", 20),
        created=None if created is None else octets(created, f"{where}, contractAddress", 20),
        selector=call[:4] if len(call) >= 4 else None,
        success=_succeeded(receipt, where),
        gas_limit=quantity(wire.gas, f"{where}, gas"),
        gas_used=quantity(receipt.gas_used, f"{where}, gasUsed", LAST_BLOCK),
        effective_gas_price_wei=_price_wei(wire, receipt, where),
        value_wei=quantity(wire.value, f"{where}, value"),
        emitters=frozenset(octets(log.address, f"{where}, a log's address", 20) for log in receipt.logs),
    )


def _succeeded(receipt: WireReceipt, where: str) -> bool:
    """Whether the transaction succeeded.

    Receipts from before Byzantium hold a state root and do not tell; those count as succeeded.

    Source: EIP-658.
    """
    if receipt.status is None:
        if receipt.root is None:
            raise Inconsistent(f"{where}: the receipt has neither a status nor a state root")
        return True
    status = quantity(receipt.status, f"{where}, status")
    if status not in _STATUS:
        raise Inconsistent(f"{where}: status is {status}, neither 0 nor 1")
    return _STATUS[status]


def _price_wei(wire: WireTransaction, receipt: WireReceipt, where: str) -> int:
    """What a unit of gas cost; before EIP-1559 that was the price offered."""
    price = receipt.effective_gas_price or wire.gas_price
    if price is None:
        raise Inconsistent(f"{where}: neither effectiveGasPrice nor gasPrice is there")
    return quantity(price, f"{where}, effectiveGasPrice")
