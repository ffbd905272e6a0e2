"""`python -m bench backfill`: the whole program; `stages`: its steps; `bloom`, `proof`: what proofs cost;
`remote`, `sparse`: how well a node's limits are used; `naive`: against a plain loop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal

from bench.remotecommands import add_remote, run_remote


async def _serve(logs: int, *, sparse: bool) -> None:
    from bench.chain import make_chain
    from bench.node import serve
    from bench.sparse import make_sparse_chain

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serve(make_sparse_chain(logs) if sparse else make_chain(logs))


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
    options = parser.parse_args()
    if options.command == "backfill":
        from bench.backfill import report, run_all

        report(asyncio.run(run_all(options.logs, options.runs)), as_json=options.json)
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
    else:
        asyncio.run(_serve(options.logs, sparse=options.sparse))


main()
