"""The commands that measure against nodes with limits, and against a plain loop."""

from __future__ import annotations

import argparse
import asyncio


def add_remote(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `remote`, `sparse` and `naive`."""
    remote = commands.add_parser("remote", help="a backfill from a node that is far away and has limits")
    remote.add_argument("--blocks", type=int, default=3_000)
    remote.add_argument("--share", type=float, default=0.7, help="part of the blocks that has logs")
    remote.add_argument("--most-logs", type=int, default=4, help="such a block has one log to so many")
    remote.add_argument("--timed-logs", action="store_true", help="logs tell the time of their block")
    remote.add_argument("--range-blocks", type=int, default=2_000)
    remote.add_argument("--answer-logs", type=int, default=10_000)
    remote.add_argument("--calls-per-second", type=int, default=25)
    remote.add_argument("--batch-calls", type=int, default=None)
    remote.add_argument("--counting", choices=("sliding", "fixed", "bucket"), default="sliding")
    remote.add_argument(
        "--errors-by-call", action="store_true", help="too many calls: errors instead of a 429"
    )
    remote.add_argument(
        "--rate",
        choices=("configured", "learned", "both"),
        default="both",
        help="in the configuration, or not",
    )
    _add_common(remote, latency_ms=50)
    sparse = commands.add_parser("sparse", help="requests for a long history with few logs")
    sparse.add_argument("--blocks", type=int, default=20_000_000)
    sparse.add_argument("--every", type=int, default=1_000, help="one log in so many blocks")
    sparse.add_argument("--range-blocks", type=int, default=10_000)
    sparse.add_argument("--timed-logs", action="store_true", help="logs tell the time of their block")
    _add_common(sparse, latency_ms=0)
    naive = commands.add_parser("naive", help="a plain web3.py and asyncpg loop beside the indexer")
    naive.add_argument("--logs", type=int, default=500_000)
    naive.add_argument("--naive-logs", type=int, default=5_000)
    naive.add_argument("--runs", type=int, default=5)
    naive.add_argument("--json", action="store_true")


def _add_common(command: argparse.ArgumentParser, *, latency_ms: float) -> None:
    command.add_argument("--latency-ms", type=float, default=latency_ms)
    command.add_argument("--runs", type=int, default=5)
    command.add_argument("--json", action="store_true")


def run_remote(options: argparse.Namespace) -> None:
    """Run one of them."""
    if options.command == "naive":
        from bench.naive import report as report_naive
        from bench.naive import run_all as run_naive

        runs = asyncio.run(run_naive(options.logs, options.naive_logs, options.runs))
        report_naive(runs, as_json=options.json)
    elif options.command == "remote":
        _remote(options)
    else:
        _sparse(options)


def _remote(options: argparse.Namespace) -> None:
    from bench.invented import InventedChain
    from bench.limits import Limits
    from bench.remote import report, run_all

    chain = InventedChain(
        options.blocks - 1,
        share=options.share,
        most_logs=options.most_logs,
        timed_logs=options.timed_logs,
    )
    limits = Limits(
        options.latency_ms / 1e3,
        options.range_blocks,
        options.answer_logs,
        options.calls_per_second,
        options.counting,
        options.batch_calls,
        by_status=not options.errors_by_call,
    )
    ways = {"configured": [True], "learned": [False], "both": [True, False]}[options.rate]
    report(asyncio.run(run_all(chain, limits, options.runs, configured=ways)), limits, as_json=options.json)


def _sparse(options: argparse.Namespace) -> None:
    from bench.invented import InventedChain
    from bench.limits import Limits
    from bench.remote import run_all
    from bench.sparsehistory import report

    chain = InventedChain(options.blocks - 1, every=options.every, timed_logs=options.timed_logs)
    limits = Limits(
        latency_seconds=options.latency_ms / 1e3, range_blocks=options.range_blocks, calls_per_second=None
    )
    report(asyncio.run(run_all(chain, limits, options.runs, configured=[False])), as_json=options.json)
