"""Fills a portion by the ordinary backfill, in whichever process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from indexer.core.dealing import Portion
from indexer.core.plan import missing
from indexer.sync.backfill import Backfill, Progress, Wanted

#: Is told how much more is committed: blocks times sources, and rows.
Told = Callable[[int, int], None]


async def fill_portion(backfill: Backfill, wanted: Wanted, portion: Portion, told: Told) -> None:
    """Write all blocks of the portion, and no other ones.

    Raises:
        Unavailable, Inconsistent, TooMuch: what was committed until then stays.
    """
    work = rows = 0

    def changed(progress: Progress) -> None:
        nonlocal work, rows
        told(progress.done - work, progress.rows - rows)
        work, rows = progress.done, progress.rows

    span, gaps = portion.span, portion.gaps
    # All that is not of the portion passes for covered.
    coverage = {each: tuple(missing(span, spans)) for each, spans in gaps.items()}
    state = replace(await backfill.state(), coverage=coverage)
    await backfill.fill(state, span, _only(wanted, frozenset(gaps)), Progress(changed))


def _only(wanted: Wanted, source_ids: frozenset[int]) -> Wanted:
    """The part of it that concerns these sources; where each begins was asked when the portion was made."""
    return Wanted(
        tuple(replace(source, start_block=0) for source in wanted.sources if source.id in source_ids),
        {address: each for address, each in wanted.transaction_sources.items() if each in source_ids},
        dict.fromkeys(source_ids, 0),
    )
