"""The values that travel through the program: blocks, transactions, and what is written of them.

Inside, hashes and addresses are bytes, amounts are wei, times are Unix seconds; a range is
``first..last``, both inclusive, as in the JSON-RPC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class BlockId:
    """A block's height together with its hash; a bare height never says where we are."""

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number} (0x{self.hash.hex()[:12]}…)"


@dataclass(frozen=True, slots=True)
class Header:
    """The parts of a block header that we keep."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee_wei: int | None
    gas_used: int
    gas_limit: int
    logs_bloom: bytes
    receipts_root: bytes

    @property
    def id(self) -> BlockId:
        return BlockId(self.number, self.hash)

    @property
    def parent(self) -> BlockId:
        return BlockId(self.number - 1, self.parent_hash)

    def follows(self, block: BlockId) -> bool:
        """Whether this block is the child of the given one."""
        return self.number == block.number + 1 and self.parent_hash == block.hash


@dataclass(frozen=True, slots=True)
class Transaction:
    """A mined transaction with the outcome from its receipt."""

    block_number: int
    block_time: int
    index: int
    hash: bytes
    sender: bytes
    #: None for a contract creation.
    recipient: bytes | None
    #: The contract it created, if it did.
    created: bytes | None
    #: The first four bytes of the input, None when it is shorter.
    selector: bytes | None
    #: False: reverted. Source: EIP-658.
    success: bool
    gas_limit: int
    gas_used: int
    effective_gas_price_wei: int
    value_wei: int
    #: The addresses that emitted logs in it.
    emitters: frozenset[bytes]

    @property
    def failure(self) -> str | None:
        """Why it failed: ``out_of_gas`` (all gas was used), ``reverted``, or None when it did not."""
        if self.success:
            return None
        return "out_of_gas" if self.gas_used == self.gas_limit else "reverted"


@dataclass(frozen=True, slots=True)
class Span:
    """Blocks ``first..last``, both inclusive."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise ValueError(f"not a range of blocks: {self.first}..{self.last}")

    def __len__(self) -> int:
        """How many blocks it has."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows of one event table as PostgreSQL's binary COPY wants them, without header and trailer."""

    schema: str
    table: str
    columns: tuple[str, ...]
    rows: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class UndecodedLog:
    """A log that was asked for and could not be made a row (or only with loss), with the reason."""

    source_id: int
    block_number: int
    block_hash: bytes
    block_time: int
    log_index: int
    transaction_hash: bytes
    transaction_index: int
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    #: One of `indexer.core.malformed.REASONS`.
    reason: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a range of blocks or one block puts into the database."""

    tables: tuple[TableRows, ...]
    undecoded: tuple[UndecodedLog, ...]
    #: Rows in event tables per source id.
    counts: Mapping[int, int]
    #: Each block that had a log of ours: its id and its time.
    blocks: Mapping[BlockId, int]
    #: Changes of administrators per source id and kind of change, see `indexer.core.adminroles`.
    admin_changes: Mapping[tuple[int, str], int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True, slots=True)
class FollowedBlock:
    """One block above finality, ready to be written."""

    header: Header
    encoded: Encoded
    transactions: tuple[Transaction, ...]
