"""`python -m bench backfill`: the whole program; `workers`: by several processes; `growth`: as the table grows;
`stages`: its steps; `bloom`, `proof`: what proofs cost; `remote`, `sparse`: how well a node's limits are used;
`naive`: against a plain loop; `tail`, `memory`: how late and how large the indexer is; `scrape`, `logs`: what
`/metrics` and its own log cost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from bench.remotecommands import add_remote, run_remote


async def _serve(options: argparse.Namespace) -> None:
    from bench.chain import make_chain
    from bench.heavy import make_heavy_chain
    from bench.node import serve
    from bench.sparse import make_sparse_chain

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        if options.data_bytes:
            chain = make_heavy_chain(options.logs, options.data_bytes)
        else:
            chain = make_sparse_chain(options.logs) if options.sparse else make_chain(options.logs)
        await serve(chain, options.most_logs)


def _add_following(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of the measurements of a process that follows."""
    tail = commands.add_parser("tail", help="from the announcement of a block to its committed rows")
    tail.add_argument("--seconds", type=float, default=60.0, help="of each run, warm-up not included")
    tail.add_argument("--block-seconds", type=float, action="append", help="default: 1, and 0.2")
    tail.add_argument("--polling", type=float, metavar="SECONDS", help="poll so often; else by WebSocket")
    tail.add_argument("--reorg-every", type=int, default=0, metavar="BLOCKS")
    tail.add_argument("--runs", type=int, default=5)
    tail.add_argument("--json", action="store_true")
    memory = commands.add_parser(
        "memory", help="the most memory that the indexer holds, and whether it grows"
    )
    memory.add_argument("--logs", type=int, default=1_000_000, help="of the backfills")
    memory.add_argument("--answer-megabytes", type=int, default=100, help="of the largest answers")
    memory.add_argument("--block-logs", type=int, default=50_000, help="in one followed block")
    memory.add_argument("--minutes", type=float, default=1.0, help="of following five blocks a second")
    memory.add_argument("--only", action="append", metavar="CASE", help="default: all of them")
    memory.add_argument("--runs", type=int, default=5)
    memory.add_argument("--json", action="store_true")


def _add_scrape(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    scrape = commands.add_parser("scrape", help="what a scrape of /metrics costs, in CPU and wall time")
    scrape.add_argument("--contracts", type=int, default=100)
    scrape.add_argument("--events", type=int, default=20, help="of each contract")
    scrape.add_argument("--scrapes", type=int, default=200)
    scrape.add_argument("--json", action="store_true")


def _measure_tail(options: argparse.Namespace) -> None:
    from bench.tail import Mode, report, run_all

    seconds = options.block_seconds or (1.0, 0.2)
    modes = [Mode(each, options.polling, options.reorg_every) for each in seconds]
    report(asyncio.run(run_all(modes, options.seconds, options.runs)), as_json=options.json)


def _measure_memory(options: argparse.Namespace) -> None:
    from bench.memory import Sizes, report, run_all

    sizes = Sizes(options.logs, options.answer_megabytes, options.block_logs, options.minutes)
    report(asyncio.run(run_all(sizes, options.runs, options.only)), as_json=options.json)


def _add_logs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    logs = commands.add_parser("logs", help="what log lines cost with Logstash there, silent and gone")
    logs.add_argument("--lines", type=int, default=10_000_000, help="of each flood; 0: none")
    logs.add_argument("--logs", type=int, default=1_000_000, help="of each backfill; 0: floods only")
    logs.add_argument("--per-second", type=float, default=5_000.0, help="lines beside a backfill")
    logs.add_argument("--runs", type=int, default=5, help="backfills of each kind")
    logs.add_argument(
        "--modes", nargs="+", choices=("none", "gone", "silent", "there"), help="of Logstash; default: all"
    )
    logs.add_argument("--json", action="store_true")
    # Without help it is not listed: `logs` starts it.
    pressed = commands.add_parser("pressed")
    pressed.add_argument("what", choices=("flood", "backfill", "reader"))
    pressed.add_argument("--port", type=int)
    pressed.add_argument("--lines", type=int)
    pressed.add_argument("--per-second", type=float)
    pressed.add_argument("--config", type=Path)
    pressed.add_argument("--last", type=int)


def _measure_logs(options: argparse.Namespace) -> None:
    from bench.logs import MODES, Sizes, read_for_ever, report, run_all
    from bench.pressed import press, press_backfill

    if options.command == "logs":
        sizes = Sizes(
            options.lines,
            options.logs,
            options.per_second,
            options.runs,
            tuple(options.modes or MODES),
        )
        report(asyncio.run(run_all(sizes)), as_json=options.json)
    elif options.what == "reader":
        read_for_ever()
    elif options.what == "flood":
        press(options.port, options.lines)
    else:
        press_backfill(options.port, options.per_second, options.config, options.last)


def main() -> None:
    """Run the measurement that the arguments name."""
    # Long, because each measurement is declared and started here.
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    backfill = commands.add_parser("backfill", help="a backfill from end to end, and COPY alone beside it")
    backfill.add_argument("--logs", type=int, default=1_000_000)
    backfill.add_argument("--runs", type=int, default=5)
    backfill.add_argument("--json", action="store_true")
    workers = commands.add_parser("workers", help="the same backfill by 1, 2, 3 … processes in turn")
    workers.add_argument("--logs", type=int, default=1_000_000)
    workers.add_argument("--runs", type=int, default=5)
    workers.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3], metavar="N")
    workers.add_argument("--json", action="store_true")
    growth = commands.add_parser("growth", help="backfill and head with few rows in the table and with many")
    growth.add_argument("--few", type=int, default=1_000_000)
    growth.add_argument("--rows", type=int, default=20_000_000)
    growth.add_argument("--logs", type=int, default=200_000, help="events that each round backfills")
    growth.add_argument("--runs", type=int, default=5)
    growth.add_argument("--json", action="store_true")
    stages = commands.add_parser("stages", help="parsing, checking and encoding, in one process")
    stages.add_argument("--logs", type=int, default=10_000)
    stages.add_argument("--runs", type=int, default=30)
    stages.add_argument("--json", action="store_true")
    bloom = commands.add_parser(
        "bloom", help="a backfill that reads every header, with and without the proof"
    )
    bloom.add_argument("--logs", type=int, default=50_000)
    bloom.add_argument("--runs", type=int, default=7)
    bloom.add_argument("--json", action="store_true")
    proof = commands.add_parser("proof", help="proving a followed block by its receipts, in one process")
    proof.add_argument("--receipts", type=int, default=200)
    proof.add_argument("--runs", type=int, default=50)
    proof.add_argument("--json", action="store_true")
    add_remote(commands)
    node = commands.add_parser("node", help="only the node that answers from memory")
    node.add_argument("--logs", type=int, default=1_000_000)
    node.add_argument(
        "--sparse", action="store_true", help="about five logs in each block, and honest headers"
    )
    node.add_argument("--data-bytes", type=int, default=0, help="logs with so many bytes of data instead")
    node.add_argument("--most-logs", type=int, default=20_000, help="in one answer")
    _add_following(commands)
    _add_scrape(commands)
    _add_logs(commands)
    options = parser.parse_args()
    if options.command == "backfill":
        from bench.backfill import report, run_all

        report(asyncio.run(run_all(options.logs, options.runs)), as_json=options.json)
    elif options.command == "workers":
        from bench.workers import report as report_workers
        from bench.workers import run_all as run_workers

        runs = asyncio.run(run_workers(options.logs, options.runs, options.workers))
        report_workers(runs, as_json=options.json)
    elif options.command == "growth":
        from bench.growth import report as report_growth
        from bench.growth import run_all as run_growth

        grown = asyncio.run(run_growth(options.few, options.rows, options.logs, options.runs))
        report_growth(grown, as_json=options.json)
    elif options.command == "stages":
        from bench.stages import report as report_stages

        report_stages(options.logs, options.runs, as_json=options.json)
    elif options.command == "bloom":
        from bench.bloom import report as report_bloom
        from bench.bloom import run_all as run_bloom

        report_bloom(asyncio.run(run_bloom(options.logs, options.runs)), as_json=options.json)
    elif options.command == "proof":
        from bench.proof import report as report_proof

        report_proof(options.receipts, options.runs, as_json=options.json)
    elif options.command in {"remote", "sparse", "naive"}:
        run_remote(options)
    elif options.command == "scrape":
        from bench.scrape import report as report_scrapes

        report_scrapes(options.contracts, options.events, options.scrapes, as_json=options.json)
    elif options.command == "tail":
        _measure_tail(options)
    elif options.command == "memory":
        _measure_memory(options)
    elif options.command in {"logs", "pressed"}:
        _measure_logs(options)
    else:
        asyncio.run(_serve(options))


main()
