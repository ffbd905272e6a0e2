"""Keccak-256, the hash of Ethereum."""

from __future__ import annotations

from eth_hash.auto import keccak


def keccak256(data: bytes) -> bytes:
    """The 32-byte Keccak-256 of the data (the original Keccak padding, which SHA3-256 changed)."""
    return keccak(data)
