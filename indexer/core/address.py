"""Ethereum addresses between text and bytes."""

from __future__ import annotations

import re

from indexer.core.keccak import keccak256

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def parse_address(text: str) -> bytes:
    """The 20 bytes of an address written as ``0x`` and 40 hexadecimal digits.

    All-lower and all-upper case are taken as they are; mixed case carries a checksum, which must be right.

    Raises:
        ValueError: not an address, or its checksum is wrong (the message says which address was meant).

    Source: EIP-55.
    """
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"not an address: {text[:60]!r} (0x and 40 hexadecimal digits are wanted)")
    address = bytes.fromhex(text[2:])
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and text != checksum_address(address):
        raise ValueError(
            f"wrong checksum in address {text}: it would be {checksum_address(address)} "
            "(a digit may be mistyped; write it in lower case to do without the checksum)"
        )
    return address


def checksum_address(address: bytes) -> str:
    """The address as ``0x`` text in the mixed case that carries its checksum.

    Raises:
        ValueError: the address does not have 20 bytes.

    Source: EIP-55.
    """
    if len(address) != 20:
        raise ValueError(f"an address has 20 bytes, not {len(address)}")
    digits = address.hex()
    nibbles = keccak256(digits.encode("ascii")).hex()
    return "0x" + "".join(
        digit.upper() if nibble >= "8" else digit for digit, nibble in zip(digits, nibbles, strict=False)
    )
