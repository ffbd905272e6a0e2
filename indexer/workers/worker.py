"""The process that works for another one: fills the portions it is given, and ends when the leader does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from indexer import journal, parts
from indexer.core.canonical import Window
from indexer.core.dealing import Portion
from indexer.core.errors import IndexerError, Unavailable
from indexer.core.redaction import Redactor
from indexer.metrics import Metrics
from indexer.rpc.node import Node
from indexer.store.catalog import read_chain
from indexer.store.database import Database
from indexer.store.deputy import Deputy
from indexer.store.reading import read_state
from indexer.store.sources import read_sources
from indexer.sync.backfill import Backfill, Wanted
from indexer.sync.branches import Branches
from indexer.sync.failedtransactions import FailedTransactions
from indexer.sync.tally import Tally
from indexer.sync.together import beside
from indexer.workers.channel import Begin, Channel, Fill, Filled, Ready, ToWorker, Wrote, to_leader, told
from indexer.workers.portion import fill_portion


async def work(descriptor: int, redact: Redactor) -> None:
    """Do what the process at the other end of this socket says, until it ends."""
    channel = await to_leader(socket.socket(fileno=descriptor))
    try:
        begin = await channel.receive()
        if isinstance(begin, Begin):
            settings = begin.settings
            for secret in settings.secrets():
                redact.add(secret)
            journal.setup(redact, style=settings.journal.format, level="warning", chain=settings.chain.label)
            await _until_it_ends(channel, begin, redact)
    finally:
        await channel.close()


async def _until_it_ends(channel: Channel[ToWorker], begin: Begin, redact: Redactor) -> None:
    """Work; what is under way is dropped as soon as the leader is gone."""
    portions: asyncio.Queue[Portion] = asyncio.Queue()

    async def fill_all() -> None:
        try:
            async with _filler(begin, redact) as (backfill, wanted):
                await channel.send(Ready())
                while True:
                    await _fill(channel, backfill, wanted, await portions.get())
        except IndexerError as error:
            await channel.send(told(error, redact(str(error))))
            # The leader has heard it, or is gone, when it lets go of us.
            await asyncio.get_running_loop().create_future()

    async def listen() -> None:
        while isinstance(message := await channel.receive(), Fill):
            portions.put_nowait(message.portion)

    await beside(listen(), fill_all())


async def _fill(channel: Channel[ToWorker], backfill: Backfill, wanted: Wanted, portion: Portion) -> None:
    """Fill one portion, and say so, and how far it is, in this order."""
    progress: asyncio.Queue[Wrote | None] = asyncio.Queue()

    async def tell() -> None:
        while (message := await progress.get()) is not None:
            await channel.send(message)

    telling = asyncio.ensure_future(tell())
    try:
        await fill_portion(
            backfill, wanted, portion, lambda done, rows: progress.put_nowait(Wrote(done, rows))
        )
    finally:
        progress.put_nowait(None)
        await telling
    await channel.send(Filled())


@asynccontextmanager
async def _filler(begin: Begin, redact: Redactor) -> AsyncIterator[tuple[Backfill, Wanted]]:
    """A backfill of what the database knows, on behalf of the leader."""
    settings, metrics = begin.settings, Metrics(begin.settings.chain.label)
    assert settings.database.url is not None
    async with parts.database(settings, settings.database.url) as store:
        identity = await read_chain(store)
        if identity is None:
            raise Unavailable("the database belongs to no chain yet")
        chain_id, genesis_hash = identity
        settings = replace(settings, chain=replace(settings.chain, id=chain_id))
        async with parts.node(settings, metrics, redact, genesis_hash=genesis_hash) as node:
            # What may be sent at once after a pause is the leader's, which has been at it for a while.
            node.share_rate(1.0)
            await _look_around(node, store, metrics)
            wanted = await _everything(store)
            yield (
                parts.backfill(
                    settings,
                    node,
                    Deputy(store, begin.epoch, begin.since, begin.reorg),
                    lambda: read_state(store),
                    wanted,
                    metrics,
                    Tally(wanted.sources, metrics),
                    FailedTransactions({each.address: each.contract for each in wanted.sources}),
                ),
                wanted,
            )


async def _look_around(node: Node, store: Database, metrics: Metrics) -> None:
    """Find out which of several endpoints are on another chain than ours, as the leader did for itself."""
    state, branches = await read_state(store), Branches(node, metrics)
    if state.cursor is not None and branches.are_several:
        await branches.look_around(Window(state.window))


async def _everything(store: Database) -> Wanted:
    """All active sources as the database has them: the leader has registered them just now."""
    async with store.connection() as connection:
        active = [source for source in await read_sources(connection) if source.active]
    transactions = {source.address: source for source in active if source.table is None}
    return Wanted(
        tuple(source.as_source() for source in active if source.table is not None),
        {address: source.id for address, source in transactions.items()},
        {source.id: source.start_block for source in transactions.values()},
    )
