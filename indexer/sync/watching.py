"""Show in the metrics what other processes leave in the database: audits and backups; and whether it takes writes."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import NoReturn

from indexer.core.errors import Unavailable
from indexer.metrics import Metrics
from indexer.store.audits import FinishedAudit, last_audit
from indexer.store.backups import Backups, read_backups
from indexer.store.database import Database
from indexer.store.reading import size_bytes

#: Audits and backups are processes of their own, which tell us nothing: so often their journals are looked at.
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
            audit, backups = await last_audit(database), await read_backups(database)
        except Unavailable:
            metrics.database(False)
        else:
            metrics.database(True)
            _tell(metrics, audit, backups)
        await asyncio.sleep(LOOK_SECONDS)
    raise AssertionError("counting has no end")


def _tell(metrics: Metrics, audit: FinishedAudit | None, backups: Backups) -> None:
    if audit is not None:
        result = audit.result
        metrics.audited(
            audit.finished_at.timestamp(), result.differences, result.unrepaired_blocks, result.unsure_blocks
        )
    succeeded, verified = backups.succeeded_at, backups.verified_at
    metrics.backup(
        succeeded.timestamp() if succeeded else 0.0,
        backups.size_bytes or 0,
        backups.seconds or 0.0,
        verified.timestamp() if verified else 0.0,
    )
