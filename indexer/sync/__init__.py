"""One block's journey: follow, backfill, reorg."""
