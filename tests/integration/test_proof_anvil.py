"""Blocks that a real node makes are proved: on every fork, with every type of transaction, and after a reorg."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
import pytest
import rlp  # type: ignore[import-untyped]
from eth_account import Account
from eth_account.signers.local import LocalAccount

from indexer.core.bloom import BloomProbe
from indexer.core.headerhash import unknown_fields
from indexer.core.proof import Proof, Verdict, prove_block
from indexer.core.wire import WireHeader, WireReceipt
from indexer.dev.anvil import Anvil
from indexer.dev.chain import Chain
from tests.fixtures.anvil import DevChainFactory

pytestmark = pytest.mark.integration

#: Forks with the types of transactions that each allows.
FORKS = {
    "frontier": ["0x0"],
    "berlin": ["0x0", "0x1"],
    "london": ["0x0", "0x1", "0x2"],
    "shanghai": ["0x0", "0x1", "0x2"],
    "cancun": ["0x0", "0x1", "0x2", "0x3"],
    "prague": ["0x0", "0x1", "0x2", "0x4"],
    "osaka": ["0x0", "0x1", "0x2", "0x3", "0x4"],
}

TARGET = "0x" + "77" * 20
#: Logs its input: three topics, then data.
LOGS_ITS_INPUT = "0x604035602035600035606036038060606000376000a300"
#: Three words that become topics, and one that becomes data.
INPUT = "0x" + "".join(f"{word:064x}" for word in (1, 2, 3, 4))
CHAIN_ID = 31337
#: What Anvil funds its accounts from.
MNEMONIC = "test test test test test test test test test test test junk"
#: A blob of zeros, with its commitment and proof, which are the point at infinity. Source: EIP-4844.
BLOB = bytes(131_072)
INFINITY = bytes([0xC0]) + bytes(47)


def funded_account(index: int) -> LocalAccount:
    Account.enable_unaudited_hdwallet_features()
    account: LocalAccount = Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
    return account


async def proof_of(chain: Chain, number: int) -> tuple[Proof, list[WireReceipt], dict[str, Any]]:
    block = await chain.call("eth_getBlockByNumber", hex(number), False)
    receipts = msgspec.convert(
        await chain.call("eth_getBlockReceipts", hex(number)), list[WireReceipt], strict=False
    )
    header = msgspec.convert(block, WireHeader)
    unknown = unknown_fields(block)
    return (
        prove_block(header, receipts, transactions=len(block["transactions"]), unknown=unknown),
        receipts,
        block,
    )


async def send_every_type(chain: Chain, types: list[str]) -> None:
    """A transaction of each type, with a log each, and one that fails."""
    sender = (await chain.accounts())[1]
    call = {"from": sender, "to": TARGET, "data": INPUT, "gas": hex(200_000)}
    price = hex(2 * 10**9)
    requests: dict[str, list[dict[str, Any]]] = {
        "0x0": [call | {"gasPrice": price}, call | {"gasPrice": price, "data": "0x", "gas": hex(21_500)}],
        "0x1": [call | {"gasPrice": price, "accessList": [{"address": TARGET, "storageKeys": []}]}],
        "0x2": [call | {"maxFeePerGas": price, "maxPriorityFeePerGas": "0x1"}],
    }
    for kind in types:
        for request in requests.get(kind, []):
            await chain.call("eth_sendTransaction", request)
    fees: dict[str, Any] = {"gas": 200_000, "maxFeePerGas": 2 * 10**9, "maxPriorityFeePerGas": 1, "nonce": 0}
    content = fees | {"chainId": CHAIN_ID, "to": TARGET, "value": 0, "data": INPUT}
    if "0x3" in types:
        versioned_hash = b"\x01" + sha256(INFINITY).digest()[1:]
        of_blob = {"type": 3, "maxFeePerBlobGas": 10**9, "blobVersionedHashes": [versioned_hash]}
        signed = bytes(funded_account(2).sign_transaction(content | of_blob).raw_transaction)
        with_blob = [rlp.decode(signed[1:]), [BLOB], [INFINITY], [INFINITY]]
        await send_raw(chain, signed[:1] + rlp.encode(with_blob))
    if "0x4" in types:
        account, other = funded_account(3), funded_account(4)
        allowed = other.sign_authorization({"chainId": CHAIN_ID, "address": TARGET, "nonce": 0})
        signed = account.sign_transaction(
            content | {"type": 4, "authorizationList": [allowed]}
        ).raw_transaction
        await send_raw(chain, bytes(signed))


async def send_raw(chain: Chain, transaction: bytes) -> None:
    await chain.call("eth_sendRawTransaction", "0x" + transaction.hex())


@pytest.mark.parametrize("fork", FORKS)
async def test_a_block_with_every_type_of_transaction_is_proved_on_every_fork(fork: str) -> None:
    anvil = Anvil(mining=False)
    # The development chain knows one fork only.
    anvil._flags[anvil._flags.index("cancun")] = fork
    async with anvil, Chain(anvil.url) as chain:
        await chain.call("anvil_setCode", TARGET, LOGS_ITS_INPUT)
        await send_every_type(chain, FORKS[fork])
        await chain.mine(2)
        proof, receipts, _ = await proof_of(chain, 1)
        assert proof == Proof(Verdict.PROVED)
        assert {receipt.type for receipt in receipts} == set(FORKS[fork])
        assert sorted(len(receipt.logs) for receipt in receipts) == [0] + [1] * len(FORKS[fork])
        assert [receipt.status for receipt in receipts].count("0x0") == 1
        assert (await proof_of(chain, 2))[0].proved
        receipts[0].logs[0].data = receipts[0].logs[0].data[:-1] + "5"
        header = msgspec.convert(await chain.call("eth_getBlockByNumber", "0x1", False), WireHeader)
        assert prove_block(header, receipts).verdict is Verdict.WRONG


async def test_all_blocks_of_a_chain_with_traffic_are_proved_and_so_are_those_of_a_new_branch(
    dev_chain_factory: DevChainFactory,
) -> None:
    dev = await dev_chain_factory()
    for _ in range(8):
        await dev.step(5)
    for _ in range(2):
        logs = 0
        for number in range(await dev.chain.block_number() + 1):
            proof, receipts, block = await proof_of(dev.chain, number)
            assert proof == Proof(Verdict.PROVED)
            probe = BloomProbe(
                (bytes.fromhex(log.address[2:]), bytes.fromhex(log.topics[0][2:]) if log.topics else None)
                for receipt in receipts
                for log in receipt.logs
            )
            found = sum(len(receipt.logs) for receipt in receipts)
            assert probe.may_match(bytes.fromhex(block["logsBloom"][2:])) == bool(found)
            logs += found
        assert logs > 8
        await dev.reorg(5)
