"""The image that the Dockerfile makes, run as docker-compose.yml runs it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import aiohttp
import pytest

from indexer.dev.devchain import DevChain
from tests.fixtures.containers import ROOT, Container, ContainerFactory, ContainerTools
from tests.fixtures.program import Metrics, until, until_sql

#: Seconds that the program has to end by itself before it is killed; on a quiet machine it takes one or two.
STOP_SECONDS = 60


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def reached_over_tcp(database_url: str) -> AsyncIterator[str]:
    """The same database at a port of this machine: the server's own socket is for our user only."""
    parts = urlsplit(database_url)
    place = parse_qs(parts.query)
    if "host" not in place:
        yield database_url
        return
    socket_path = f"{place['host'][0]}/.s.PGSQL.{place['port'][0]}"

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(socket_path)
        await asyncio.gather(pass_on(reader, back), pass_on(there, writer))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}", query=""))


async def answer(url: str) -> tuple[int, str] | None:
    """Status and body of the page, or None as long as nobody answers."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()
    except aiohttp.ClientConnectionError:
        return None


def write_secret(path: Path, value: str) -> Path:
    """A file that user 10001 can read: in the container nobody else is."""
    path.write_text(value + "\n")
    path.chmod(0o444)
    return path


def assert_few_rights(container: Container) -> None:
    """Its process is nobody's, without capabilities, and cannot change the files that it runs from."""
    pid = container.inspect()["State"]["Pid"]
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapEff"], 16) == 0
    write = "import sys; open(sys.argv[1], 'w')"
    assert container.execute("python", "-c", write, "/tmp/written")
    assert not container.execute("python", "-c", write, "/app/written")


def assert_nothing_that_builds(tools: ContainerTools, image: str) -> None:
    """The image's own settings are right, and what built it stayed behind."""
    inspected: list[dict[str, Any]] = json.loads(tools.run("podman", "image", "inspect", image))
    config = inspected[0]["Config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] in {"SIGTERM", "15"}
    assert config["Entrypoint"] == ["indexer"]
    assert inspected[0]["HealthcheckConfig" if "HealthcheckConfig" in inspected[0] else "Healthcheck"]
    find = (
        "import os; from importlib.util import find_spec;"
        "print([m for m in ('pip', 'setuptools', 'uv', 'pytest') if find_spec(m)], os.path.exists('/tools'))"
    )
    found = tools.run("podman", "run", "--rm", "--network=none", "--entrypoint=python", image, "-c", find)
    assert found.strip() == "[] False"


@pytest.mark.containers
@pytest.mark.timeout(1500)
async def test_the_image_indexes_a_chain_with_few_rights_and_stops_when_told(
    container_tools: ContainerTools,
    image: str,
    containers: ContainerFactory,
    dev_chain: DevChain,
    database_url: str,
    tmp_path: Path,
) -> None:
    await asyncio.to_thread(assert_nothing_that_builds, container_tools, image)

    for _ in range(5):
        await dev_chain.step(4)
    listen = f"127.0.0.1:{free_port()}"
    config = tmp_path / "indexer.toml"
    config.write_text(dev_chain.config(poll_seconds=0.1).replace(str(ROOT), "/app"))
    config.chmod(0o444)
    async with reached_over_tcp(database_url) as tcp_url:
        secrets = {
            write_secret(tmp_path / "rpc_url", dev_chain.rpc_url): "/run/secrets/rpc_url",
            write_secret(tmp_path / "database_url", tcp_url): "/run/secrets/database_url",
        }
        container = await asyncio.to_thread(
            containers.start,
            environment={
                "RPC_URL_FILE": "/run/secrets/rpc_url",
                "DATABASE_URL_FILE": "/run/secrets/database_url",
                "INDEXER_HTTP": listen,
            },
            mounts={config: "/app/indexer.toml", **secrets},
        )

        async def healthy() -> bool:
            page = await answer(f"http://{listen}/health")
            if page is None:
                state = (await asyncio.to_thread(container.inspect))["State"]
                assert state["Running"], container.output()
            return page is not None and page[0] == 200

        await until(healthy, "the program in the container says that it is healthy")
        assert await asyncio.to_thread(container.healthy), container.output()

        await dev_chain.step(4)
        head = await dev_chain.chain.block_number()
        await until_sql(database_url, "select number >= $1 from indexer.cursor", head)
        page = await answer(f"http://{listen}/metrics")
        assert page
        assert Metrics(page[1]).total("indexer_events_total") > 0

        await asyncio.to_thread(assert_few_rights, container)
        assert await asyncio.to_thread(container.stop, STOP_SECONDS) == 0, container.output()
