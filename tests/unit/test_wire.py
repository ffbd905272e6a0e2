"""Answers as the node writes them become values, or are refused by name."""

from __future__ import annotations

import msgspec
import pytest

from indexer.core.errors import Inconsistent
from indexer.core.wire import LAST_BLOCK, WireBlock, WireHeader, WireLog, header_of, octets, quantity
from tests.fixtures.wirelogs import block_hash, time_of, wire_block, wire_log

LOGS = msgspec.json.Decoder(list[WireLog])
HEADER = msgspec.json.Decoder(WireHeader)
BLOCK = msgspec.json.Decoder(WireBlock)


def test_fields_have_the_names_of_the_specification_and_unknown_ones_are_ignored() -> None:
    text = b"""[{"address": "0x01", "topics": ["0x02"], "data": "0x", "blockNumber": "0x1",
        "blockHash": "0x3", "transactionHash": "0x4", "transactionIndex": "0x0", "logIndex": "0x5",
        "removed": true, "blockTimestamp": "0x6", "transactionLogIndex": {"not": ["known"]}}]"""
    (log,) = LOGS.decode(text)
    assert (log.block_number, log.log_index, log.removed, log.block_timestamp) == ("0x1", "0x5", True, "0x6")


@pytest.mark.parametrize("wrong", ["null", "7", '["0x1"]', "{}"])
def test_a_known_field_of_another_type_is_refused(wrong: str) -> None:
    text = msgspec.json.encode(wire_log()).replace(b'"blockNumber":"0x5"', f'"blockNumber":{wrong}'.encode())
    with pytest.raises(msgspec.ValidationError, match="blockNumber"):
        msgspec.json.decode(text, type=WireLog)


def test_a_block_with_full_transactions_reads_as_a_header_too() -> None:
    text = msgspec.json.encode(wire_block(9))
    assert header_of(HEADER.decode(text)) == header_of(BLOCK.decode(text))


def test_a_header_keeps_what_the_node_says() -> None:
    header = header_of(wire_block(9))
    assert (header.number, header.hash, header.timestamp) == (9, block_hash(9), time_of(9))
    assert header.parent.hash == block_hash(8)
    assert header.base_fee_wei == 5


def test_before_london_there_is_no_base_fee() -> None:
    wire = wire_block(9)
    wire.base_fee_per_gas = None
    assert header_of(wire).base_fee_wei is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", "9"),
        ("number", "0x"),
        ("number", hex(LAST_BLOCK + 1)),
        ("hash", "0x12"),
        ("parent_hash", "0x" + "g" * 64),
        ("timestamp", hex(2**40)),
        ("logs_bloom", "0x00"),
        ("receipts_root", "12" * 32),
        ("gas_used", "-0x1"),
    ],
)
def test_a_malformed_header_is_inconsistent(field: str, value: str) -> None:
    wire = wire_block(9)
    setattr(wire, field, value)
    with pytest.raises(Inconsistent):
        header_of(wire)


@pytest.mark.parametrize(("text", "value"), [("0x0", 0), ("0x00ff", 255), ("0xFf", 255)])
def test_quantities_may_have_leading_zeros_and_capitals(text: str, value: int) -> None:
    assert quantity(text, "it") == value


@pytest.mark.parametrize("text", ["", "0x", "1", "0x1_0", " 0x1", "0x1\n", "0x-1", "0X1", "0x" + "f" * 67])
def test_what_only_python_would_read_as_a_number_is_no_quantity(text: str) -> None:
    with pytest.raises(Inconsistent, match="quantity"):
        quantity(text, "it")


@pytest.mark.parametrize("text", ["", "ab", "0xa", "0xgg", "0x é"])
def test_what_is_not_hexadecimal_is_not_bytes(text: str) -> None:
    with pytest.raises(Inconsistent):
        octets(text, "it")


def test_a_long_wrong_value_is_cut_in_the_message() -> None:
    with pytest.raises(Inconsistent) as caught:
        octets("0x" + "z" * 10_000, "it")
    assert len(str(caught.value)) < 200
