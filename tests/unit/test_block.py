"""A block is accepted when its header, transactions, receipts and logs tell the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from indexer.core.block import Block, check_block, check_block_logs, check_block_transactions
from indexer.core.errors import Inconsistent
from indexer.core.model import BlockId
from indexer.core.source import LogFilter
from indexer.core.wire import WireBlock, WireLog, WireReceipt
from tests.fixtures.wirelogs import (
    TOKEN,
    block_hash,
    digest,
    hex_of,
    time_of,
    transaction_hash,
    wire_block,
    wire_log,
    wire_receipt,
    wire_transaction,
)

NUMBER = 5
STRANGER = bytes.fromhex("99" * 20)
CREATED = bytes.fromhex("cc" * 20)
TRANSFER = digest("Transfer")
FILTER = LogFilter((TOKEN,), (TRANSFER,))


def a_log(index: int, transaction: int, address: bytes = TOKEN, topic: bytes = TRANSFER) -> WireLog:
    return wire_log(
        NUMBER, index, transaction=transaction, address=address, topics=[topic], data=bytes([index])
    )


@dataclass
class Answers:
    """What an honest node says of a block with four transactions."""

    wire: WireBlock = field(
        default_factory=lambda: wire_block(
            NUMBER,
            [
                wire_transaction(NUMBER, 0),
                wire_transaction(NUMBER, 1, to=STRANGER),
                wire_transaction(NUMBER, 2, to=None),
                wire_transaction(NUMBER, 3, to=STRANGER),
            ],
        )
    )
    receipts: list[WireReceipt] = field(
        default_factory=lambda: [
            wire_receipt(NUMBER, 0, [a_log(0, 0), a_log(1, 0, topic=digest("Other"))]),
            wire_receipt(NUMBER, 1, [a_log(2, 1, STRANGER), a_log(3, 1)]),
            wire_receipt(NUMBER, 2),
            wire_receipt(NUMBER, 3, [a_log(4, 3, STRANGER)]),
        ]
    )
    logs: list[WireLog] = field(default_factory=lambda: [a_log(0, 0), a_log(3, 1)])

    def check(self, watched: frozenset[bytes] = frozenset({TOKEN})) -> Block:
        expected = BlockId(NUMBER, block_hash(NUMBER))
        return check_block(expected, self.wire, self.logs, self.receipts, FILTER, watched)


def test_an_honest_block_holds_its_logs_and_its_watched_transactions() -> None:
    block = Answers().check()
    assert block.header.id == BlockId(NUMBER, block_hash(NUMBER))
    assert [log.log_index for log in block.logs.logs] == ["0x0", "0x3"]
    assert block.logs.times == {NUMBER: time_of(NUMBER)}
    assert [transaction.index for transaction in block.transactions] == [0, 1]
    first, second = block.transactions
    assert first.hash == transaction_hash(NUMBER, 0)
    assert (first.recipient, first.selector, first.success) == (TOKEN, bytes.fromhex("a9059cbb"), True)
    assert (first.effective_gas_price_wei, first.gas_used, first.gas_limit) == (5, 30_000, 100_000)
    assert second.emitters == {STRANGER, TOKEN}


def test_the_creation_of_a_watched_contract_is_watched() -> None:
    answers = Answers()
    answers.receipts[2].contract_address = hex_of(CREATED)
    (transaction,) = answers.check(frozenset({CREATED})).transactions
    assert (transaction.index, transaction.recipient, transaction.created) == (2, None, CREATED)


def test_capital_letters_make_no_difference() -> None:
    answers = Answers()
    answers.logs[0].address = "0x" + answers.logs[0].address[2:].upper()
    for transaction in answers.wire.transactions:
        transaction.hash = "0x" + transaction.hash[2:].upper()
        transaction.to = None if transaction.to is None else "0x" + transaction.to[2:].upper()
    assert len(answers.check().transactions) == 2


@pytest.mark.parametrize(("gas_used", "failure"), [(hex(100_000), "out_of_gas"), (hex(30_000), "reverted")])
def test_a_failed_transaction_tells_why(gas_used: str, failure: str) -> None:
    answers = Answers()
    answers.receipts[0].status = "0x0"
    answers.receipts[0].gas_used = gas_used
    transaction = answers.check().transactions[0]
    assert (transaction.success, transaction.failure) == (False, failure)


def test_before_byzantium_a_transaction_counts_as_succeeded() -> None:
    answers = Answers()
    answers.receipts[0].status, answers.receipts[0].root = None, hex_of(digest("state"))
    assert answers.check().transactions[0].success


def test_without_an_effective_price_the_offered_one_counts() -> None:
    answers = Answers()
    answers.receipts[0].effective_gas_price = None
    assert answers.check().transactions[0].effective_gas_price_wei == 7


def test_a_short_input_has_no_selector() -> None:
    answers = Answers()
    answers.wire.transactions[0].input = "0xa9059c"
    assert answers.check().transactions[0].selector is None


def receipt(position: int, **fields: Any) -> Callable[[Answers], None]:
    def apply(answers: Answers) -> None:
        for name, value in fields.items():
            setattr(answers.receipts[position], name, value)

    return apply


def move_logs_to_a_fork(answers: Answers) -> None:
    for log in answers.logs:
        log.block_hash = hex_of(digest("fork"))


def log_in_receipt(position: int, at: int, **fields: Any) -> Callable[[Answers], None]:
    def apply(answers: Answers) -> None:
        for name, value in fields.items():
            setattr(answers.receipts[position].logs[at], name, value)

    return apply


TAMPERINGS: dict[str, tuple[Callable[[Answers], object], str]] = {
    "another block": (lambda a: setattr(a.wire, "hash", hex_of(digest("fork"))), "asked for block 5"),
    "another height": (lambda a: setattr(a.wire, "number", "0x6"), "the answer is block 6"),
    "a receipt too few": (lambda a: a.receipts.pop(), "4 transactions but 3 receipts"),
    "receipts in another order": (lambda a: a.receipts.reverse(), "transactionIndex is 3"),
    "a receipt of another transaction": (
        receipt(0, transaction_hash=hex_of(digest())),
        "its hash and its receipt's differ",
    ),
    "a receipt of another fork": (
        receipt(0, block_hash=hex_of(digest("fork"))),
        "another block at this height",
    ),
    "a receipt of another height": (receipt(0, block_number="0x6"), "is of block 6"),
    "sinking gas": (receipt(1, cumulative_gas_used="0x1"), "cumulativeGasUsed sinks from 30000 to 1"),
    "a log missing in a receipt": (lambda a: a.receipts[0].logs.pop(), "log 2 where log 1"),
    "a first log missing": (lambda a: a.receipts[0].logs.pop(0), "log 1 where log 0"),
    "a log of another transaction": (
        log_in_receipt(1, 0, transaction_hash=hex_of(digest())),
        "log 2 is of another transaction",
    ),
    "a receipt's log of another fork": (
        log_in_receipt(3, 0, block_hash=hex_of(digest("fork"))),
        "another block at this height",
    ),
    "a removed log in a receipt": (log_in_receipt(3, 0, removed=True), "removed by a reorg"),
    "a log that eth_getLogs lost": (lambda a: a.logs.pop(), "1 logs by eth_getLogs, 2 in the receipts"),
    "a log that eth_getLogs invented": (lambda a: a.logs.append(a_log(4, 3)), "3 logs by eth_getLogs, 2 in"),
    "other data": (lambda a: setattr(a.logs[0], "data", "0x07"), "log 0 and the log 0 of eth_getLogs differ"),
    "another second topic": (
        lambda a: a.logs[1].topics.append(hex_of(digest())),
        "log 3 and the log 3 of eth_getLogs differ",
    ),
    "logs of another fork": (move_logs_to_a_fork, "is not the one whose logs came"),
    "a strange status": (receipt(0, status="0x2"), "status is 2"),
    "no status at all": (receipt(0, status=None), "neither a status nor a state root"),
    "a short sender": (lambda a: setattr(a.wire.transactions[0], "sender", "0x12"), "1 bytes instead of 20"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_contradiction_is_refused(name: str) -> None:
    tamper, message = TAMPERINGS[name]
    answers = Answers()
    tamper(answers)
    with pytest.raises(Inconsistent, match=message):
        answers.check()


def test_a_price_that_nobody_tells_is_refused() -> None:
    answers = Answers()
    answers.receipts[0].effective_gas_price = answers.wire.transactions[0].gas_price = None
    with pytest.raises(Inconsistent, match="neither effectiveGasPrice nor gasPrice"):
        answers.check()


def test_a_block_can_be_checked_without_its_transactions() -> None:
    answers = Answers()
    block = check_block_logs(BlockId(NUMBER, block_hash(NUMBER)), answers.wire, answers.logs, FILTER)
    assert (len(block.logs.logs), block.transactions) == (2, ())
    with pytest.raises(Inconsistent, match="asked for block 5"):
        check_block_logs(BlockId(NUMBER, digest("fork")), answers.wire, answers.logs, FILTER)


def test_transactions_can_be_checked_without_the_filters_logs() -> None:
    answers = Answers()
    header, transactions = check_block_transactions(answers.wire, answers.receipts, frozenset({STRANGER}))
    assert header.number == NUMBER
    assert [transaction.index for transaction in transactions] == [1, 3]
    answers.receipts.pop()
    with pytest.raises(Inconsistent, match="receipts"):
        check_block_transactions(answers.wire, answers.receipts, frozenset({STRANGER}))


def test_an_empty_block_is_a_block() -> None:
    answers = Answers(wire_block(NUMBER), [], [])
    block = answers.check()
    assert (block.logs.logs, block.transactions) == ([], ())
