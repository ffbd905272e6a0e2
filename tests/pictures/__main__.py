"""`python -m tests.pictures`: runs the whole stack for some minutes and draws every dashboard into docs/images."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from indexer.store.database import open_database
from indexer.store.embedded import EmbeddedPostgres
from indexer.store.migrations import migrate
from tests.fixtures.asked import boards
from tests.fixtures.debian import TOOLS, Parts
from tests.fixtures.watched import watched
from tests.pictures.drawing import data, photograph

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def main() -> None:
    """Draw what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0, help="of the stack's life that are drawn")
    parser.add_argument("--reorg-every", type=float, default=40.0, help="seconds between reorgs, on average")
    parser.add_argument("--images", type=Path, default=IMAGES)
    options = parser.parse_args()
    options.images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_draw(Path(directory), options.images, options.seconds, options.reorg_every))


async def _draw(directory: Path, images: Path, seconds: float, reorg_every: float) -> None:
    parts = Parts("monitoring", TOOLS / "monitoring")
    async with EmbeddedPostgres(directory / "postgres", durable=False) as url:
        database = await open_database(url, max_connections=1)
        await migrate(database)
        await database.close()
        async with watched(parts, url, directory) as stack:
            reorgs = asyncio.create_task(stack.dev.reorgs(reorg_every))
            await asyncio.sleep(seconds)
            reorgs.cancel()
            end = time.time()
            told = {board["uid"]: await data(stack, board, end - seconds, end) for board in boards().values()}
    for uid, drawn in told.items():
        picture = images / f"dashboard-{uid.removeprefix('indexer-')}.png"
        await photograph(drawn, picture)
        print(picture)  # noqa: T201 - it is a command


if __name__ == "__main__":
    main()
