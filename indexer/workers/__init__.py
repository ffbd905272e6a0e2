"""A backfill by several processes: one leads and deals out the blocks, all of them fetch, decode and write."""
