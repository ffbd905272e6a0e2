"""An invented chain of any length whose blocks are made when they are asked for: nothing of it lies in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from bench.chain import BLOCK_SECONDS, GENESIS_TIME, TOKEN, TRANSFER
from indexer.core.keccak import keccak256

_ZEROS = "0x" + "00" * 32
_ALL_BITS, _NO_BITS = "0x" + "ff" * 256, "0x" + "00" * 256
_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class InventedChain:
    """Blocks 0..last; what is in one depends on its number alone."""

    last: int
    #: Only every so manieth block may have logs.
    every: int = 1
    #: What part of those blocks has logs.
    share: float = 1.0
    #: Such a block has one log to so many.
    most_logs: int = 1
    #: Whether logs tell the time of their block.
    timed_logs: bool = False

    def logs_in(self, number: int) -> int:
        """How many logs the block has."""
        if number % self.every or not 0 < number <= self.last:
            return 0
        drawn = _mixed(number)
        return 1 + drawn % self.most_logs if drawn >> 32 < self.share * 2**32 else 0

    def blocks_with_logs(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The blocks in first..last that have logs, with their number of logs, ascending."""
        begin = -(-max(first, 1) // self.every) * self.every
        for number in range(begin, min(last, self.last) + 1, self.every):
            if count := self.logs_in(number):
                yield number, count

    def range_logs(self, first: int, last: int) -> bytes:
        """The answer to `eth_getLogs` for the blocks first..last."""
        return (
            "["
            + ",".join(
                self._log(number, index)
                for number, count in self.blocks_with_logs(first, last)
                for index in range(count)
            )
            + "]"
        ).encode()

    def header(self, number: int) -> bytes:
        """The JSON of a block."""
        return json.dumps(
            {
                "number": hex(number),
                "hash": _hash(number),
                "parentHash": _hash(number - 1) if number else _ZEROS,
                "timestamp": hex(GENESIS_TIME + BLOCK_SECONDS * number),
                "gasUsed": hex(15_000_000),
                "gasLimit": hex(30_000_000),
                "logsBloom": _ALL_BITS if number else _NO_BITS,
                "receiptsRoot": _ZEROS,
                "baseFeePerGas": hex(7_000_000_000),
                "miner": "0x" + "00" * 20,
                "extraData": "0x",
                "transactions": [],
            },
            separators=(",", ":"),
        ).encode()

    def _log(self, number: int, index: int) -> str:
        drawn = _mixed(number * 1_000 + index)
        time = f',"blockTimestamp":"{GENESIS_TIME + BLOCK_SECONDS * number:#x}"' if self.timed_logs else ""
        return (
            f'{{"address":"{TOKEN}","topics":["{TRANSFER}","0x{drawn % 2**40:064x}","0x{drawn >> 24:064x}"],'
            f'"data":"0x{drawn:064x}","blockNumber":"{number:#x}","transactionHash":"0x{drawn:064x}",'
            f'"transactionIndex":"{index:#x}","blockHash":"{_hash(number)}","logIndex":"{index:#x}",'
            f'"removed":false{time}}}'
        )


def _hash(number: int) -> str:
    return "0x" + keccak256(b"block %d" % number).hex()


def _mixed(number: int) -> int:
    """64 bits that look drawn by lot. Source: the finalizer of SplitMix64."""
    mixed = (number + 1) * 0x9E3779B97F4A7C15 & _MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
    return mixed ^ mixed >> 31
