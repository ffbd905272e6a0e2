"""Show in the metrics whether the database takes our writes, how large it is, and what the newest audit found."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import NoReturn

from indexer.core.errors import Unavailable
from indexer.metrics import Metrics
from indexer.store.audits import last_audit
from indexer.store.database import Database
from indexer.store.reading import size_bytes

#: Audits are processes of their own, which tell us nothing: so often their journal is looked at.
LOOK_SECONDS = 5.0
#: The size is asked for in every so manyth look: the server has to ask the file system for each of its files.
LOOKS_PER_SIZE = 12


async def watch_database(database: Database, metrics: Metrics) -> NoReturn:
    """Look again and again; a database that does not answer is told of, and looked at again."""
    for look in count():
        try:
            await database.ping()
            if look % LOOKS_PER_SIZE == 0:
                metrics.database_size(await size_bytes(database))
            found = await last_audit(database)
        except Unavailable:
            metrics.database(False)
        else:
            metrics.database(True)
            if found is not None:
                metrics.audited(
                    found.finished_at.timestamp(),
                    found.result.differences,
                    found.result.unrepaired_blocks,
                    found.result.unsure_blocks,
                )
        await asyncio.sleep(LOOK_SECONDS)
    raise AssertionError("counting has no end")
