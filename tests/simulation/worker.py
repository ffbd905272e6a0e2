"""`python -m tests.simulation.worker SERVER TEMPLATE SPEED [BUG]`: runs the seeds it reads, one line each."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import fields

from tests.simulation.forked import fork_server
from tests.simulation.forkserver import die_with_parent
from tests.simulation.story import simulate
from tests.simulation.world import PATIENCE_SECONDS

#: With a mistake planted it may never converge, which shows the mistake as well.
IMPATIENT_SECONDS = 25.0


async def work(server: str, template: str, speed: float, bug: str | None) -> None:
    """Write a verdict as a line of JSON for every seed on standard input."""
    patience = IMPATIENT_SECONDS if bug else PATIENCE_SECONDS
    async with fork_server(speed, bug=bug) as forks:
        while line := await asyncio.to_thread(sys.stdin.readline):
            verdict = await simulate(int(line), forks, server, template, patience)
            told = {each.name: getattr(verdict, each.name) for each in fields(verdict)}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    die_with_parent()
    given = sys.argv[1:]
    asyncio.run(work(given[0], given[1], float(given[2]), given[3] if len(given) > 3 else None))
