"""An invented chain whose logs have much data each: an answer with few logs that is large all the same."""

from __future__ import annotations

import random

from bench.chain import BLOCK_SECONDS, GENESIS_TIME, TOKEN, Chain, block_hash, block_header
from indexer.core.keccak import keccak256

NOTED = "0x" + keccak256(b"Noted(bytes)").hex()
ABI = [
    {
        "type": "event",
        "name": "Noted",
        "inputs": [{"name": "note", "type": "bytes", "indexed": False}],
    }
]
LOGS_PER_BLOCK = 10


def make_heavy_chain(log_count: int, data_bytes: int, seed: int = 1) -> Chain:
    """A chain with so many notes of so many bytes, nine to eleven in each block."""
    chance = random.Random(seed)
    headers, logs, counts, left = [block_header(0)], [b""], [0], log_count
    while left:
        number = len(headers)
        count = min(left, LOGS_PER_BLOCK + number % 3 - 1)
        headers.append(block_header(number))
        logs.append(",".join(_log(number, index, data_bytes, chance) for index in range(count)).encode())
        left -= count
        counts.append(log_count - left)
    return Chain(tuple(headers), tuple(logs), tuple(counts))


def _log(number: int, index: int, data_bytes: int, chance: random.Random) -> str:
    padded = chance.randbytes(data_bytes).ljust(-data_bytes % 32 + data_bytes, b"\0")
    return (
        f'{{"address":"{TOKEN}","topics":["{NOTED}"],"data":"0x{32:064x}{data_bytes:064x}{padded.hex()}",'
        f'"blockNumber":"{number:#x}","transactionHash":"0x{chance.randbytes(32).hex()}",'
        f'"transactionIndex":"{index:#x}","blockHash":"{block_hash(number)}","logIndex":"{index:#x}",'
        f'"removed":false,"blockTimestamp":"{GENESIS_TIME + BLOCK_SECONDS * number:#x}"}}'
    )
