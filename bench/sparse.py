"""An invented chain with few logs in each block, whose headers say what headers of real chains say."""

from __future__ import annotations

import json
import random

import msgspec

from bench.chain import BLOCK_SECONDS, GENESIS_TIME, TOKEN, TRANSFER, Chain
from indexer.core.bloom import logs_bloom
from indexer.core.headerhash import header_hash
from indexer.core.wire import WireHeader

LOGS_PER_BLOCK = 5
TRANSACTIONS_PER_BLOCK = 200


def make_sparse_chain(log_count: int, seed: int = 1) -> Chain:
    """A chain with so many transfers, four to six in each block, without times in the logs.

    So every header has to be read for its time, whatever else it is good for.
    """
    chance = random.Random(seed)
    genesis, parent = _header(0, "0x" + "00" * 32, [], chance)
    headers, logs, counts, left = [genesis], [b""], [0], log_count
    while left:
        number = len(headers)
        count = min(left, LOGS_PER_BLOCK + number % 3 - 1)
        transfers = [(chance.randbytes(20), chance.randbytes(20)) for _ in range(count)]
        header, block_hash = _header(number, parent, transfers, chance)
        headers.append(header)
        logs.append(_logs(number, block_hash, transfers, chance))
        parent, left = block_hash, left - count
        counts.append(log_count - left)
    return Chain(tuple(headers), tuple(logs), tuple(counts))


def _header(
    number: int, parent: str, transfers: list[tuple[bytes, bytes]], chance: random.Random
) -> tuple[bytes, str]:
    """The JSON of a header since Prague with the hashes of its transactions, and its hash."""
    bloom = logs_bloom(
        (
            bytes.fromhex(TOKEN[2:]),
            [bytes.fromhex(TRANSFER[2:]), sender.rjust(32, b"\0"), recipient.rjust(32, b"\0")],
        )
        for sender, recipient in transfers
    )
    roots = ("sha3Uncles", "stateRoot", "transactionsRoot", "receiptsRoot", "mixHash", "withdrawalsRoot")
    fields: dict[str, object] = {name: "0x" + chance.randbytes(32).hex() for name in roots}
    fields |= {name: "0x" + chance.randbytes(32).hex() for name in ("parentBeaconBlockRoot", "requestsHash")}
    fields |= {
        "number": hex(number),
        "parentHash": parent,
        "timestamp": hex(GENESIS_TIME + BLOCK_SECONDS * number),
        "gasUsed": hex(15_000_000 + number),
        "gasLimit": hex(36_000_000),
        "logsBloom": "0x" + bloom.hex(),
        "baseFeePerGas": hex(7_000_000_000 + number),
        "miner": "0x" + chance.randbytes(20).hex(),
        "extraData": "0x" + chance.randbytes(16).hex(),
        "difficulty": "0x0",
        "nonce": "0x" + "00" * 8,
        "blobGasUsed": "0x20000",
        "excessBlobGas": "0x0",
    }
    unhashed = fields | {"hash": "0x" + "00" * 32}
    computed = header_hash(msgspec.convert(unhashed, WireHeader))
    assert computed is not None
    mined = ["0x" + chance.randbytes(32).hex() for _ in range(TRANSACTIONS_PER_BLOCK)]
    block = fields | {"hash": "0x" + computed.hex(), "transactions": mined, "uncles": []}
    return json.dumps(block, separators=(",", ":")).encode(), "0x" + computed.hex()


def _logs(number: int, block_hash: str, transfers: list[tuple[bytes, bytes]], chance: random.Random) -> bytes:
    """The JSON of a block's logs, joined by commas."""
    return ",".join(
        f'{{"address":"{TOKEN}","topics":["{TRANSFER}","0x{sender.hex():0>64}","0x{recipient.hex():0>64}"],'
        f'"data":"0x{chance.randrange(10**24):064x}","blockNumber":"{number:#x}",'
        f'"transactionHash":"0x{chance.randbytes(32).hex()}","transactionIndex":"{index:#x}",'
        f'"blockHash":"{block_hash}","logIndex":"{index:#x}","removed":false}}'
        for index, (sender, recipient) in enumerate(transfers)
    ).encode()
