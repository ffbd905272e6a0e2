"""`python -m tests.simulation`: many seeds, or one again; exit code 1 when the database was not what the chain was."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from tests.simulation import run
from tests.simulation.bugs import BUGS
from tests.simulation.run import Tally
from tests.simulation.story import Verdict

REPORTS = Path(".indexer") / "simulation"
#: Between two lines of progress.
PROGRESS_SEEDS = 25


def main() -> int:
    """Run what the arguments ask for."""
    options = _options()
    # Told to end, it ends the server and whatever else it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.first is not None:
        seeds = range(options.first, options.first + options.seeds)
    else:
        seeds = range(1, options.seeds + 1)
    started = time.monotonic()
    told = Teller(started, len(seeds), options.bug)
    tally = asyncio.run(_run(options, seeds, told))
    seconds = time.monotonic() - started
    summary = {
        "first": seeds.start,
        "seeds": tally.seeds,
        "differences": len(tally.failed),
        "failed": sorted(each.seed for each in tally.failed),
        "seconds": round(seconds, 1),
        "hours": round(seconds / 3600, 2),
        "seconds_per_seed": round(tally.seconds / max(1, tally.seeds), 2),
        "happened": dict(sorted(tally.happened.items())),
    }
    sys.stdout.write(json.dumps(summary) + "\n")
    return 1 if tally.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, metavar="N", help="the first one (default: 1)")
    parser.add_argument(
        "--jobs",
        type=int,
        default=2 * (os.cpu_count() or 1),
        metavar="N",
        help="seeds at the same time: each waits more than it computes (default: %(default)s)",
    )
    parser.add_argument(
        "--bug", choices=sorted(BUGS), help="plant a mistake in the program, and stop when it shows"
    )
    parser.add_argument("--server", metavar="URL", help="a PostgreSQL server (default: one of our own)")
    return parser.parse_args()


async def _run(options: argparse.Namespace, seeds: range, told: Teller) -> Tally:
    async def with_server(url: str) -> Tally:
        return await run.run_seeds(
            seeds,
            url,
            jobs=min(options.jobs, len(seeds)),
            bug=options.bug,
            told=told,
            enough=(lambda tally: bool(tally.failed)) if options.bug else (lambda _: False),
        )

    if options.server:
        return await with_server(options.server)
    async with run.server() as url:
        return await with_server(url)


class Teller:
    """Shows progress, and each seed that failed with how to see it again."""

    def __init__(self, started: float, seeds: int, bug: str | None) -> None:
        self._started = started
        self._seeds = seeds
        self._bug = bug

    def __call__(self, verdict: Verdict, tally: Tally) -> None:
        if verdict.wrong:
            REPORTS.mkdir(parents=True, exist_ok=True)
            path = REPORTS / f"seed-{verdict.seed}.txt"
            path.write_text(verdict.report)
            planted = f" --bug {self._bug}" if self._bug else ""
            sys.stdout.write(
                f"seed {verdict.seed} FAILED after {verdict.seconds:.1f} s: {verdict.wrong}\n"
                f"  again: .venv/bin/python -m tests.simulation --first {verdict.seed} --seeds 1{planted}\n"
                f"  what the program said: {path}\n"
            )
        if tally.seeds % PROGRESS_SEEDS == 0:
            spent = time.monotonic() - self._started
            sys.stdout.write(
                f"{tally.seeds} of {self._seeds} seeds, {len(tally.failed)} failed, {spent:.0f} s, "
                f"{spent / tally.seeds:.2f} s a seed\n"
            )
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
