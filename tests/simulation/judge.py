"""Whether the database is what the chain is: rows, claims, reorgs, and who wrote when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.fixtures.fakechain import FakeBlock, FakeChain
from tests.fixtures.truth import differences
from tests.fixtures.truth_expected import Covered, TrueChain, TrueContract, expected_events
from tests.simulation.views import Archive

Json = Any


#: Notes every move of the cursor in the database itself: where to, and who moved it in whose turn.
WITNESS = """
    create table public.witness (
        id bigserial primary key, number bigint, hash bytea, writer text, epoch bigint
    );
    create function public.testify() returns trigger language plpgsql as $$
    begin
        insert into public.witness (number, hash, writer, epoch)
        select new.number, new.hash, current_setting('application_name'), epoch from indexer.chain;
        return null;
    end $$;
    create trigger testify after update on indexer.cursor
        for each row when (old.hash is distinct from new.hash) execute function public.testify();
"""
TWICE = """
    select contract, block_number, log_index from indexer.event
    group by contract, block_number, log_index having count(*) > 1
"""
REORGS = """
    select id, fork_number, fork_hash, depth, old_head_number, old_head_hash, new_head_number, new_head_hash,
        rows_removed, rows_added
    from indexer.reorg order by id
"""
ORPHANS = "select * from indexer.orphaned_event"


@dataclass(frozen=True, slots=True)
class Judge:
    """Knows the chain with all its branches, and what of it is wanted."""

    chain: FakeChain
    archive: Archive
    #: Of what happened before a contract was added nobody has to know.
    contracts: Sequence[TrueContract]
    latecomers: frozenset[str]
    transactions: str
    #: Whether orphans are certain: where the chain breaks its finality, it depends on the backfill.
    orphans: bool

    async def claims(self, connection: Any) -> list[str]:
        """What the database claims to hold and the branch of its cursor does not, as of one moment."""
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            cursor = await connection.fetchval("select hash from indexer.cursor")
            if cursor is not None and cursor not in self.chain.by_hash:
                return [f"the cursor's block 0x{cursor.hex()} never was on any branch"]
            branch = self._down(self.chain.by_hash[cursor] if cursor else self.chain.head)
            return await self._compared(connection, branch, complete=False)

    async def all(self, connection: Any) -> list[str]:
        """Every difference between the chain and the database, which must hold all of it."""
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            found = await self._compared(connection, self.chain.blocks, complete=True)
            return found + await self._history(connection)

    async def _compared(self, connection: Any, blocks: Sequence[FakeBlock], *, complete: bool) -> list[str]:
        found = [f"stored twice: {tuple(row)}" for row in await connection.fetch(TWICE)]
        return found + await differences(
            connection,
            self.true_chain(blocks),
            self.contracts,
            complete=complete,
            transactions=self.transactions == "all",
        )

    def true_chain(self, blocks: Sequence[FakeBlock]) -> TrueChain:
        """The blocks as a node tells them, from the genesis block on."""
        watched = {"0x" + address.hex() for each in self.contracts for address in each.addresses}
        return TrueChain(
            self.chain.chain_id,
            [self.archive.block(block) for block in blocks],
            [self.archive.receipts(block) for block in blocks],
            [log for block in blocks for log in self.archive.logs(block) if log["address"] in watched],
        )

    async def _history(self, connection: Any) -> list[str]:
        """What is wrong with the journal of reorgs, the events it kept, and the order of writers."""
        if not await connection.fetchval("select to_regclass('public.witness') is not null"):
            return []
        moves = await connection.fetch("select number, hash, writer, epoch from public.witness order by id")
        found = [
            f"{row['writer']} moved the cursor to {row['number']} in the turn of epoch {row['epoch']}"
            for row in moves
            if row["writer"] != f"indexer writer {row['epoch']}"
        ]
        epochs = [row["epoch"] for row in moves]
        if epochs != sorted(epochs):
            found.append(f"writers took turns: {epochs}")
        journal = [dict(row) for row in await connection.fetch(REORGS)]
        expected = self._reorgs([row["hash"] for row in moves if row["hash"] is not None])
        told = [{key: row[key] for key in each} for row, each in zip(journal, expected, strict=False)]
        if len(journal) != len(expected) or told != expected:
            found.append(
                f"journal of reorgs: {_short(told)} and {len(journal)} in all, true: {_short(expected)}"
            )
        elif self.orphans:
            found += await self._orphans(connection, journal)
        return found

    def _reorgs(self, hashes: Sequence[bytes]) -> list[dict[str, Json]]:
        """The reorgs that a cursor which moved over these blocks has seen."""
        blocks = [self.chain.by_hash[each] for each in hashes]
        found = []
        for old, new in pairwise(blocks):
            fork = self._common(old, new)
            if fork is not old:
                found.append({
                    "fork_number": fork.number,
                    "fork_hash": fork.hash,
                    "depth": old.number - fork.number,
                    "old_head_number": old.number,
                    "old_head_hash": old.hash,
                    "new_head_number": new.number,
                    "new_head_hash": new.hash,
                })  # fmt: skip
        return found

    async def _orphans(self, connection: Any, journal: Sequence[dict[str, Json]]) -> list[str]:
        """What is wrong with the events that reorgs removed."""
        found = []
        kept: dict[int, dict[tuple[str, int, int], Json]] = {row["id"]: {} for row in journal}
        for row in await connection.fetch(ORPHANS):
            key = (row["contract"], row["block_number"], row["log_index"])
            kept[row["reorg_id"]][key] = (row["event"], row["block_hash"], json.loads(row["args"]))
        for row in journal:
            removed = self._events(row["old_head_hash"], row["fork_number"])
            added = self._events(row["new_head_hash"], row["fork_number"])
            ours = kept[row["id"]]
            sure = {key: event for key, event in removed.items() if key[0] not in self.latecomers}
            wrong = [key for key, event in ours.items() if removed.get(key) != event]
            lost = sure.keys() - ours.keys()
            if wrong or lost:
                found.append(f"reorg {row['id']}: orphans wrong {wrong[:4]}, lost {sorted(lost)[:4]}")
            if row["rows_removed"] != len(ours):
                found.append(f"reorg {row['id']}: {row['rows_removed']} rows removed, {len(ours)} kept")
            if not self.latecomers and row["rows_added"] != len(added):
                found.append(f"reorg {row['id']}: {row['rows_added']} rows added, true is {len(added)}")
        return found

    def _events(self, head: bytes, fork: int) -> dict[tuple[str, int, int], Json]:
        """The events of a branch above the fork."""
        branch = self._down(self.chain.by_hash[head])
        everything = frozenset(range(len(branch)))
        sources = [
            Covered(each.name, address, event.signature, event.topic_count, everything, 0, True)
            for each in self.contracts
            for address in each.addresses
            for event in each.events
        ]
        chain = self.true_chain(branch)
        above = [log for log in chain.logs if int(log["blockNumber"], 16) > fork]
        part = TrueChain(chain.chain_id, chain.blocks, chain.receipts, above)
        events, _ = expected_events(part, self.contracts, sources)
        return {
            key: (row["event"], bytes.fromhex(row["block_hash"][2:]), row["args"])
            for key, row in events.items()
        }

    def _down(self, block: FakeBlock) -> list[FakeBlock]:
        """The branch that ends with the block, from the genesis block on."""
        branch = [block]
        while branch[-1].number:
            branch.append(self.chain.by_hash[branch[-1].parent_hash])
        return branch[::-1]

    def _common(self, one: FakeBlock, other: FakeBlock) -> FakeBlock:
        while one is not other:
            if one.number >= other.number:
                one = self.chain.by_hash[one.parent_hash]
            else:
                other = self.chain.by_hash[other.parent_hash]
        return one


def _short(reorgs: Sequence[dict[str, Json]]) -> str:
    return "; ".join(
        f"{each['old_head_number']}→{each['fork_number']}→{each['new_head_number']}" for each in reorgs
    )
