"""`indexer dev`: a local chain with contracts and traffic, and the indexer on it."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from prometheus_client import CollectorRegistry

from indexer import app, journal
from indexer.core.errors import UserMistake
from indexer.core.redaction import Redactor
from indexer.dev.devchain import DevChain
from indexer.http.server import HttpServer
from indexer.metrics import Metrics
from indexer.settings import JournalSettings, Settings
from indexer.settings.reading import load_settings
from indexer.store.embedded import EmbeddedPostgres, running_url
from indexer.sync.together import together

#: How often the summary is brought up to date on a terminal, and printed elsewhere.
TERMINAL_SECONDS, LOG_SECONDS = 1.0, 10.0


async def run(options: argparse.Namespace, redact: Redactor) -> int:
    """Start everything and index until cancelled.

    Raises: UserMistake when it runs already in this directory, or a port is taken.
    """
    journal.setup(redact, level="warning")
    directory = Path.cwd() / ".indexer" / "dev"
    chain = DevChain(
        block_seconds=options.block_seconds,
        seed=options.seed,
        history_blocks=options.history,
        port=options.rpc_port,
    )
    async with _database(options.database, directory) as database_url, chain:
        settings = _settings(chain, database_url, options.http, directory)
        for secret in settings.secrets():
            redact.add(secret)
        out = sys.stdout

        def started(server: HttpServer, metrics: Metrics) -> None:
            out.write(_addresses(chain, server, database_url, settings))
            out.flush()
            ready.set_result(metrics)

        ready: asyncio.Future[Metrics] = asyncio.get_running_loop().create_future()
        making = [chain.traffic(options.rate)]
        if options.reorgs is not None:
            making.append(chain.reorgs(options.reorgs))
        await together(app.run(settings, redact, started=started), _summarise(ready, out), *making)
    return 0


@asynccontextmanager
async def _database(url: str | None, directory: Path) -> AsyncIterator[str]:
    """The given database, or a new embedded one: the chain is new each time, and a database holds one chain."""
    if url is not None:
        yield url
        return
    data = directory / "postgres"
    if running_url(data) is not None:
        raise UserMistake("`indexer dev` runs already in this directory; stop it first")
    await asyncio.to_thread(shutil.rmtree, data, ignore_errors=True)
    async with EmbeddedPostgres(data) as embedded_url:
        yield embedded_url


def _settings(chain: DevChain, database_url: str, listen: str, directory: Path) -> Settings:
    """The settings of the development chain, left as a file to be looked at and to run other commands with."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "indexer.toml"
    config.write_text(chain.config(database_url=database_url, listen=listen), encoding="utf-8")
    return replace(load_settings({}, config), journal=JournalSettings(level="warning"))


def _addresses(chain: DevChain, server: HttpServer, database_url: str, settings: Settings) -> str:
    return (
        f"chain      {chain.rpc_url}   {chain.ws_url}\n"
        f"metrics    {server.url}/metrics\n"
        f"health     {server.url}/health\n"
        f"database   psql '{database_url}'\n"
        f"status     indexer status --config {settings.path}\n"
        f"contracts  {', '.join(chain.contracts)}\n"
        "Ctrl-C stops all of it.\n\n"
    )


async def _summarise(ready: asyncio.Future[Metrics], out: TextIO) -> None:
    """Tell how it goes, in place on a terminal and now and then elsewhere."""
    metrics = await ready
    terminal = out.isatty()
    while True:
        line = summary(metrics)
        out.write(f"\r\x1b[K{line}" if terminal else f"{line}\n")
        out.flush()
        await asyncio.sleep(TERMINAL_SECONDS if terminal else LOG_SECONDS)


def summary(metrics: Metrics) -> str:
    """One line: where the chain and the indexer are."""
    seen, total = metrics.observed, _totals(metrics.registry)
    head = "–" if seen.head_number is None else str(seen.head_number)
    cursor = "–" if seen.cursor_number is None else str(seen.cursor_number)
    transactions = total("indexer_contract_tx_total")
    return (
        f"head {head} · indexed {cursor} · {total('indexer_events_total'):.0f} events · "
        f"{transactions:.0f} transactions, {total('indexer_contract_tx_failed_total'):.0f} failed · "
        f"{total('indexer_reorgs_total'):.0f} reorgs · {total('indexer_gap_blocks'):.0f} blocks × sources missing"
    )


def _totals(registry: CollectorRegistry) -> Callable[[str], float]:
    def total(name: str) -> float:
        return sum(
            sample.value for metric in registry.collect() for sample in metric.samples if sample.name == name
        )

    return total
