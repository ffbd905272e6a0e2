"""Blocks of a chain that grows, as the bytes that a node answers with, so that each can be proved by its hash."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import msgspec

from bench.chain import TOKEN, TRANSFER
from indexer.core.headerhash import header_hash
from indexer.core.receiptsroot import summarize
from indexer.core.wire import WireHeader, WireReceipt

#: What a transaction uses, and each of its logs on top of that.
GAS, GAS_PER_LOG = 40_000, 2_000
GENESIS_PARENT = "0x" + "00" * 32
#: Stands for the block's hash until that is known.
_HASH = "the block's hash"
_ZEROS = "0x" + "00" * 32
_RECEIPTS = msgspec.json.Decoder(list[WireReceipt])


@dataclass(frozen=True, slots=True)
class Shape:
    """What is in a block."""

    receipts: int = 20
    logs_per_receipt: int = 2
    #: One of so many receipts is of a transaction to the watched token; its first log is a transfer.
    watched_every: int = 4
    #: Whether all logs of such a receipt are transfers, and not the first one only.
    all_watched: bool = False


@dataclass(frozen=True, slots=True)
class MinedBlock:
    """One block in all the forms in which it is asked for, as JSON."""

    number: int
    hash: str
    #: With the hashes of its transactions.
    header: bytes
    #: With its transactions in full.
    full: bytes
    receipts: bytes
    #: The watched token's logs, joined by commas.
    logs: bytes
    #: How many of them there are.
    transfers: int
    #: The notification of a subscription to new heads.
    announcement: str


class Blocks:
    """Makes blocks of a shape; the same story gives the same blocks."""

    def __init__(self, shape: Shape, seed: int = 1) -> None:
        self._shape = shape
        self._chance = random.Random(seed)
        self._strangers = [self._text(20) for _ in range(50)]
        self._holders = [f"0x{self._chance.randbytes(20).hex():0>64}" for _ in range(1_000)]

    def make(self, number: int, parent: str, timestamp: int, shape: Shape | None = None) -> MinedBlock:
        """A block on this parent; its hash depends on all that is in it, chance included."""
        receipts = self._receipts(number, shape or self._shape)
        receipts_json = _json(receipts)
        header = self._header(number, parent, timestamp, _RECEIPTS.decode(receipts_json))
        computed = header_hash(msgspec.convert(header | {"hash": _ZEROS}, WireHeader))
        assert computed is not None
        block_hash = "0x" + computed.hex()
        header["hash"] = block_hash
        logs = [log for receipt in receipts for log in receipt["logs"] if log["address"] == TOKEN]
        hashes = [receipt["transactionHash"] for receipt in receipts]
        transactions = [_transaction(receipt) for receipt in receipts]

        def named(body: bytes) -> bytes:
            return body.replace(_HASH.encode(), block_hash.encode())

        return MinedBlock(
            number=number,
            hash=block_hash,
            header=_json(header | {"transactions": hashes}),
            full=_json(header | {"transactions": transactions}),
            receipts=named(receipts_json),
            logs=named(_json(logs)[1:-1]),
            transfers=len(logs),
            announcement=_announcement(header),
        )

    def _text(self, length: int) -> str:
        return "0x" + self._chance.randbytes(length).hex()

    def _receipts(self, number: int, shape: Shape) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        gas = GAS + GAS_PER_LOG * shape.logs_per_receipt
        for index in range(shape.receipts):
            watched = index % shape.watched_every == 0
            place = {
                "transactionHash": self._text(32),
                "transactionIndex": hex(index),
                "blockHash": _HASH,
                "blockNumber": hex(number),
            }
            first = index * shape.logs_per_receipt
            logs = [
                self._log(place, first + at, watched and (at == 0 or shape.all_watched))
                for at in range(shape.logs_per_receipt)
            ]
            found.append(
                place
                | {
                    "from": self._chance.choice(self._strangers),
                    "to": TOKEN if watched else self._chance.choice(self._strangers),
                    "contractAddress": None,
                    "gasUsed": hex(gas),
                    "cumulativeGasUsed": hex(gas * (index + 1)),
                    "effectiveGasPrice": "0x3b9aca00",
                    "status": "0x1",
                    "type": "0x2",
                    "logs": logs,
                }
            )
        return found

    def _log(self, place: dict[str, Any], index: int, watched: bool) -> dict[str, Any]:
        return place | {
            "address": TOKEN if watched else self._chance.choice(self._strangers),
            "topics": [TRANSFER, self._chance.choice(self._holders), self._chance.choice(self._holders)],
            "data": f"0x{self._chance.randrange(10**24):064x}",
            "logIndex": hex(index),
            "removed": False,
        }

    def _header(
        self, number: int, parent: str, timestamp: int, receipts: list[WireReceipt]
    ) -> dict[str, Any]:
        found = summarize(receipts)
        return {
            "number": hex(number),
            "parentHash": parent,
            "timestamp": hex(timestamp),
            "gasUsed": hex(found.gas_used),
            "gasLimit": hex(max(found.gas_used, 36_000_000)),
            "logsBloom": "0x" + found.bloom.hex(),
            "receiptsRoot": "0x" + found.root.hex(),
            # Unlike on another branch, even if nothing else is.
            "extraData": self._text(8),
            **dict.fromkeys(("sha3Uncles", "stateRoot", "transactionsRoot", "mixHash"), _ZEROS),
            "miner": "0x" + "00" * 20,
            "difficulty": "0x0",
            "nonce": "0x" + "00" * 8,
            "baseFeePerGas": "0x3b9aca00",
            "uncles": [],
        }


def _transaction(receipt: dict[str, Any]) -> dict[str, Any]:
    return {
        "hash": receipt["transactionHash"],
        "from": receipt["from"],
        "to": receipt["to"],
        "transactionIndex": receipt["transactionIndex"],
        "input": "0xa9059cbb" + "00" * 64,
        "gas": receipt["gasUsed"],
        "value": "0x0",
    }


def _announcement(header: dict[str, Any]) -> str:
    return json.dumps({
        "jsonrpc": "2.0",
        "method": "eth_subscription",
        "params": {"subscription": "0x1", "result": header},
    })  # fmt: skip


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)
