"""Real blocks are proved, altered ones are found wrong, and what we do not know is said to be unknown."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from indexer.core.errors import Inconsistent
from indexer.core.headerhash import header_hash, unknown_fields
from indexer.core.proof import Proof, Verdict, prove_header
from indexer.core.receiptsroot import receipts_root
from indexer.core.wire import WireHeader
from tests.fixtures.recorded_blocks import (
    BLOCKS,
    FORKS,
    RecordedBlock,
    recorded_block,
    recorded_header,
)


def header_of(fields: dict[str, str]) -> WireHeader:
    return msgspec.convert(fields, WireHeader)


@pytest.mark.parametrize("fork", FORKS)
def test_the_hash_of_a_real_header_of_each_fork_is_computed_from_its_fields(fork: str) -> None:
    fields = recorded_header(fork)
    hashed = header_hash(header_of(fields))
    assert hashed is not None
    assert "0x" + hashed.hex() == fields["hash"]
    assert prove_header(header_of(fields)) == Proof(Verdict.PROVED)
    assert unknown_fields(fields) == frozenset()


@pytest.mark.parametrize("fork", FORKS)
def test_a_change_in_any_field_of_a_header_is_found(fork: str) -> None:
    for name in set(recorded_header(fork)) - {"hash"}:
        fields = recorded_header(fork)
        text = fields[name]
        fields[name] = text[:-1] + ("1" if text[-1] == "0" else "0") if len(text) > 2 else "0x00"
        assert prove_header(header_of(fields)).verdict is Verdict.WRONG, name


@pytest.mark.parametrize("name", BLOCKS)
def test_a_real_block_is_proved_by_its_receipts(name: str) -> None:
    block = recorded_block(name)
    assert block.prove() == Proof(Verdict.PROVED)
    assert "0x" + receipts_root(block.wire_receipts).hex() == block.block["receiptsRoot"]


def test_filters_that_receipts_bring_are_not_believed() -> None:
    block = recorded_block("osaka_0x1")
    for receipt in block.receipts:
        receipt["logsBloom"] = "0x" + "ff" * 256
    assert block.prove().proved


def _drop_log(block: RecordedBlock) -> None:
    del block.receipts[0]["logs"][0]


def _swap_receipts(block: RecordedBlock) -> None:
    block.receipts[0], block.receipts[1] = block.receipts[1], block.receipts[0]


def _move_log(block: RecordedBlock) -> None:
    block.receipts[1]["logs"].append(block.receipts[0]["logs"].pop())


def _repeat_log(block: RecordedBlock) -> None:
    block.receipts[0]["logs"].append(block.receipts[0]["logs"][0])


def _drop_last_topic(block: RecordedBlock) -> None:
    block.receipts[0]["logs"][0]["topics"].pop()


def _drop_receipt(block: RecordedBlock) -> None:
    del block.receipts[-1]


def _drop_receipt_and_transaction(block: RecordedBlock) -> None:
    del block.receipts[-1], block.block["transactions"][-1]


@pytest.mark.parametrize(
    "alter",
    [
        _drop_log,
        _swap_receipts,
        _move_log,
        _repeat_log,
        _drop_last_topic,
        _drop_receipt,
        _drop_receipt_and_transaction,
    ],
)
@pytest.mark.parametrize("name", ["mainnet_0x1ac9f3", "osaka_0x1"])
def test_nothing_can_be_left_out_added_or_moved(name: str, alter: Callable[[RecordedBlock], None]) -> None:
    block = recorded_block(name)
    alter(block)
    assert block.prove().verdict is Verdict.WRONG


def test_the_reason_has_the_numbers() -> None:
    block = recorded_block("osaka_0x1")
    last = block.receipts[-1]
    gas_used = int(last["cumulativeGasUsed"], 16)
    last["cumulativeGasUsed"] = hex(gas_used + 7)
    block.receipts[0]["logs"] = []
    reason = block.prove().reason
    assert reason.startswith("block 1: its receipts give the root 0x")
    assert block.block["receiptsRoot"] in reason
    assert "logsBloom is not that of the receipts' logs" in reason
    assert f"its gasUsed is {gas_used}, the receipts' {gas_used + 7}" in reason
    del block.receipts[-1]
    assert block.prove().reason == "block 1: 6 transactions, but 5 receipts"


def test_a_transaction_of_an_unknown_type_cannot_be_told() -> None:
    block = recorded_block("osaka_0x1")
    block.receipts[1]["type"] = "0x64"
    proof = block.prove()
    assert proof.verdict is Verdict.CANNOT_TELL
    assert proof.reason == "block 1: receipt 0x1 is of the unknown type 0x64"


def test_a_log_missing_beside_an_unknown_type_is_still_found_by_the_filter() -> None:
    block = recorded_block("osaka_0x1")
    block.receipts[1]["type"] = "0x64"
    for receipt in block.receipts:
        receipt["logs"] = receipt["logs"][1:]
    assert block.prove().verdict is Verdict.WRONG


def test_a_receipt_with_neither_status_nor_root_cannot_be_told() -> None:
    block = recorded_block("mainnet_0x1ac9f3")
    del block.receipts[1]["root"]
    assert block.prove().verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize("missing", ["mixHash", "sha3Uncles", "baseFeePerGas", "blobGasUsed"])
def test_a_header_with_a_field_missing_cannot_be_told(missing: str) -> None:
    block = recorded_block("osaka_0x1")
    del block.block[missing]
    assert block.prove() == Proof(
        Verdict.CANNOT_TELL, "block 1: its header lacks fields that its hash would need"
    )


def test_a_header_with_fields_of_a_later_fork_cannot_be_told_and_never_is_wrong() -> None:
    block = recorded_block("osaka_0x1")
    block.block |= {"inclusionListRoot": "0x" + "11" * 32, "hash": "0x" + "22" * 32}
    unknown = unknown_fields(block.block)
    assert unknown == {"inclusionListRoot"}
    proof = block.prove(unknown)
    assert proof.verdict is Verdict.CANNOT_TELL
    assert "fields that we do not know: inclusionListRoot" in proof.reason
    assert block.prove().verdict is Verdict.WRONG


def test_a_further_field_beside_a_header_that_gives_its_hash_does_not_matter() -> None:
    block = recorded_block("osaka_0x1")
    assert block.prove(frozenset({"l1BlockNumber"})).proved


def test_receipts_of_a_fork_that_is_not_settled_are_wrong_only_by_their_logs() -> None:
    block = recorded_block("osaka_0x1")
    block.block |= {"blockAccessListHash": "0x" + "11" * 32, "slotNumber": "0x1"}
    again = header_hash(block.header)
    assert again is not None
    block.block["hash"] = "0x" + again.hex()
    assert block.prove().proved
    block.receipts[0]["cumulativeGasUsed"] = "0x1"
    assert block.prove().verdict is Verdict.CANNOT_TELL
    block.receipts[0]["logs"] = []
    assert block.prove().verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("address", "0x77"),
        ("address", "77" * 21),
        ("data", "0x7"),
        ("data", "7777"),
        ("topics", ["0x" + "77" * 31]),
        ("topics", ["0x" + "zz" * 32]),
        ("topics", ["0x" + "77" * 32] * 5),
    ],
)
def test_a_log_that_no_node_may_send_is_inconsistent(field: str, text: object) -> None:
    block = recorded_block("osaka_0x1")
    block.receipts[0]["logs"][0][field] = text
    with pytest.raises(Inconsistent, match="receipt 0x0, log 0x0: "):
        block.prove()


def test_a_status_beyond_one_is_inconsistent() -> None:
    block = recorded_block("osaka_0x1")
    block.receipts[0]["status"] = "0x2"
    with pytest.raises(Inconsistent, match="status: 2 is more than 1"):
        block.prove()
