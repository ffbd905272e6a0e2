"""Values as the commands print them in JSON."""

from __future__ import annotations

import msgspec

from indexer.core.model import BlockId


class Block(msgspec.Struct, kw_only=True):
    """A block by its height and its hash in 0x text."""

    number: int
    hash: str


def block(value: BlockId) -> Block:
    """The block, as it is printed."""
    return Block(number=value.number, hash="0x" + value.hash.hex())
