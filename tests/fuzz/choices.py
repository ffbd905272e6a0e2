"""Decisions read out of bytes, so that a fuzzer that changes bytes changes what happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Choices:
    """Reads decisions from the front of the bytes; behind their end every decision is the first one."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def octets(self, count: int) -> bytes:
        """The next bytes, fewer at the end."""
        taken = self._octets[self._at : self._at + count]
        self._at += count
        return taken

    def number(self, size: int) -> int:
        """The number in the next bytes."""
        return int.from_bytes(self.octets(size), "big")

    def below(self, limit: int) -> int:
        """A number from 0 to below the limit."""
        return self.number(1 if limit <= 256 else 3) % limit

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def rest(self) -> bytes:
        """All that is left."""
        return self.octets(len(self._octets))
