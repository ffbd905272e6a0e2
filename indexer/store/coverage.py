"""Which blocks are in the database, per source; every function runs inside its caller's transaction.

A source's covered blocks are `backfilled` and, on top, the tail `followed_from..cursor`. Following a block
therefore moves one cursor and not every source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from indexer.core.errors import Inconsistent
from indexer.core.model import Span
from indexer.store.database import Connection
from indexer.store.rows import lock_sources

#: Locks the rows in one order for everybody, and tells of each what stands against the claim.
LOOK_BEFORE_CLAIM = """
    select id, contract, coalesce(event, 'transactions') as event, active, followed_from,
        backfilled * int8multirange(int8range($2, $3, '[]')) as covered
    from indexer.source where id = any($1::bigint[]) order by id for no key update
"""
CLAIM = """
    update indexer.source set
        backfilled = backfilled + int8multirange(int8range($3, $4, '[]')),
        rows = rows + given.more
    from unnest($1::bigint[], $2::bigint[]) as given (id, more)
    where source.id = given.id
"""
ALL_SOURCES = "select id from indexer.source"
COVERED_FROM = """
    select id, contract, event, upper(backfilled) - 1 as last
    from indexer.source where active and upper(backfilled) > $1 order by id limit 1
"""
#: What was followed becomes covered for good; $1 is the cursor, null when there was none.
CLOSE_TAILS = """
    update indexer.source set
        backfilled = backfilled + case
            when followed_from <= $1 then int8multirange(int8range(followed_from, $1, '[]'))
            else int8multirange()
        end,
        followed_from = null
    where id = any($2::bigint[]) and followed_from is not null
"""
START_TAILS = "update indexer.source set followed_from = $1 where id = any($2::bigint[]) and active"
#: Blocks from $1 on are covered no longer, unless by the tail, which then begins there. A source without a tail
#: gets none: `least` alone would pass over its null, and blocks that nobody read for it would count as followed.
FORGET_FROM = """
    update indexer.source set
        backfilled = backfilled - int8multirange(int8range($1, null)),
        followed_from = case when followed_from is not null then least(followed_from, $1) end
    where upper(backfilled) > $1 or followed_from > $1
"""


async def claim(
    connection: Connection, span: Span, source_ids: Sequence[int], counts: Mapping[int, int]
) -> None:
    """Count the blocks as covered for all these sources, and add their rows to the counters.

    Raises:
        Inconsistent: one of them covers or follows one of the blocks already, or is unknown or inactive.
    """
    ids = sorted(set(source_ids))
    found = await connection.fetch(LOOK_BEFORE_CLAIM, ids, span.first, span.last)
    if len(found) != len(ids) or not all(row["active"] for row in found):
        raise Inconsistent(f"of the sources {ids} some are unknown or not active")
    for row in found:
        what = f"{row['contract']}.{row['event']}"
        if row["covered"]:
            first = row["covered"][0]
            raise Inconsistent(f"{what} has blocks {first.lower}..{first.upper - 1} of {span} already")
        if row["followed_from"] is not None and row["followed_from"] <= span.last:
            raise Inconsistent(
                f"{what} is followed from block {row['followed_from']}, which is not above {span}"
            )
    more = [counts.get(each, 0) for each in ids]
    await connection.execute(CLAIM, ids, more, span.first, span.last)


async def start_tails(connection: Connection, cursor: int | None, first: int) -> None:
    """End all tails at the old cursor, and let every active source be followed from the given block on.

    Raises:
        Inconsistent: a source covers blocks from there on already.
    """
    ids = [row["id"] for row in await connection.fetch(ALL_SOURCES)]
    await lock_sources(connection, ids)
    await connection.execute(CLOSE_TAILS, cursor, ids)
    row = await connection.fetchrow(COVERED_FROM, first)
    if row is not None:
        what = f"{row['contract']}.{row['event'] or 'transactions'}"
        raise Inconsistent(f"the tail cannot start at block {first}: {what} is covered up to {row['last']}")
    await connection.execute(START_TAILS, first, ids)


async def forget_from(connection: Connection, first: int) -> None:
    """No longer count this block and those above it as covered; tails that began above it begin with it."""
    await lock_all(connection)
    await connection.execute(FORGET_FROM, first)


async def lock_all(connection: Connection) -> None:
    """Let nobody else claim or forget blocks until the transaction ends."""
    await lock_sources(connection, [row["id"] for row in await connection.fetch(ALL_SOURCES)])
