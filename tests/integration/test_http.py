"""Our endpoints over a real socket: up from the first second, whatever else is down."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from indexer.core.errors import Unavailable, UserMistake
from indexer.core.health import Limits
from indexer.core.model import Header
from indexer.core.redaction import Redactor
from indexer.http import healthcheck
from indexer.http.negotiation import takes_gzip, wants_openmetrics
from indexer.http.report import Health, Readiness
from indexer.http.server import HttpServer
from indexer.metrics import Metrics

pytestmark = pytest.mark.integration

SECRET = "sk-live-0123456789abcdef"


def head(number: int) -> Header:
    return Header(number, number.to_bytes(32), b"", 1_700_000_000, None, 0, 0, b"", b"")


class Served:
    """A running server, the facts it serves, and a client for it."""

    def __init__(self, server: HttpServer, metrics: Metrics, readiness: Readiness) -> None:
        self.server = server
        self.metrics = metrics
        self.readiness = readiness

    async def get(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[aiohttp.ClientResponse, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.server.url + path, headers=headers) as response,
        ):
            return response, await response.text()

    async def json(self, path: str) -> tuple[int, dict[str, Any]]:
        response, text = await self.get(path)
        assert response.content_type == "application/json"
        return response.status, json.loads(text)


@asynccontextmanager
async def serving(**limits: float) -> AsyncIterator[Served]:
    metrics, readiness = Metrics("31337"), Readiness()
    health = Health(
        metrics,
        readiness,
        Limits(limits.get("stalled", 1_000), limits.get("silent", 1_000)),
        probe_seconds=limits.get("probe", 60),
        redact=Redactor([SECRET]),
    )
    async with HttpServer("127.0.0.1", 0, metrics, health) as server:
        yield Served(server, metrics, readiness)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


async def fine() -> None:
    """A probe that finds all well."""


def working(served: Served) -> None:
    served.readiness.database = fine
    served.readiness.schema_current = True
    served.readiness.chain_right = True
    served.metrics.leader(True)
    served.metrics.endpoint_state("rpc-1", True, 20)
    served.metrics.head_seen(head(20))
    served.metrics.cursor_at(18, 1_700_000_000)


async def test_before_anything_else_is_up_it_answers_and_says_what_is_missing(served: Served) -> None:
    assert (await served.json("/health/live"))[0] == 200
    status, ready = await served.json("/health/ready")
    assert (status, ready["checks"]) == (
        503,
        {"database": "not ready", "schema": "not ready", "chain": "not ready"},
    )
    status, whole = await served.json("/health")
    assert (status, whole["status"], whole["database"]) == (503, "unhealthy", "disconnected")
    assert whole["services"]["database"] == {"status": "unhealthy", "error": "not connected yet"}
    assert (whole["role"], whole["services"]["indexer"]["blockNumber"]) == ("starting", None)
    assert (await served.get("/metrics"))[0].status == 200


async def test_a_working_indexer_is_healthy_in_the_shape_that_monitors_expect(served: Served) -> None:
    working(served)
    status, body = await served.json("/health")
    assert (status, body["status"], body["reasons"]) == (200, "ok", [])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["timestamp"])
    assert body["uptime"] >= 0
    assert (body["database"], body["chain"], body["role"]) == ("connected", "31337", "leader")
    services = body["services"]
    assert services["database"] == {"status": "healthy"}
    assert services["cache"] == {"status": "disabled", "enabled": False}
    assert 0 <= services["blockchain"].pop("headReadSecondsAgo") < 1_000
    assert services["blockchain"] == {
        "status": "healthy",
        "blockNumber": 20,
        "blockTime": "2023-11-14T22:13:20.000Z",
        "endpoints": 1,
        "endpointsUp": 1,
    }
    assert services["indexer"].pop("lastProgress").endswith("Z")
    assert 0 <= services["indexer"].pop("stuckSeconds") < 1_000
    assert services["indexer"] == {
        "status": "healthy",
        "blockNumber": 18,
        "finalizedBlockNumber": None,
        "lag": 2,
        "halted": False,
        "backfill": {"missingBlocks": 0, "stuckSeconds": 0},
        "lastError": None,
    }
    assert (await served.json("/health/ready"))[0] == 200


async def test_it_goes_red_when_the_cursor_stands_still_and_degrades_when_the_node_is_gone() -> None:
    async with serving(stalled=0) as served:
        working(served)
        status, body = await served.json("/health")
        assert (status, body["services"]["indexer"]["status"]) == (503, "unhealthy")
        assert "the cursor stands at 18" in body["reasons"][0]
        served.metrics.endpoint_state("rpc-1", False, None)
        status, body = await served.json("/health")
        assert (status, body["status"]) == (200, "degraded")
        assert body["reasons"] == ["none of 1 endpoints answers"]
        assert (await served.json("/health/live"))[0] == 200


async def test_a_halt_is_red_and_a_standby_is_not(served: Served) -> None:
    working(served)
    served.metrics.leader(False)
    assert (await served.json("/health"))[1]["role"] == "standby"
    served.metrics.halted(f"block 17 at {SECRET} is another one", "below_finality", waits=False)
    status, body = await served.json("/health")
    assert (status, body["reasons"]) == (503, ["halted until a person looks: block 17 at *** is another one"])


async def test_the_last_error_is_told_without_secrets_until_something_is_written() -> None:
    async with serving(stalled=0) as served:
        working(served)
        served.metrics.error(Unavailable(f"no room at {SECRET}"))
        _, body = await served.json("/health")
        assert "last error: unavailable: no room at ***" in body["reasons"][0]
        last = body["services"]["indexer"]["lastError"]
        assert (last["type"], last["message"]) == ("unavailable", "no room at ***")
        served.readiness.database = None
        error = (await served.json("/health/ready"))[1]["error"]
        assert error == "not connected; last error: no room at ***"
        served.metrics.cursor_at(19, 1_700_000_000)
        assert "last error" not in (await served.json("/health"))[1]["reasons"][0]


async def test_an_error_of_the_database_is_shown_without_secrets(served: Served) -> None:
    async def refuse() -> None:
        raise Unavailable(f"no connection with {SECRET}")

    working(served)
    served.readiness.database = refuse
    status, body = await served.json("/health")
    assert (status, body["database"]) == (503, "disconnected")
    assert body["services"]["database"]["error"] == "no connection with ***"
    assert (await served.json("/health/ready"))[1]["error"] == "no connection with ***"


async def test_a_database_that_does_not_answer_does_not_keep_health_from_answering() -> None:
    async with serving(probe=0.05) as served:
        working(served)
        served.readiness.database = asyncio.Event().wait  # type: ignore[assignment]
        status, body = await served.json("/health")
        assert (status, body["services"]["database"]["error"]) == (503, "no answer within 0.05 s")


async def test_metrics_come_in_the_format_that_was_asked_for(served: Served) -> None:
    working(served)
    response, text = await served.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {sample.name: sample.value for sample in samples}["indexer_block_lag"] == 2
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    response, text = await served.get("/metrics", headers=accept)
    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


async def test_the_page_is_compressed_for_those_who_take_it(served: Served) -> None:
    raw = aiohttp.ClientSession(auto_decompress=False)
    async with raw as session:
        async with session.get(
            served.server.url + "/metrics", headers={"Accept-Encoding": "gzip"}
        ) as response:
            body = await response.read()
            assert response.headers["Content-Encoding"] == "gzip"
            assert b"indexer_build_info{" in gzip.decompress(body)
        async with session.get(
            served.server.url + "/metrics", headers={"Accept-Encoding": "identity"}
        ) as response:
            assert "Content-Encoding" not in response.headers
            assert b"indexer_build_info{" in await response.read()


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=0.0.1", False),
        # Prometheus 2 and 3.
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1", True),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.3", True),
        ("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5", False),
        ("application/openmetrics-text;q=0,*/*;q=0.1", False),
        ("application/openmetrics-text;q=none", False),
    ],
)
def test_openmetrics_is_for_those_who_prefer_it(accept: str, expected: bool) -> None:
    assert wants_openmetrics(accept) is expected


@pytest.mark.parametrize(
    ("encodings", "expected"),
    [
        ("", False),
        ("gzip, deflate", True),
        ("GZIP;q=0.1", True),
        ("gzip;q=0", False),
        ("*", True),
        ("*;q=1, gzip;q=0", False),
        ("br", False),
    ],
)
def test_gzip_is_for_those_who_take_it(encodings: str, expected: bool) -> None:
    assert takes_gzip(encodings) is expected


async def test_requests_are_counted_by_known_paths_only(served: Served) -> None:
    async def counted() -> dict[tuple[str, str], float]:
        _, text = await served.get("/metrics")
        return {
            (sample.labels["path"], sample.labels["status"]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "indexer_http_requests_total"
        }

    before = await counted()
    paths = ("/", "/metrics", "/health", "/health/live", "/health/ready")
    assert before == {(path, status): 0 for path in paths for status in ("200", "500", "503")}
    for path in ("/health", "/health/live", "/nothing", "/nothing/else?key=1"):
        await served.get(path)
    await served.get("/metrics", "POST")
    after = {key: value for key, value in (await counted()).items() if value}
    assert after == {
        ("/metrics", "200"): 1,
        ("/health", "503"): 1,
        ("/health/live", "200"): 1,
        ("other", "404"): 2,
        ("other", "405"): 1,
    }


async def test_a_request_that_crashes_is_counted_as_500(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(**_: object) -> bytes:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(served.metrics, "page", crash)
        response, _ = await served.get("/metrics")
        assert response.status == 500
    _, text = await served.get("/metrics")
    assert 'indexer_http_requests_total{chain="31337",path="/metrics",status="500"} 1.0' in text


async def test_what_is_not_there_or_not_allowed_is_told_as_json(served: Served) -> None:
    response, text = await served.get("/nothing")
    assert (response.status, json.loads(text)) == (404, {"error": "not found"})
    response, text = await served.get("/metrics", "POST")
    assert (response.status, json.loads(text)) == (405, {"error": "method not allowed"})
    assert response.headers["Allow"] == "GET, HEAD"
    response, text = await served.get("/health/live", "HEAD")
    assert (response.status, text) == (200, "")
    response, text = await served.get("/")
    assert set(json.loads(text)["endpoints"]) == {"/metrics", "/health", "/health/live", "/health/ready"}


@pytest.mark.parametrize("path", ["/", "/metrics", "/health", "/nothing"])
async def test_no_answer_tells_which_software_it_comes_from(served: Served, path: str) -> None:
    response, _ = await served.get(path)
    assert "Server" not in response.headers


async def test_an_address_in_use_is_a_mistake_with_a_remedy(served: Served) -> None:
    taken = HttpServer("127.0.0.1", served.server.port, served.metrics, None)  # type: ignore[arg-type]
    with pytest.raises(UserMistake, match=r"cannot listen on 127\.0\.0\.1:\d+: .*INDEXER_HTTP"):
        await taken.__aenter__()


async def check(environment: Mapping[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "indexer.http.healthcheck",
        env={"PATH": os.environ["PATH"], **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


async def test_the_containers_health_check_tells_by_its_exit_code(served: Served) -> None:
    listen = {"INDEXER_HTTP": f"0.0.0.0:{served.server.port}"}
    code, said = await check(listen)
    assert (code, "HTTP 503" in said) == (1, True)
    working(served)
    assert await check(listen) == (0, "")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        code, said = await check({"INDEXER_HTTP": f"127.0.0.1:{unused.getsockname()[1]}"})
    assert (code, said.startswith("no answer: ")) == (1, True)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        (None, ("127.0.0.1", 9464)),
        ("", ("127.0.0.1", 9464)),
        ("0.0.0.0:80", ("127.0.0.1", 80)),
        (":80", ("127.0.0.1", 80)),
        ("[::]:80", ("::1", 80)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
    ],
)
def test_the_health_check_asks_where_the_server_listens(
    listen: str | None, expected: tuple[str, int]
) -> None:
    assert healthcheck.address({} if listen is None else {"INDEXER_HTTP": listen}) == expected


def test_the_health_check_cannot_ask_at_a_free_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck.main({"INDEXER_HTTP": "127.0.0.1:0"}) == 1
    assert "leaves the port open" in capsys.readouterr().err
