"""What one endpoint knows of the chain, and its honest answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.fixtures.fakechain import FakeBlock, FakeChain
from tests.fixtures.fakenode import RpcError, block_json, logs_json, receipts_json

Json = Any


class Archive:
    """Blocks as JSON-RPC shows them, each worked out once. What it gives must not be altered."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, Json] = {}
        self._headers: dict[bytes, Json] = {}
        self._receipts: dict[bytes, list[Json]] = {}
        self._logs: dict[bytes, list[Json]] = {}

    def block(self, block: FakeBlock) -> Json:
        """With its transactions in full."""
        if block.hash not in self._blocks:
            self._blocks[block.hash] = block_json(block, full=True)
        return self._blocks[block.hash]

    def header(self, block: FakeBlock) -> Json:
        """With the hashes of its transactions."""
        if block.hash not in self._headers:
            self._headers[block.hash] = block_json(block, full=False)
        return self._headers[block.hash]

    def receipts(self, block: FakeBlock) -> list[Json]:
        if block.hash not in self._receipts:
            self._receipts[block.hash] = receipts_json(block)
        return self._receipts[block.hash]

    def logs(self, block: FakeBlock) -> list[Json]:
        if block.hash not in self._logs:
            self._logs[block.hash] = logs_json(block)
        return self._logs[block.hash]


class View:
    """The chain as one endpoint sees it: all of it, not the newest blocks, or a branch that lost."""

    def __init__(self, chain: FakeChain, archive: Archive, *, knows_finality: bool) -> None:
        self.chain = chain
        self.archive = archive
        self.knows_finality = knows_finality
        #: Whether it is the one that leaves out what another one would have.
        self.may_lie = False
        #: How many of the newest blocks it has not seen yet.
        self.behind = 0
        #: The most blocks that a range may have.
        self.most_blocks: int | None = None
        #: Blocks that it announced and does not have for so many more questions.
        self.announced_only: Counter[bytes] = Counter()
        self._stuck: tuple[list[FakeBlock], frozenset[bytes], int] | None = None

    def stay(self) -> None:
        """See nothing new from now on."""
        self._stuck = (list(self.chain.blocks), frozenset(self.chain.by_hash), self.chain.finalized)

    def catch_up(self) -> None:
        """See everything."""
        self._stuck = None
        self.behind = 0

    @property
    def blocks(self) -> Sequence[FakeBlock]:
        blocks = self._stuck[0] if self._stuck else self.chain.blocks
        return blocks[: max(1, len(blocks) - self.behind)]

    @property
    def finalized(self) -> int:
        return min(self._stuck[2] if self._stuck else self.chain.finalized, len(self.blocks) - 1)

    def answer(self, method: str, params: list[Json]) -> Json:
        """The result of a call.

        Raises:
            RpcError: an honest node would say so, too.
        """
        match method:
            case "eth_chainId":
                return hex(self.chain.chain_id)
            case "eth_blockNumber":
                return hex(self.blocks[-1].number)
            case "eth_getBlockByNumber":
                return self._shown(self._by_tag(params[0]), full=params[1])
            case "eth_getBlockByHash":
                return self._shown(self._by_hash(params[0]), full=params[1])
            case "eth_getLogs":
                return self._logs(params[0])
            case "eth_getBlockReceipts":
                wanted = params[0]
                block = self._by_hash(wanted) if len(wanted) == 66 else self._by_tag(wanted)
                return None if block is None else self.archive.receipts(block)
            case "eth_getTransactionReceipt":
                every = (receipt for block in self.blocks for receipt in self.archive.receipts(block))
                return next((each for each in every if each["transactionHash"] == params[0]), None)
        raise RpcError(-32601, f"the method {method} does not exist/is not available")

    def _shown(self, block: FakeBlock | None, *, full: bool) -> Json:
        if block is None:
            return None
        return self.archive.block(block) if full else self.archive.header(block)

    def _by_tag(self, tag: str) -> FakeBlock | None:
        blocks = self.blocks
        if tag == "latest":
            return blocks[-1]
        if tag == "finalized":
            if not self.knows_finality:
                raise RpcError(-32602, "invalid argument 0: hex string without 0x prefix")
            return blocks[self.finalized]
        number = int(tag, 16)
        return blocks[number] if number < len(blocks) else None

    def _by_hash(self, text: str) -> FakeBlock | None:
        """A block of any branch, as nodes keep them for a while; none that it has not seen."""
        block = self.chain.by_hash.get(bytes.fromhex(text[2:]))
        if block is None or block.number >= len(self.blocks):
            return None
        if self.announced_only[block.hash] > 0:
            self.announced_only[block.hash] -= 1
            return None
        return block if self._stuck is None or block.hash in self._stuck[1] else None

    def _logs(self, wanted: Json) -> list[Json]:
        if "blockHash" in wanted:
            block = self._by_hash(wanted["blockHash"])
            if block is None:
                raise RpcError(-32000, "unknown block")
            blocks: Sequence[FakeBlock] = [block]
        else:
            first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
            if self.most_blocks is not None and last - first + 1 > self.most_blocks:
                raise RpcError(-32602, f"exceed maximum block range: {self.most_blocks}")
            # A range that ends above the head is cut without a word: the trap that nodes set.
            blocks = self.blocks[first : last + 1]
        return [log for block in blocks for log in self.archive.logs(block) if _passes(wanted, log)]


def _passes(wanted: Json, log: Json) -> bool:
    addresses = wanted.get("address")
    if addresses is not None:
        some = [addresses] if isinstance(addresses, str) else addresses
        if log["address"] not in [each.lower() for each in some]:
            return False
    for position, allowed in enumerate(wanted.get("topics") or []):
        if not allowed:
            continue
        choices = [allowed] if isinstance(allowed, str) else allowed
        if position >= len(log["topics"]) or log["topics"][position] not in choices:
            return False
    return True
