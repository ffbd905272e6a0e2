"""Keccak-256 is the same by whichever implementation is installed."""

from __future__ import annotations

import sys
from random import Random

import pytest
from eth_utils.crypto import keccak

from indexer.core import keccak as chosen

EMPTY = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@pytest.mark.parametrize("native", [True, False])
def test_every_implementation_gives_the_same(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not native:
        monkeypatch.setitem(sys.modules, "sha3", None)  # as where there is no wheel
    keccak256 = chosen._fastest()
    assert keccak256(b"").hex() == EMPTY
    random = Random(1)
    for length in (1, 31, 32, 135, 136, 137, 600, 10_000):
        data = random.randbytes(length)
        assert keccak256(data) == keccak(data) == chosen.keccak256(data)
