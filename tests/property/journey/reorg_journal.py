"""The database's journal of reorgs held against the blocks of every branch that ever was."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.fixtures.fakechain import FakeBlock, FakeChain
from tests.fixtures.fakenode import block_json, logs_json, receipts_json
from tests.fixtures.truth_expected import (
    Covered,
    Rows,
    TrueChain,
    TrueContract,
    expected_events,
    expected_transactions,
)

ENTRIES = "select * from indexer.reorg where id > $1 order by id"
ORPHANS = "select * from indexer.orphaned_event where reorg_id > $1"
#: What an orphaned event must have in common with the row that it was.
KEPT = ("event", "signature", "block_hash", "transaction_hash", "address", "args")


@dataclass(frozen=True, slots=True)
class Noticed:
    """A reorg that must be in the journal just so."""

    old_head: bytes
    fork: bytes
    new_head: bytes


@dataclass(slots=True)
class Totals:
    """Sums over the entries that were checked."""

    entries: int = 0
    depth: int = 0
    deepest: int = 0
    rows_removed: int = 0
    rows_added: int = 0


@dataclass(frozen=True, slots=True)
class _Content:
    """What blocks put into the database."""

    events: Rows
    undecoded: int
    transactions: int


class ReorgJournal:
    """Checks each entry once, in order.

    An entry is right when its fork is the newest block that both heads descend from, when it removed what the
    blocks of the old branch hold and added what those of the new one hold, and when its old head descends from
    the new head of the entry before: so no change of branch can be missing.
    """

    def __init__(self, chain: FakeChain) -> None:
        self._chain = chain
        self._last_id = 0
        self._at: FakeBlock = chain.blocks[0]
        self.totals = Totals()

    async def check(
        self,
        database_url: str,
        contracts: Sequence[TrueContract],
        partly_covered: frozenset[str],
        noticed: Sequence[Noticed],
    ) -> None:
        """Check the entries since the last time.

        Args:
            contracts: what was watched all the time since then.
            partly_covered: contracts of whose events some may not have been in the database.
            noticed: reorgs that must be among the entries, in this order.
        """
        connection = await asyncpg.connect(database_url)
        try:
            entries = await connection.fetch(ENTRIES, self._last_id)
            orphans: dict[int, list[asyncpg.Record]] = defaultdict(list)
            for row in await connection.fetch(ORPHANS, self._last_id):
                orphans[row["reorg_id"]].append(row)
            cursor = await connection.fetchval("select hash from indexer.cursor")
        finally:
            await connection.close()
        for entry in entries:
            self._check_entry(entry, orphans[entry["id"]], contracts, partly_covered)
        found = [Noticed(row["old_head_hash"], row["fork_hash"], row["new_head_hash"]) for row in entries]
        rest = iter(found)
        for each in noticed:
            assert each in rest, f"no entry for {self._told(each)}; there are {list(map(self._told, found))}"
        self._require_descent(self._chain.by_hash[cursor], "the cursor")

    def forget_lost_branches(self) -> None:
        """Let go of blocks that nobody will ask for: of the branches that lost."""
        self._chain.by_hash = {block.hash: block for block in self._chain.blocks}

    def _check_entry(
        self,
        entry: asyncpg.Record,
        orphans: Sequence[asyncpg.Record],
        contracts: Sequence[TrueContract],
        partly_covered: frozenset[str],
    ) -> None:
        old, new = (self._chain.by_hash[entry[each]] for each in ("old_head_hash", "new_head_hash"))
        self._require_descent(old, f"the old head of entry {entry['id']}")
        fork, old_branch, new_branch = self._parted(old, new)
        removed = _content(old_branch, contracts)
        added = _content(new_branch, [each for each in contracts if each.active])
        kept = _orphans(orphans)
        found: dict[str, object] = {
            "fork": (entry["fork_number"], entry["fork_hash"]),
            "depth": entry["depth"],
            "heads": (entry["old_head_number"], entry["new_head_number"]),
            "orphans": kept,
            "rows": (entry["rows_removed"], entry["rows_added"]),
            "transactions added": entry["transactions_added"],
        }
        true: dict[str, object] = {
            "fork": (fork.number, fork.hash),
            "depth": old.number - fork.number,
            "heads": (old.number, new.number),
            "orphans": {
                key: row for key, row in removed.events.items() if key in kept or key[0] not in partly_covered
            },
            "rows": (len(orphans), len(added.events)),
            "transactions added": added.transactions,
        }
        if not partly_covered:
            found["others removed"] = (entry["transactions_removed"], entry["undecoded_removed"])
            true["others removed"] = (removed.transactions, removed.undecoded)
        differing = [f"{key}: {found[key]!r}, not {true[key]!r}" for key in true if found[key] != true[key]]
        assert not differing, f"entry {entry['id']} of the journal: " + "; ".join(differing)
        self._at, self._last_id = new, entry["id"]
        totals = self.totals
        totals.entries += 1
        totals.depth += entry["depth"]
        totals.deepest = max(totals.deepest, entry["depth"])
        totals.rows_removed += entry["rows_removed"]
        totals.rows_added += entry["rows_added"]

    def _require_descent(self, block: FakeBlock, what: str) -> None:
        """Between two reorgs the cursor only goes up its own branch."""
        at = block
        while at.number > self._at.number:
            at = self._chain.by_hash[at.parent_hash]
        assert at.hash == self._at.hash, (
            f"{what}, block {block.number}, does not descend from block {self._at.number}, where the cursor was "
            "put by the last reorg that was journalled: one is missing"
        )

    def _parted(self, old: FakeBlock, new: FakeBlock) -> tuple[FakeBlock, list[FakeBlock], list[FakeBlock]]:
        """The newest block in common, and the blocks of either branch above it."""
        removed, added = [], []
        while old.hash != new.hash:
            if old.number >= new.number:
                removed.append(old)
                old = self._chain.by_hash[old.parent_hash]
            else:
                added.append(new)
                new = self._chain.by_hash[new.parent_hash]
        return old, removed, added

    def _told(self, reorg: Noticed) -> str:
        numbers = [self._chain.by_hash[each].number for each in (reorg.old_head, reorg.fork, reorg.new_head)]
        return f"{numbers[0]} to {numbers[2]} by way of {numbers[1]}"


def _content(blocks: Sequence[FakeBlock], contracts: Sequence[TrueContract]) -> _Content:
    """What the blocks of one branch put into the database when all contracts are covered."""
    here = frozenset(block.number for block in blocks)
    covered = [
        Covered(contract.name, address, event.signature, event.topic_count, here, 0, True)
        for contract in contracts
        for address in contract.addresses
        for event in contract.events
    ]
    covered += [
        Covered(contract.name, address, None, None, here, 0, True)
        for contract in contracts
        for address in contract.addresses
    ]
    shown = [block_json(block, full=True) for block in blocks]
    # The truth looks up blocks by their numbers: for a part of a chain a mapping serves it too.
    numbered: Any = dict(zip([block.number for block in blocks], shown, strict=True))
    logs = [log for block in blocks for log in logs_json(block)]
    events, undecoded = expected_events(TrueChain(0, numbered, [], logs), contracts, covered)
    whole = TrueChain(0, shown, [receipts_json(block) for block in blocks], [])
    transactions = expected_transactions(whole, contracts, covered)
    kept = {key: {each: row[each] for each in KEPT} for key, row in events.items()}
    return _Content(kept, len(undecoded), len(transactions))


def _orphans(rows: Sequence[asyncpg.Record]) -> Rows:
    found: Rows = {}
    for row in rows:
        texts = {key: "0x" + row[key].hex() for key in ("block_hash", "transaction_hash", "address")}
        key = (row["contract"], row["block_number"], row["log_index"])
        assert key not in found, f"the event {key} was kept twice"
        found[key] = {each: row[each] for each in KEPT} | texts | {"args": json.loads(row["args"])}
    return found
