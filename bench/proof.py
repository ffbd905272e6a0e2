"""What proving a followed block by its receipts costs, in one process: CPU time, the best of many runs."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any, TypeVar

import msgspec

from bench.chain import TOKEN, TRANSFER
from indexer.core.block import check_block
from indexer.core.headerhash import header_hash
from indexer.core.model import BlockId
from indexer.core.proof import prove_block
from indexer.core.receiptsroot import summarize
from indexer.core.source import LogFilter
from indexer.core.wire import WireBlock, WireLog, WireReceipt

T = TypeVar("T")
LOGS_PER_RECEIPT = 4
NUMBER = 20_000_000
GAS = 60_000
_ZEROS = "0x" + "00" * 32
_BLOCK, _RECEIPTS = msgspec.json.Decoder(WireBlock), msgspec.json.Decoder(list[WireReceipt])
_LOGS = msgspec.json.Decoder(list[WireLog])


def _answers(count: int) -> tuple[bytes, bytes, bytes]:
    """The JSON of a block, of its receipts, and of the token's logs: one of the logs of each receipt."""
    # Long, because all fields of an answer stand here.
    chance = random.Random(1)

    def text(length: int) -> str:
        return "0x" + chance.randbytes(length).hex()

    hashes = [text(32) for _ in range(count)]
    strangers = [text(20) for _ in range(50)]
    receipts: list[dict[str, Any]] = [
        {
            "transactionHash": each,
            "transactionIndex": hex(index),
            "blockHash": _ZEROS,
            "blockNumber": hex(NUMBER),
            "gasUsed": hex(GAS),
            "cumulativeGasUsed": hex(GAS * (index + 1)),
            "effectiveGasPrice": "0x1",
            "status": "0x1",
            "type": "0x2",
            "logs": [
                {
                    "address": TOKEN if at == 0 else chance.choice(strangers),
                    "topics": [TRANSFER, text(32), text(32)],
                    "data": text(32),
                    "blockNumber": hex(NUMBER),
                    "blockHash": _ZEROS,
                    "transactionHash": each,
                    "transactionIndex": hex(index),
                    "logIndex": hex(index * LOGS_PER_RECEIPT + at),
                    "removed": False,
                }
                for at in range(LOGS_PER_RECEIPT)
            ],
        }
        for index, each in enumerate(hashes)
    ]
    found = summarize(msgspec.convert(receipts, list[WireReceipt]))
    block = {
        "number": hex(NUMBER),
        "hash": _ZEROS,
        "timestamp": "0x1",
        "gasUsed": hex(found.gas_used),
        "gasLimit": hex(found.gas_used),
        "logsBloom": "0x" + found.bloom.hex(),
        "receiptsRoot": "0x" + found.root.hex(),
        **dict.fromkeys(("parentHash", "sha3Uncles", "stateRoot", "transactionsRoot", "mixHash"), _ZEROS),
        "miner": "0x" + "00" * 20,
        "difficulty": "0x0",
        "extraData": "0x",
        "nonce": "0x" + "00" * 8,
        "baseFeePerGas": "0x1",
        "transactions": [
            {"hash": each, "from": TOKEN, "to": TOKEN, "transactionIndex": hex(index), "input": "0x12345678"}
            | {"gas": hex(GAS), "value": "0x0"}
            for index, each in enumerate(hashes)
        ],
    }
    computed = header_hash(msgspec.convert(block, WireBlock))
    assert computed is not None
    logs = [receipt["logs"][0] for receipt in receipts]

    def named(value: object) -> bytes:
        """With the block's hash wherever it is named."""
        for each in [log for receipt in receipts for log in receipt["logs"]] + receipts:
            each["blockHash"] = "0x" + computed.hex()
        return json.dumps(value).encode()

    return named(block | {"hash": "0x" + computed.hex()}), named(receipts), named(logs)


def measure(count: int, runs: int) -> dict[str, dict[str, float]]:
    """Milliseconds of CPU per block of each stage: the least, and the median, of so many runs."""
    block_json, receipts_json, logs_json = _answers(count)
    wanted = LogFilter((bytes.fromhex(TOKEN[2:]),), (bytes.fromhex(TRANSFER[2:]),))
    taken: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[[], T]) -> T:
        started = time.process_time()
        result = work()
        taken.setdefault(stage, []).append((time.process_time() - started) * 1e3)
        return result

    for _ in range(runs):
        wire = timed("parse the block", lambda: _BLOCK.decode(block_json))
        receipts = timed("parse the receipts", lambda: _RECEIPTS.decode(receipts_json))
        logs = timed("parse the logs", lambda: _LOGS.decode(logs_json))
        proof = timed("prove", lambda wire=wire, receipts=receipts: prove_block(wire, receipts))  # type: ignore[misc]
        assert proof.proved, proof.reason
        expected = BlockId(NUMBER, bytes.fromhex(wire.hash[2:]))

        def check(expected: BlockId = expected, wire: WireBlock = wire) -> object:
            return check_block(expected, wire, logs, receipts, wanted, frozenset())  # noqa: B023

        timed("check against each other", check)
    whole: list[float] = [sum(values) for values in zip(*taken.values(), strict=True)]
    taken["all of it"] = whole
    return {stage: {"least": min(values), "median": median(values)} for stage, values in taken.items()}


def report(count: int, runs: int, *, as_json: bool) -> None:
    """Print the stages as a Markdown table or as JSON."""
    stages = measure(count, runs)
    if as_json:
        print(json.dumps(stages))
        return
    print(f"A block of {count} receipts with {LOGS_PER_RECEIPT} logs each:\n")
    print("| stage | ms of CPU, least | median |\n|---|---|---|")
    for stage, found in stages.items():
        print(f"| {stage} | {found['least']:.2f} | {found['median']:.2f} |")
