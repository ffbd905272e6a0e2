"""The monitoring stack's compose files, started for real as far as its images can be stood in for."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from indexer.dev.devchain import DevChain
from tests.containers.test_image import free_port
from tests.fixtures.composing import ROOT, Composed, copied
from tests.fixtures.images import Engine
from tests.fixtures.program import until

#: Those whose images are made from packages; Grafana, the Elastic stack and cAdvisor are in none.
STARTED = (
    "postgres", "indexer", "prometheus", "alertmanager",
    "node-exporter", "postgres-role", "postgres-exporter", "blackbox-exporter",
)  # fmt: skip
ENDS = {"postgres-role"}
#: Lets an address be bound before the network that it belongs to is made. Source: Linux, include/uapi/linux/in.h.
IP_FREEBIND = 15


@asynccontextmanager
async def reached_from_containers(rpc_url: str, gateway: str) -> AsyncIterator[str]:
    """The same node at the address of this machine in the containers' network."""
    port = int(rpc_url.rpartition(":")[2])
    listening = socket.socket()
    listening.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    listening.bind((gateway, 0))

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, back), pass_on(there, writer))

    server = await asyncio.start_server(connected, sock=listening)
    async with server:
        yield f"http://{gateway}:{listening.getsockname()[1]}"


async def asked(url: str) -> Any:
    """The JSON at the URL; None where nobody answers yet."""
    with suppress(aiohttp.ClientError, json.JSONDecodeError):
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return json.loads(await response.text())
    return None


def free_subnet() -> tuple[str, str]:
    """A subnet that no interface of this machine is in, and its gateway."""
    taken = [ipaddress.ip_network("127.0.0.0/8")]
    with suppress(OSError):
        for line in Path("/proc/net/route").read_text().splitlines()[1:]:
            _, address, _, _, _, _, _, mask, *_ = line.split()
            numbers = [int.from_bytes(bytes.fromhex(each), "little") for each in (address, mask)]
            if numbers[1]:
                taken.append(ipaddress.ip_network((numbers[0], numbers[1].bit_count())))
    for third in range(46, 250):
        subnet = ipaddress.ip_network(f"172.30.{third}.0/24")
        if not any(subnet.overlaps(each) for each in taken):
            return str(subnet), str(subnet[1])
    raise AssertionError("every subnet is taken")


@asynccontextmanager
async def health_checked(engine: Engine) -> AsyncIterator[dict[str, str]]:
    """Runs the health checks, which podman leaves to systemd; what each container's last one said."""
    said: dict[str, str] = {}

    async def keep_checking() -> None:
        while True:
            for each in await asyncio.to_thread(engine.containers):
                if each["State"] == "running":
                    name = each["Labels"]["com.docker.compose.service"]
                    healthy = await asyncio.to_thread(
                        engine.tools.succeeds, "podman", "healthcheck", "run", each["Id"]
                    )
                    said[name] = "healthy" if healthy else "not healthy"
            await asyncio.sleep(1)

    task = asyncio.create_task(keep_checking())
    try:
        yield said
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def prepared(directory: Path, rpc_url: str, subnet: str, gateway: str, dev_chain: DevChain) -> Composed:
    """A user's directory: our files, filled in."""
    for name in ("monitoring", "abis"):
        shutil.copytree(ROOT / name, directory / name)
    composed = copied(directory)
    (directory / "indexer.toml").write_text(dev_chain.config(poll_seconds=0.1).replace(str(ROOT), "/app"))
    composed.fill_in({"RPC_URL": rpc_url, "INDEXER_PORT": str(free_port())}, ".env")
    composed.fill_in(
        {
            "PROMETHEUS_PORT": str(free_port()),
            "ALERTMANAGER_PORT": str(free_port()),
            "MONITORING_SUBNET": subnet,
            "MONITORING_GATEWAY": gateway,
        }
    )
    return composed


@pytest.mark.containers
@pytest.mark.timeout(1500)
async def test_the_stack_comes_up_healthy_and_prometheus_finds_its_parts(
    engine: Engine, stand_ins: tuple[str, ...], dev_chain: DevChain, tmp_path: Path
) -> None:
    assert stand_ins
    await dev_chain.step(4)
    subnet, gateway = free_subnet()
    async with (
        reached_from_containers(dev_chain.rpc_url, gateway) as rpc_url,
        health_checked(engine) as health,
    ):
        composed = prepared(tmp_path, rpc_url, subnet, gateway, dev_chain)
        project = composed.project()
        try:
            up = await asyncio.to_thread(engine.compose, tmp_path, "up", "--detach", "--pull=never", *STARTED)
            assert up.returncode == 0, up.stderr

            async def all_healthy() -> bool:
                return {name for name, each in health.items() if each == "healthy"} >= set(STARTED) - ENDS

            await until(all_healthy, f"all are healthy: {health}")
            ports = {
                name: project["services"][name]["ports"][0]["published"]
                for name in ("prometheus", "alertmanager")
            }
            open_to = {
                port["host_ip"]
                for each in await asyncio.to_thread(engine.containers)
                for port in each["Ports"] or ()
            }
            assert open_to == {"127.0.0.1"}
            await assert_prometheus_finds(f"http://127.0.0.1:{ports['prometheus']}")
            await assert_watched(f"http://127.0.0.1:{ports['alertmanager']}")
        except BaseException as failure:
            failure.add_note((await asyncio.to_thread(engine.compose, tmp_path, "logs", "--tail=20")).stdout)
            raise
        finally:
            down = await asyncio.to_thread(engine.compose, tmp_path, "down", "--volumes", "--timeout=10")
            assert down.returncode == 0, down.stderr


async def assert_prometheus_finds(url: str) -> None:
    """Every part that runs is up, found by its name in the stack's network; what they export arrives."""

    async def value(query: str) -> float | None:
        found = await asked(f"{url}/api/v1/query?query={query}")
        results = (found or {}).get("data", {}).get("result", [])
        return float(results[0]["value"][1]) if results else None

    for query in (
        'up{job="indexer"}',
        'up{job="postgres"}',
        'up{job="node"}',
        'up{job="alertmanager"}',
        'up{job="prometheus"}',
        'probe_success{probe="indexer"}',
        "pg_up",
        "indexer_leader",
    ):

        async def is_one(query: str = query) -> bool:
            return await value(query) == 1

        await until(is_one, f"{query} is 1")
    assert await value("count(node_network_info)"), "the machine's own interfaces are seen"


async def assert_watched(url: str) -> None:
    """Prometheus' alerts arrive in Alertmanager."""

    async def watchdog() -> bool:
        alerts = await asked(f"{url}/api/v2/alerts") or []
        return any(each["labels"]["alertname"] == "Watchdog" for each in alerts)

    await until(watchdog, "the watchdog's alert is in Alertmanager")
