"""An invented chain of ERC-20 transfers, as the bytes that a node would answer with."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from indexer.core.keccak import keccak256

CHAIN_ID = 8453_1337
TOKEN = "0x" + keccak256(b"bench token")[:20].hex()
TRANSFER = "0x" + keccak256(b"Transfer(address,address,uint256)").hex()
ABI = [
    {
        "type": "event",
        "name": "Transfer",
        "inputs": [
            {"name": "from", "type": "address", "indexed": True},
            {"name": "to", "type": "address", "indexed": True},
            {"name": "value", "type": "uint256", "indexed": False},
        ],
    }
]

LOGS_PER_BLOCK = 500
HOLDERS = 50_000
GENESIS_TIME = 1_700_000_000
BLOCK_SECONDS = 12


@dataclass(frozen=True, slots=True)
class Chain:
    """Blocks 0..n; block 0 is empty, each other one holds about 500 transfers."""

    #: The JSON of each block's header.
    headers: tuple[bytes, ...]
    #: The JSON of each block's logs, joined by commas.
    logs: tuple[bytes, ...]
    #: How many of them there are in each block and all before it.
    counts: tuple[int, ...]

    @property
    def last(self) -> int:
        return len(self.headers) - 1

    def count(self, first: int, last: int) -> int:
        """How many logs the blocks first..last have."""
        return self.counts[last] - (self.counts[first - 1] if first else 0)

    def range_logs(self, first: int, last: int) -> bytes:
        """The answer to `eth_getLogs` for the blocks first..last."""
        return b"[" + b",".join(part for part in self.logs[first : last + 1] if part) + b"]"


def make_chain(log_count: int, seed: int = 1) -> Chain:
    """A chain with so many transfers, the same one for the same seed."""
    chance = random.Random(seed)
    holders = [keccak256(b"holder %d" % number)[12:].hex() for number in range(HOLDERS)]
    headers, logs, counts, left = [block_header(0)], [b""], [0], log_count
    while left:
        number = len(headers)
        # Not always the same: an answer of a round number of logs looks like one that was cut off.
        count = min(left, LOGS_PER_BLOCK + number % 21 - 10)
        headers.append(block_header(number))
        logs.append(",".join(_log(number, index, holders, chance) for index in range(count)).encode())
        left -= count
        counts.append(log_count - left)
    return Chain(tuple(headers), tuple(logs), tuple(counts))


def block_hash(number: int) -> str:
    """The hash of the block of this number."""
    return "0x" + keccak256(b"block %d" % number).hex()


def _log(number: int, index: int, holders: list[str], chance: random.Random) -> str:
    value = int(10 ** chance.uniform(15, 23))  # a thousandth of a token of 18 decimals, to a hundred thousand
    sender, recipient = chance.choice(holders), chance.choice(holders)
    return (
        f'{{"address":"{TOKEN}","topics":["{TRANSFER}","0x{sender:0>64}","0x{recipient:0>64}"],'
        f'"data":"0x{value:064x}","blockNumber":"{number:#x}","transactionHash":"0x{chance.randbytes(32).hex()}",'
        f'"transactionIndex":"{index:#x}","blockHash":"{block_hash(number)}","logIndex":"{index:#x}",'
        f'"removed":false,"blockTimestamp":"{GENESIS_TIME + BLOCK_SECONDS * number:#x}"}}'
    )


def block_header(number: int) -> bytes:
    """The JSON of the header of this number, which proves nothing."""
    zeros = "0x" + "00" * 32
    header = {
        "number": hex(number),
        "hash": block_hash(number),
        "parentHash": block_hash(number - 1) if number else zeros,
        "timestamp": hex(GENESIS_TIME + BLOCK_SECONDS * number),
        "gasUsed": hex(15_000_000),
        "gasLimit": hex(30_000_000),
        # All bits set: any log may be in the block.
        "logsBloom": "0x" + ("ff" if number else "00") * 256,
        "receiptsRoot": zeros,
        "baseFeePerGas": hex(7_000_000_000),
        "miner": "0x" + "00" * 20,
        "extraData": "0x",
        "transactions": [],
    }
    return json.dumps(header, separators=(",", ":")).encode()
