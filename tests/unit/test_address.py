"""Addresses between text and bytes."""

from __future__ import annotations

import pytest

from indexer.core.address import checksum_address, parse_address
from indexer.core.keccak import keccak256

# Source: EIP-55, "Test Cases".
CHECKSUMMED = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


def test_the_hash_is_keccak_and_not_the_later_sha3() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@pytest.mark.parametrize("text", CHECKSUMMED)
def test_an_address_keeps_its_checksum_through_bytes(text: str) -> None:
    assert checksum_address(parse_address(text)) == text
    assert parse_address(text.lower()) == parse_address("0x" + text[2:].upper()) == parse_address(text)


def test_a_wrong_checksum_is_refused_with_the_right_one_in_the_message() -> None:
    wrong = CHECKSUMMED[2].replace("B", "b", 1)
    with pytest.raises(ValueError, match=CHECKSUMMED[2]):
        parse_address(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "0x" + "1" * 39,
        "0x" + "1" * 41,
        "1" * 40,
        "0X" + "1" * 40,
        "0x" + "g" * 40,
        " 0x" + "1" * 40,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        parse_address(text)


def test_only_20_bytes_have_a_checksum() -> None:
    with pytest.raises(ValueError, match="20 bytes, not 19"):
        checksum_address(bytes(19))
