"""The commands: arguments in, exit code out.

Exit codes: 0 done · 1 done, and something is wrong (`check`, `audit`, `digest --compare`, `alerts test`) ·
2 the user's mistake, with one clear message, or what was asked cannot be told · 70 a person must look ·
75 try again later · 130 interrupted · 143 terminated before it was done (`run` and `dev` are never done:
for them that is 0).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

from indexer import __version__, alerting, journal, proving, sentry
from indexer.arguments import (
    Command,
    add_command,
    add_contracts,
    add_json,
    block_number,
    count,
    port,
    positive,
    sentry_of,
    settings_of,
)
from indexer.core.errors import IndexerError
from indexer.core.redaction import Redactor
from indexer.shipping import stop_shipping

log = journal.get(__name__)

#: What a shell reports for a program ended by SIGINT.
INTERRUPTED = 130
#: What a shell reports for a program ended by SIGTERM.
TERMINATED = 143
#: EX_SOFTWARE: a person must look, be it foreseen or not.
UNFORESEEN = 70


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; the process's exit code."""
    options = parser().parse_args(arguments)
    command: Command = options.command
    redact = Redactor()
    journal.setup(redact, style=os.environ.get("INDEXER_JOURNAL", "auto"))
    try:
        if command in {run_command, backfill_command, dev_command}:
            sentry.start(sentry_of(redact), redact)
        with asyncio.Runner() as runner:
            endless = command in {run_command, dev_command}
            return runner.run(_until_told_to_stop(command(options, redact), 0 if endless else TERMINATED))
    except KeyboardInterrupt:
        return INTERRUPTED
    except IndexerError as error:
        if error.exit_code == UNFORESEEN:
            sentry.fatal(error)
        print(f"indexer: {redact(str(error))}", file=sys.stderr)
        return error.exit_code
    except Exception:
        log.critical("unforeseen error", exc_info=True)
        print(
            "indexer: an error that was not foreseen, see the journal above; please report it",
            file=sys.stderr,
        )
        return UNFORESEEN
    finally:
        sentry.stop()
        # Last of all: how it ended is what one wants to know most.
        stop_shipping()


async def _until_told_to_stop(work: Coroutine[Any, Any, int], stopped: int) -> int:
    """The work's exit code; SIGTERM cancels the work, and then it is the given one."""
    told = False
    task = asyncio.ensure_future(work)

    def stop() -> None:
        nonlocal told
        told = True
        task.cancel()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if not told:
            raise
        log.info("stopped")
        return stopped
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        if told:
            # Told a second time on its last steps, it still ends with the exit code of what it did.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not task.done():
            # SIGINT cancelled us and not the task.
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    root = argparse.ArgumentParser(
        prog="indexer",
        description="Index the events of your contracts into PostgreSQL, provably complete and exactly once.",
        epilog="Settings come from indexer.toml and the environment (RPC_URL, DATABASE_URL, INDEXER_HTTP; each also "
        "as NAME_FILE). See docs/configuration.md.",
    )
    root.add_argument("--version", action="version", version=f"indexer {__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = add_command(commands, "run", "index for as long as it runs", run_command)
    run.description = (
        "Migrate, follow the head, backfill the gaps, serve /metrics and /health. Stops on SIGTERM."
    )

    _backfill(commands)

    status = add_command(commands, "status", "how far the database is", status_command)
    status.description = (
        "Head, cursor, finality, lag, coverage and gaps per source, last reorg. Reads the database and the node; "
        "works beside `indexer run` and without it."
    )
    add_json(status)

    check = add_command(commands, "check", "look for what would keep the indexer from working", check_command)
    check.description = (
        "Configuration, node (chain id, finality, receipts, limits) and database (rights, schema): every finding with "
        "its remedy. Exit code 0: fine, 1: something must be mended, 2: the configuration cannot be read."
    )
    check.add_argument(
        "--sentry", action="store_true", help="also send a test error to SENTRY_DSN, and wait for the answer"
    )
    add_json(check)

    schema = add_command(
        commands, "schema", "print the SQL of the configured contracts' tables", schema_command
    )
    schema.description = "Print the schema that `indexer migrate` applies, as SQL. Touches no database."
    migrate = add_command(commands, "migrate", "bring the database to this version's schema", migrate_command)
    migrate.description = (
        "Apply migrations and create the configured contracts' tables. `indexer run` does it too."
    )

    proving.add_commands(commands)
    alerting.add_commands(commands)
    _dev(commands)
    return root


def _backfill(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    backfill = add_command(commands, "backfill", "fill a range of blocks once", backfill_command)
    backfill.description = (
        "Fetch what is missing between two final blocks. "
        "Exit code 0 only when every block asked for is stored."
    )
    backfill.add_argument(
        "--from-block", type=block_number, required=True, metavar="N", help="first block, inclusive"
    )
    backfill.add_argument(
        "--to-block", type=block_number, metavar="M", help="last block, inclusive (default: the finalized)"
    )
    add_contracts(backfill)
    backfill.add_argument(
        "--workers",
        type=count,
        default=1,
        metavar="N",
        help="processes that fetch, decode and write, this one included; others are started only when there is "
        "work for them (default: %(default)s, no other process). How many ranges each of them has in flight is "
        "backfill.parallel",
    )
    add_json(backfill)
    # Without help it is not listed: only `backfill` itself can talk to it.
    worker = commands.add_parser("backfill-worker")
    worker.set_defaults(command=backfill_worker_command)
    worker.add_argument("--channel", type=int, required=True)


def _dev(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    dev = commands.add_parser(
        "dev",
        help="a local chain with contracts and traffic, and the indexer on it",
        description="Start Anvil, deploy sample contracts, make traffic, and index all of it into an embedded "
        "PostgreSQL under .indexer/. This is what `make run` starts.",
    )
    dev.set_defaults(command=dev_command)
    dev.add_argument(
        "--http", default="127.0.0.1:9464", metavar="HOST:PORT", help="our endpoints (default: %(default)s)"
    )
    dev.add_argument(
        "--rpc-port",
        type=port,
        default=8545,
        metavar="PORT",
        help="Anvil's port (default: %(default)s, 0: free)",
    )
    dev.add_argument(
        "--block-seconds",
        type=positive,
        default=1.0,
        metavar="S",
        help="time between blocks (default: %(default)s)",
    )
    dev.add_argument(
        "--rate",
        type=positive,
        default=5.0,
        metavar="TX",
        help="transactions a second (default: %(default)s)",
    )
    dev.add_argument(
        "--history",
        type=block_number,
        default=200,
        metavar="N",
        help="blocks to make first (default: %(default)s)",
    )
    dev.add_argument("--reorgs", type=positive, metavar="S", help="make a reorg about every S seconds")
    dev.add_argument("--seed", type=int, default=1, help="of the traffic (default: %(default)s)")
    dev.add_argument(
        "--database", metavar="URL", help="use this database (default: embedded, started anew each time)"
    )


async def run_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Index until told to stop."""
    from indexer import app

    _collect_rarely()
    await app.run(settings_of(options, redact), redact)
    return 0


async def backfill_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Fill a range of blocks once."""
    from indexer import once

    _collect_rarely()
    contracts = frozenset(options.contract) if options.contract else None
    return await once.backfill(
        settings_of(options, redact),
        redact,
        options.from_block,
        options.to_block,
        contracts,
        processes=options.workers,
        as_json=options.json,
    )


async def backfill_worker_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Work for the backfill that started us."""
    from indexer.workers import worker

    _collect_rarely()
    await worker.work(options.channel, redact)
    return 0


async def status_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Show how far the database is."""
    from indexer import status

    return await status.show(settings_of(options, redact), redact, as_json=options.json)


async def check_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Look for what would keep the indexer from working."""
    from indexer import check

    return await check.show(
        settings_of(options, redact), redact, as_json=options.json, try_sentry=options.sentry
    )


async def schema_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Print the SQL of the configured contracts' tables."""
    from indexer import once

    return once.print_schema(settings_of(options, redact))


async def migrate_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Bring the database to this version's schema."""
    from indexer import once

    return await once.migrate_all(settings_of(options, redact), redact)


async def dev_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Run a local chain, and index it."""
    from indexer import develop

    return await develop.run(options, redact)


def _collect_rarely() -> None:
    """Keep the garbage collector from walking over what lives as long as the process.

    An answer with 20,000 logs makes as many objects, none of them in a cycle; looking at all of them every
    few hundred allocations took a third of the time of parsing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
