"""Puts the sample contracts on a chain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from indexer.core.errors import Fatal
from indexer.dev.chain import Chain
from indexer.dev.checkout import abi_path
from indexer.dev.samples import SAMPLES, TransactionRequest, sample

DEPLOY_GAS = 10_000_000
CALL_GAS = 500_000

GWEI = 10**9
TIP_WEI = 1 * GWEI
MAX_FEE_WEI = 100 * GWEI


@dataclass(frozen=True, slots=True)
class Deployed:
    """A sample contract at its address."""

    name: str
    address: str  # lower-case 0x text
    start_block: int  # the block that created it

    @property
    def abi(self) -> Path:
        """The file with its ABI, as the indexer's configuration names it."""
        return abi_path(self.name)

    def call(self, sender: str, function: str, *arguments: object, gas: int = CALL_GAS) -> TransactionRequest:
        """A transaction that calls the function, to be sent from an unlocked account.

        It names its gas and fees, so the chain neither tries it beforehand nor prices it: sent with the same
        nonce once more, after a reorg, it has the same hash.
        """
        return {
            "from": sender,
            "to": self.address,
            "data": sample(self.name).call_data(function, *arguments),
            "gas": hex(gas),
            "maxPriorityFeePerGas": hex(TIP_WEI),
            "maxFeePerGas": hex(MAX_FEE_WEI),
        }


async def deploy(chain: Chain, names: Iterable[str] = SAMPLES) -> dict[str, Deployed]:
    """Deploy the samples from the first account, all in one new block; each by its name.

    Raises:
        Fatal: a deployment failed.
    """
    deployer = (await chain.accounts())[0]
    mined_at_once = await chain.call("anvil_getAutomine")
    await chain.automine(False)
    requests = {
        name: {"from": deployer, "data": sample(name).bytecode, "gas": hex(DEPLOY_GAS)} for name in names
    }
    hashes = await chain.send(*requests.values())
    await chain.mine()
    await chain.automine(mined_at_once)
    return {name: await _deployed(chain, name, sent) for name, sent in zip(requests, hashes, strict=True)}


async def _deployed(chain: Chain, name: str, transaction: str) -> Deployed:
    receipt = await chain.receipt(transaction)
    if receipt["status"] != "0x1":
        raise Fatal(f"the deployment of {name} failed in block {int(receipt['blockNumber'], 16)}")
    return Deployed(name, receipt["contractAddress"], int(receipt["blockNumber"], 16))
