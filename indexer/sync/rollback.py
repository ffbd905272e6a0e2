"""How far below finality the chain still agrees with what is stored; asked only where the policy is to go back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from indexer.core.model import BlockId, Header


async def newest_agreeing(
    stored_at_or_below: Callable[[int], Awaitable[BlockId | None]],
    header: Callable[[int], Awaitable[Header | None]],
    below: int,
) -> BlockId | None:
    """The newest stored block below a number that is part of the node's chain; None: there is none.

    Blocks are linked, so if a stored block is part of the chain, all older ones are: halving finds the last one
    with few questions, however far back it is.
    """
    agreeing: BlockId | None = None
    low, high = 0, below - 1
    while low <= high:
        middle = (low + high + 1) // 2
        stored = await stored_at_or_below(middle)
        if stored is None or stored.number < low:
            # Nothing is stored between them.
            low = middle + 1
            continue
        found = await header(stored.number)
        if found is not None and found.id == stored:
            agreeing, low = stored, middle + 1
        else:
            high = stored.number - 1
    return agreeing
