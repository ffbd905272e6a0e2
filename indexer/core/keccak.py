"""Keccak-256, the hash of Ethereum."""

from __future__ import annotations

from collections.abc import Callable


def _fastest() -> Callable[[bytes], bytes]:
    try:
        from sha3 import keccak_256  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        # It has no wheels outside Linux. There another implementation serves, at a fifth of the speed.
        from eth_hash.auto import keccak

        return keccak

    def keccak256(data: bytes) -> bytes:
        digest: bytes = keccak_256(data).digest()
        return digest

    return keccak256


#: The 32-byte Keccak-256 of the data (the original Keccak padding, which SHA3-256 changed).
keccak256 = _fastest()
