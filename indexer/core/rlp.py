"""RLP, the serialization of blocks and receipts: encoding only, as much of it as hashing needs.

Source: Ethereum Yellow Paper, appendix B.
"""

from __future__ import annotations

#: Payloads up to this many bytes carry their length in the first byte.
_SHORT = 55
_STRING, _LIST = 0x80, 0xC0


def rlp_string(octets: bytes) -> bytes:
    """The encoding of a byte string."""
    if len(octets) == 1 and octets[0] < _STRING:
        return octets
    return _head(len(octets), _STRING) + octets


def rlp_number(number: int) -> bytes:
    """The encoding of a number from 0 up: big-endian without leading zeros, so that 0 is the empty string."""
    return rlp_string(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def rlp_list(payload: bytes) -> bytes:
    """The encoding of a list whose items are encoded already and joined."""
    return _head(len(payload), _LIST) + payload


def _head(length: int, kind: int) -> bytes:
    if length <= _SHORT:
        return bytes((kind + length,))
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((kind + _SHORT + len(size),)) + size
