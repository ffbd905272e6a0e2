"""A seed from beginning to end: bad weather, then clear weather, then the verdict."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fixtures.postgres import fresh_database
from tests.simulation import acts
from tests.simulation.forked import ForkServer
from tests.simulation.plan import Plan
from tests.simulation.world import LATECOMER, PATIENCE_SECONDS, World, WrongError, world

#: What `indexer audit` ends with when it could not compare everything.
CANNOT_TELL = 2
#: A seed that takes longer is a failure; the slowest take a tenth of it.
LONGEST_SECONDS = 240.0
#: How long at most the first start is left alone.
LONGEST_START_SECONDS = 4.0
#: Of the journal of each process, in a failure's report.
SHOWN_LINES = 400
SHOWN_CHARACTERS = 400  # of a difference


@dataclass(slots=True)
class Verdict:
    """What came of a seed."""

    seed: int
    seconds: float
    #: Empty: the database is what the chain is.
    wrong: str
    happened: Counter[str]
    #: The plan, and what the program said; kept of failures only.
    report: str = ""


@dataclass(slots=True)
class _Told:
    """What is known of a world when it has ended."""

    happened: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)


async def simulate(
    seed: int, forks: ForkServer, server: str, template: str, patience: float = PATIENCE_SECONDS
) -> Verdict:
    """Run a seed.

    Args:
        server: URL of a PostgreSQL server on which databases can be made.
        template: name of a database with our schema, and the judge's witness in it.
        patience: seconds that it may take to converge.
    """
    plan = Plan.of(seed)
    started = time.perf_counter()
    told = _Told()
    wrong = ""
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            await _live(plan, forks, server, template, patience, told)
    except (AssertionError, TimeoutError) as error:
        wrong = f"{type(error).__name__}: {error}" + (f" ({error.__cause__!r})" if error.__cause__ else "")
    report = "\n".join([str(plan), wrong, *told.said]) if wrong else ""
    return Verdict(seed, time.perf_counter() - started, wrong, told.happened, report)


async def _live(
    plan: Plan, forks: ForkServer, server: str, template: str, patience: float, told: _Told
) -> None:
    async with fresh_database(server, None if plan.empty_database else template) as database_url:
        with tempfile.TemporaryDirectory() as directory:
            async with world(plan, forks, Path(directory), database_url, patience) as made:
                try:
                    await _play(made)
                finally:
                    told.happened = made.happened
                    for program in made.said:
                        told.said += [f"--- process {program.pid}", *program.lines[-SHOWN_LINES:]]


async def _play(made: World) -> None:
    plan = made.plan
    await made.start()
    if made.random.random() < 0.6:
        # Else all of it would fall on the start.
        await made.followed(LONGEST_START_SECONDS)
    names = list(plan.acts)
    if plan.breaks_finality:
        names.insert(made.random.randrange(len(names) + 1), "break_finality")
    for name in names:
        made.require_alive()
        made.acted.append(name)
        await acts.ALL[name](made)
        await made.requests(made.random.randrange(20), 0.3)
    await _converge(made)


async def _converge(made: World) -> None:
    """Clear weather: everything must come right, and be right."""
    made.clear()
    for program in made.programs:
        program.thaw()
    if not made.programs:
        await made.start()
    made.mine(2)
    if LATECOMER in made.contracts:
        # What was before it came is filled when it is final: by the tag, or where that was lost, by depth.
        made.mine(made.plan.settings.confirmations, sparse=True)
        made.chain.finalize(made.chain.head.number)
    made.finalize()
    await made.announce()
    await made.converged()
    await made.stop()
    if made.plan.lies_in_ranges:
        await _repair(made)
    elif made.plan.audited:
        await _audit(made)
    await _compare(made)
    made.require_alive()


async def _compare(made: World) -> None:
    async with made.onlooker() as connection:
        found = await made.judge.all(connection)
        made.happened["reorg journalled"] += await connection.fetchval("select count(*) from indexer.reorg")
        made.happened["event compared"] += await connection.fetchval("select count(*) from indexer.event")
    if found:
        more = f"\nand {len(found) - 12} more" if len(found) > 12 else ""
        raise WrongError(
            "the database is not what the chain is:\n"
            + "\n".join(line[:SHOWN_CHARACTERS] for line in found[:12])
            + more
        )


async def _audit(made: World) -> None:
    """An audit of what is right finds nothing; where it cannot tell, because a machine at work let it lose its
    session, it is asked again.
    """
    for _ in range(3):
        outcome = await made.command("audit", "--from-block", "0", "--against", "receipts", "--json")
        if outcome.code != CANNOT_TELL:
            break
    if outcome.code != 0:
        raise WrongError(f"the audit ended with {outcome.code}: {outcome.said[-2000:]}")
    made.happened["audit"] += 1


async def _repair(made: World) -> None:
    """What the node left out of ranges is missing, nothing else; an audit finds exactly that and puts it right.

    Of blocks of which it cannot tell it is asked again, as in `_audit`.
    """
    async with made.onlooker() as connection:
        found = await made.judge.all(connection)
    if worse := made.excused(found):
        raise WrongError(
            "more is wrong than what the node left out:\n"
            + "\n".join(line[:SHOWN_CHARACTERS] for line in worse[:12])
        )
    missing = made.missing(found)
    for endpoint in made.endpoints:
        endpoint.left_out = set()
    told: set[tuple[int, int, str]] = set()
    for _ in range(3):
        outcome = await made.command(
            "audit", "--from-block", "0", "--against", "receipts", "--repair", "--json"
        )
        if outcome.code not in {0, 1, CANNOT_TELL}:
            raise WrongError(f"the audit ended with {outcome.code}: {outcome.said[-2000:]}")
        report = json.loads(outcome.output)
        # A block is stored where it has rows, so with its only row it is missing, too.
        told |= {
            (each["block"], each["position"], each["kind"])
            for each in report["differences"]
            if each["part"] != "block"
        }
        if not report["unsure"]:
            break
    if outcome.code != (1 if report["differences"] else 0) or told != {
        (*each, "missing") for each in missing
    }:
        raise WrongError(f"the audit tells {sorted(told)}, missing is {sorted(missing)}: {outcome.output}")
    made.happened["log left out, found and repaired"] += len(missing)
