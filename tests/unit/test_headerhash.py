"""The hash of a header from its fields, against an independent encoder, however the fields are written."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
import rlp  # type: ignore[import-untyped]
from eth_utils.crypto import keccak

from indexer.core.errors import Inconsistent
from indexer.core.headerhash import header_hash
from indexer.core.wire import WireHeader
from tests.fixtures.recorded_blocks import FORKS, recorded_header

#: The length of each field in bytes, 0 for a number, -1 for bytes of any length; in the order of hashing.
ALWAYS = {
    "parentHash": 32,
    "sha3Uncles": 32,
    "miner": 20,
    "stateRoot": 32,
    "transactionsRoot": 32,
    "receiptsRoot": 32,
    "logsBloom": 256,
    "difficulty": 0,
    "number": 0,
    "gasLimit": 0,
    "gasUsed": 0,
    "timestamp": 0,
    "extraData": -1,
    "mixHash": 32,
    "nonce": 8,
}
ADDED = {
    "baseFeePerGas": 0,
    "withdrawalsRoot": 32,
    "blobGasUsed": 0,
    "excessBlobGas": 0,
    "parentBeaconBlockRoot": 32,
    "requestsHash": 32,
    "blockAccessListHash": 32,
    "slotNumber": 0,
}


def spelled(random: Random, octets: bytes) -> str:
    text = octets.hex()
    return "0x" + (text.upper() if random.random() < 0.3 else text)


def random_header(random: Random) -> tuple[dict[str, str], bytes]:
    """A header as JSON-RPC may show it, and its hash."""
    added = dict(list(ADDED.items())[: random.randrange(len(ADDED) + 1)])
    fields: dict[str, str] = {"hash": "0x" + "00" * 32}
    values: list[Any] = []
    for name, length in (ALWAYS | added).items():
        if length == 0:
            number = random.choice(
                (0, 1, 0x7F, 0x80, 0xFF, 0x100, random.getrandbits(random.randrange(1, 257)))
            )
            zeros = "0" * random.choice((0, 0, 0, 1, 2))
            fields[name] = f"0x{zeros}{number:x}" if number < 2**250 else hex(number)
            values.append(number)
        else:
            size = length if length > 0 else random.choice((0, 1, 2, 31, 32, 55, 56, 97, 300))
            octets = random.choice((random.randbytes(size), bytes(size), b"\x7f" * size, b"\x80" * size))
            fields[name] = spelled(random, octets)
            values.append(octets)
    return fields, keccak(rlp.encode(values))


def test_however_its_fields_are_written_the_hash_is_the_one_that_another_encoder_gives() -> None:
    random = Random(1)
    for _ in range(2_000):
        fields, expected = random_header(random)
        assert header_hash(msgspec.convert(fields, WireHeader)) == expected, fields


@pytest.mark.parametrize("name", ALWAYS | ADDED)
@pytest.mark.parametrize(
    "wrong", ["", "0x", "00", "0X00", "0xg0", "0x0x", "0x123", "0x" + "11" * 33, "0x-1", "0x 1", "0x١١", "x0"]
)
def test_a_field_that_is_none_is_named(name: str, wrong: str) -> None:
    fields = recorded_header("osaka") | {"blockAccessListHash": "0x" + "11" * 32, "slotNumber": "0x1"}
    length = (ALWAYS | ADDED)[name]
    good = {-1: ("0x", "0x" + "11" * 33), 0: ("0x123",)}.get(length, ())
    header = msgspec.convert(fields | {name: wrong}, WireHeader)
    if wrong in good:
        assert header_hash(header) is not None
        return
    with pytest.raises(Inconsistent, match=f"block .*{name}"):
        header_hash(header)


def test_two_mistakes_do_not_make_up_for_each_other() -> None:
    fields = recorded_header("osaka")
    # One field lacks what the other has too much of.
    moved = fields | {"stateRoot": "00" + fields["stateRoot"][2:], "mixHash": "0x0x" + fields["mixHash"][4:]}
    with pytest.raises(Inconsistent, match="stateRoot"):
        header_hash(msgspec.convert(moved, WireHeader))


@pytest.mark.parametrize("fork", FORKS)
def test_without_a_field_that_every_header_has_there_is_no_hash(fork: str) -> None:
    fields = recorded_header(fork)
    for name in ("sha3Uncles", "miner", "mixHash", "nonce", "difficulty"):
        less = {key: value for key, value in fields.items() if key != name}
        assert header_hash(msgspec.convert(less, WireHeader)) is None
