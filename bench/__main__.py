"""`python -m bench backfill`: the whole program; `python -m bench stages`: its steps one by one."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal


async def _serve(logs: int) -> None:
    from bench.node import serve

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serve(logs)


def main() -> None:
    """Run the measurement that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    backfill = commands.add_parser("backfill", help="a backfill from end to end, and COPY alone beside it")
    backfill.add_argument("--logs", type=int, default=1_000_000)
    backfill.add_argument("--runs", type=int, default=5)
    backfill.add_argument("--json", action="store_true")
    stages = commands.add_parser("stages", help="parsing, checking and encoding, in one process")
    stages.add_argument("--logs", type=int, default=10_000)
    stages.add_argument("--runs", type=int, default=30)
    stages.add_argument("--json", action="store_true")
    node = commands.add_parser("node", help="only the node that answers from memory")
    node.add_argument("--logs", type=int, default=1_000_000)
    options = parser.parse_args()
    if options.command == "backfill":
        from bench.backfill import report, run_all

        report(asyncio.run(run_all(options.logs, options.runs)), as_json=options.json)
    elif options.command == "stages":
        from bench.stages import report as report_stages

        report_stages(options.logs, options.runs, as_json=options.json)
    else:
        asyncio.run(_serve(options.logs))


main()
