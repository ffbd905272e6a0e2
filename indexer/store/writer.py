"""The only way to change the data: rows, coverage and cursor together, in one fenced transaction a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import chain

from indexer.core.errors import BelowFinality, Inconsistent, LostLeadership
from indexer.core.model import BlockId, Encoded, FollowedBlock, Header, Span, Transaction
from indexer.store import coverage, rows
from indexer.store.database import Connection, Database
from indexer.store.leadership import WRITER_NAME
from indexer.store.rewind import Removed, Rewind
from indexer.store.rows import TransactionSource

#: The row's lock keeps the epoch as it is until we commit; the name lets a successor find this session.
FENCE = """
    select epoch, leader_since, set_config('application_name', $1, true) from indexer.chain for share of chain
"""

MOVE_CURSOR = """
    update indexer.cursor set number = $1, hash = $2, updated_at = now()
    where number is not distinct from $3 and hash is not distinct from $4
"""
READ_CURSOR = "select number, hash, finalized_number, finalized_hash, window_first from indexer.cursor"
SET_FINALIZED = "update indexer.cursor set finalized_number = $1, finalized_hash = $2"
SET_WINDOW = "update indexer.cursor set window_first = $1"
STORED_HASH = "select hash from indexer.block where number = $1"
DROP_BLOCKS_BELOW = "delete from indexer.block where number < $1 and not has_rows"
TRANSACTION_SOURCES = """
    select id, address, contract from indexer.source where kind = 'transactions' and active
"""


class Writer:
    """Writes for one chain, as long as nobody with a higher epoch does.

    Each method is one transaction. When it raises, nothing of it was kept, with one exception that no
    database can spare us: a commit that was cancelled, or whose answer was lost, may have happened, or may
    happen a moment later. So after any error read the state again before the next call; should a late commit
    come in between, the next call finds another cursor or coverage than it expects and writes nothing.

    Every method may raise:
        LostLeadership: another writer took over.
        Unavailable: the database does not answer, or a lock was not free in time.
        Inconsistent: the database holds something else than the caller believes.
    """

    def __init__(self, database: Database, epoch: int, since: datetime | None = None) -> None:
        self._database = database
        self._epoch = epoch
        #: When our leadership began; a server that lost the newest transactions may give our epoch away again.
        self._since = since
        self._transaction_sources: dict[bytes, TransactionSource] | None = None
        self._rollbacks = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction that no successor's transaction can overlap.

        Raises:
            LostLeadership: there is a successor.
        """
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(FENCE, f"{WRITER_NAME} {self._epoch}")
            assert row is not None
            if row["epoch"] != self._epoch:
                raise LostLeadership(
                    f"another process writes now: its epoch is {row['epoch']}, ours {self._epoch}"
                )
            if self._since not in {None, row["leader_since"]}:
                raise LostLeadership(f"another process writes now, with our epoch {self._epoch}")
            yield connection

    async def start_tail(self, expected: BlockId | None, header: Header) -> None:
        """Put the cursor on a block that is final; every active source is followed from the block after it.

        What was followed until now stays covered, so the caller has made sure that the expected cursor is
        part of the chain. The blocks between it and the header are left for a backfill.

        Raises:
            Inconsistent: the cursor is not the expected one, it is above the header, or a source already
                covers blocks above the header.
        """
        if expected is not None and header.number < expected.number:
            raise Inconsistent(f"the tail cannot go back from block {expected} to block {header.number}")
        async with self.transaction() as connection:
            await _move_cursor(connection, expected, header.id)
            held = await connection.fetchval("select finalized_number from indexer.cursor")
            if held is None or held < header.number:
                await connection.execute(SET_FINALIZED, header.number, header.hash)
            await connection.execute(SET_WINDOW, header.number)
            await coverage.start_tails(connection, expected.number if expected else None, header.number + 1)
            await rows.add_followed_blocks(connection, [header], with_rows=())
            await connection.execute(DROP_BLOCKS_BELOW, header.number)

    async def append(self, expected: BlockId, blocks: Sequence[FollowedBlock]) -> None:
        """Write the blocks that come after the expected cursor, and move the cursor to the last of them.

        Raises:
            Inconsistent: the cursor is not the expected one, or the blocks are not its descendants.
        """
        if not blocks:
            return
        _require_chain(expected, blocks)
        async with self.transaction() as connection:
            await _move_cursor(connection, expected, blocks[-1].header.id)
            await self._add(connection, blocks)

    async def replace(self, expected: BlockId, fork: BlockId, blocks: Sequence[FollowedBlock]) -> Removed:
        """Remove every block above the fork with all that belongs to it, and write the new branch instead.

        The new branch may be shorter than the old one, or empty. The reorg is journalled in `indexer.reorg`
        and the removed events are kept in `indexer.orphaned_event`.

        Raises:
            Inconsistent: the cursor is not the expected one, the fork is not one of our blocks, or the blocks
                are not its descendants.
        """
        if fork.number >= expected.number:
            raise Inconsistent(f"block {fork} is not below the cursor {expected}")
        _require_chain(fork, blocks)
        head = blocks[-1].header.id if blocks else fork
        async with self.transaction() as connection:
            await _move_cursor(connection, expected, head)
            await _require_fork(connection, fork)
            rewind = await Rewind.start(connection, expected, fork, head)
            removed = await rewind.remove()
            events = await self._add(connection, blocks)
            mined = sum(len(block.transactions) for block in blocks)
            await rewind.journal(removed, events, mined)
        return removed

    async def roll_back(self, expected: BlockId, fork: BlockId) -> Removed:
        """Remove every block above the fork, though some of them had been called final.

        For a person's decision only (`chain.below_finality = "rollback"`): the fork becomes the cursor and the
        newest final block. Journalled and kept like any reorg.

        Raises:
            Inconsistent: the cursor is not the expected one, or the fork is not one of our blocks.
        """
        # Before the removal: what was read until now is refused from here on, whether this succeeds or not.
        self._rollbacks += 1
        async with self.transaction() as connection:
            await _move_cursor(connection, expected, fork)
            await _require_fork(connection, fork)
            # A backfill may be writing above the fork: either its rows are there to be removed, or it is refused.
            await coverage.lock_all(connection)
            rewind = await Rewind.start(connection, expected, fork, fork)
            removed = await rewind.remove()
            await connection.execute(SET_FINALIZED, fork.number, fork.hash)
            await rewind.journal(removed, {}, 0)
        return removed

    @property
    def rollbacks(self) -> int:
        """How often blocks that had been called final were removed; what was read before may be of another branch."""
        return self._rollbacks

    async def fill(
        self, span: Span, source_ids: Sequence[int], encoded: Encoded, *, rollbacks: int | None = None
    ) -> None:
        """Write the sources' events of these blocks, all of which are final, and count the blocks as covered.

        Args:
            rollbacks: as they were before the events were read.

        Raises:
            Inconsistent: a block is not final or stored with another hash, a row is outside the blocks or the
                sources, one of the blocks is covered or followed already for one of the sources, or there was a
                roll back since.
        """
        _require_inside(span, source_ids, encoded)
        async with self.transaction() as connection:
            await _require_final(connection, span)
            await rows.copy_tables(connection, encoded.tables)
            await rows.add_blocks_with_rows(connection, encoded.blocks)
            await rows.add_undecoded(connection, encoded.undecoded)
            # Last, because from here on the sources' rows are locked for everybody else.
            await coverage.claim(connection, span, source_ids, encoded.counts)
            self._require_no_rollback(rollbacks)

    async def fill_transactions(
        self,
        span: Span,
        source_ids: Sequence[int],
        transactions: Sequence[Transaction],
        hashes: Mapping[int, bytes],
        *,
        rollbacks: int | None = None,
    ) -> None:
        """Write the sources' transactions of these blocks, all of which are final, and count them as covered.

        Args:
            hashes: of at least the blocks that the transactions are in, by number.
            rollbacks: as in `fill`.

        Raises:
            Inconsistent: as in `fill`, or the hash of a transaction's block is missing.
        """
        blocks: dict[BlockId, int] = {}
        for transaction in transactions:
            number = transaction.block_number
            if not span.first <= number <= span.last or number not in hashes:
                raise Inconsistent(f"a transaction of block {number} does not belong to the blocks {span}")
            blocks[BlockId(number, hashes[number])] = transaction.block_time
        async with self.transaction() as connection:
            await _require_final(connection, span)
            known = await self._sources_of_transactions(connection)
            asked = {address: each for address, each in known.items() if each.id in source_ids}
            counts = await rows.add_transactions(connection, transactions, asked)
            await rows.add_blocks_with_rows(connection, blocks)
            await coverage.claim(connection, span, source_ids, counts)
            self._require_no_rollback(rollbacks)

    async def set_finalized(self, finalized: BlockId) -> None:
        """Remember a block as final; a lower one than is remembered changes nothing.

        Once the tail has reached it, the blocks below it that have no rows are dropped.

        Raises:
            BelowFinality: the chain had called another block of this number final.
            Inconsistent: we hold another block of this number, so a reorg is still to be carried out.
        """
        async with self.transaction() as connection:
            held = await connection.fetchrow(f"{READ_CURSOR} for update")
            assert held is not None
            if held["finalized_number"] is not None and held["finalized_number"] >= finalized.number:
                if held["finalized_number"] == finalized.number and held["finalized_hash"] != finalized.hash:
                    was = BlockId(finalized.number, held["finalized_hash"])
                    raise BelowFinality(f"block {finalized} is final now, before it was {was}")
                return
            await connection.execute(SET_FINALIZED, finalized.number, finalized.hash)
            stored = await connection.fetchval(STORED_HASH, finalized.number)
            if stored is not None and stored != finalized.hash:
                raise Inconsistent(f"block {finalized} is final, we hold {BlockId(finalized.number, stored)}")
            if held["number"] is not None and held["window_first"] < finalized.number <= held["number"]:
                await connection.execute(SET_WINDOW, finalized.number)
                await connection.execute(DROP_BLOCKS_BELOW, finalized.number)

    def forget_sources(self) -> None:
        """Read the transaction sources again before the next write: the configuration was registered anew."""
        self._transaction_sources = None

    def _require_no_rollback(self, before: int | None) -> None:
        """Refuse what was read before a roll back: finality may have passed the same heights again, on another branch.

        To be asked last: a roll back that begins later waits for the rows of the sources that are locked by then.
        """
        if before not in {None, self._rollbacks}:
            raise Inconsistent("there was a roll back below finality since these blocks were read")

    async def _add(self, connection: Connection, blocks: Sequence[FollowedBlock]) -> Counter[int]:
        """Write followed blocks; how many rows of event tables that were, per source id."""
        if not blocks:
            return Counter()
        await rows.copy_tables(connection, chain.from_iterable(block.encoded.tables for block in blocks))
        await rows.add_undecoded(connection, [each for block in blocks for each in block.encoded.undecoded])
        transactions: Counter[int] = Counter()
        if mined := [each for block in blocks for each in block.transactions]:
            known = await self._sources_of_transactions(connection)
            transactions = await rows.add_transactions(connection, mined, known)
        with_rows = {block.header.number for block in blocks if block.encoded.blocks or block.transactions}
        await rows.add_followed_blocks(connection, [block.header for block in blocks], with_rows)
        events: Counter[int] = Counter()
        for block in blocks:
            events.update(block.encoded.counts)
        # Last, because from here on the sources' rows are locked for everybody else.
        await rows.add_counts(connection, events + transactions)
        return events

    async def _sources_of_transactions(self, connection: Connection) -> Mapping[bytes, TransactionSource]:
        if self._transaction_sources is None:
            found = await connection.fetch(TRANSACTION_SOURCES)
            self._transaction_sources = {
                row["address"]: TransactionSource(row["id"], row["contract"]) for row in found
            }
        return self._transaction_sources


async def _move_cursor(connection: Connection, expected: BlockId | None, to: BlockId) -> None:
    number, hash_ = (expected.number, expected.hash) if expected else (None, None)
    if rows.affected(await connection.execute(MOVE_CURSOR, to.number, to.hash, number, hash_)) != 1:
        held = await connection.fetchrow(READ_CURSOR)
        assert held is not None
        at = BlockId(held["number"], held["hash"]) if held["hash"] else "not set"
        raise Inconsistent(f"the cursor moved: it is {at}, not {expected or 'unset'}")


async def _require_fork(connection: Connection, fork: BlockId) -> None:
    stored = await connection.fetchval(STORED_HASH, fork.number)
    if stored == fork.hash:
        return
    held = BlockId(fork.number, stored) if stored else "nothing"
    raise Inconsistent(f"block {fork} is not one of ours: we hold {held} there")


async def _require_final(connection: Connection, span: Span) -> None:
    final = await connection.fetchval("select finalized_number from indexer.cursor")
    if final is None or final < span.last:
        raise Inconsistent(f"blocks {span} are not final: the newest final block we know is {final}")


def _require_chain(parent: BlockId, blocks: Iterable[FollowedBlock]) -> None:
    """Raise Inconsistent unless each block is the child of the one before and holds only what is its own."""
    for block in blocks:
        header = block.header
        if not header.follows(parent):
            raise Inconsistent(
                f"block {header.id} is not a child of block {parent}: its parent is {header.parent}"
            )
        foreign = [each for each in block.encoded.blocks if each != header.id]
        if foreign or any(each.block_number != header.number for each in block.transactions):
            raise Inconsistent(f"block {header.id} came with rows of another block")
        parent = header.id


def _require_inside(span: Span, source_ids: Iterable[int], encoded: Encoded) -> None:
    """Raise Inconsistent where rows are not of these blocks and sources."""
    outside = [block for block in encoded.blocks if not span.first <= block.number <= span.last]
    if outside:
        raise Inconsistent(f"block {outside[0]} is not one of the blocks {span}")
    ids = {source_id for source_id, count in encoded.counts.items() if count}
    ids.update(log.source_id for log in encoded.undecoded)
    if strange := ids.difference(source_ids):
        raise Inconsistent(
            f"rows of the sources {sorted(strange)}, which were not asked for in blocks {span}"
        )
