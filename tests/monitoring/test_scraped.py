"""What a real Prometheus makes of our page: exemplars, first increments, and no series of creation times."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from indexer.core.health import Limits
from indexer.core.model import BlockId, Encoded
from indexer.http.report import Health, Readiness
from indexer.http.server import HttpServer
from indexer.metrics import Metrics
from tests.fixtures.debian import Parts
from tests.fixtures.program import until
from tests.unit.test_metrics import PROFILE, sources

pytestmark = pytest.mark.integration

CONFIG = """
global: {{scrape_interval: 200ms}}
scrape_configs: [{{job_name: indexer, static_configs: [{{targets: ["{target}"]}}]}}]
"""
COMMITS = "indexer_commit_duration_seconds_bucket"


class Prometheus:
    """The questions that the tests ask."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def is_ready(self) -> bool:
        """Whether it answers questions; it listens before that."""
        async with self._session.get(f"{self._url}/-/ready") as response:
            return response.status == 200

    async def _ask(self, path: str, query: str, **parameters: str) -> Any:
        asked = {"query": query, **parameters}
        async with self._session.get(f"{self._url}/api/v1/{path}", params=asked) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def values(self, query: str) -> list[float]:
        return [float(each["value"][1]) for each in (await self._ask("query", query))["result"]]

    async def exemplars(self, query: str) -> list[dict[str, Any]]:
        data = await self._ask(
            "query_exemplars", query, start="2001-01-01T00:00:00Z", end="2100-01-01T00:00:00Z"
        )
        return [exemplar for series in data for exemplar in series["exemplars"]]


async def test_exemplars_and_first_increments_arrive_in_a_real_prometheus(
    parts: Parts, tmp_path: Path
) -> None:
    metrics = Metrics("31337")
    metrics.watch(sources(), {PROFILE: "Profile"})
    health = Health(metrics, Readiness(), Limits(60, 60), probe_seconds=5, redact=str)
    config = tmp_path / "prometheus.yml"
    async with (
        HttpServer("127.0.0.1", 0, metrics, health) as server,
        aiohttp.ClientSession() as session,
    ):
        config.write_text(CONFIG.format(target=f"127.0.0.1:{server.port}"))
        async with parts.prometheus(
            config, tmp_path / "data", "--enable-feature=exemplar-storage"
        ) as started:
            prometheus = Prometheus(started.url, session)
            await until(prometheus.is_ready, "Prometheus is ready")
            zero = 'indexer_events_total{event_type="Created"} == 0'
            await until(lambda: prometheus.values(zero), "the counter is seen at 0")
            with metrics.processing(17), metrics.commit(17):
                metrics.wrote(Encoded((), (), {1: 1}, {BlockId(17, b""): 1}))
            first = 'increase(indexer_events_total{event_type="Created"}[1m]) > 0'
            await until(lambda: prometheus.values(first), "the first event is an increase")
            for name in (COMMITS, "indexer_event_processing_duration_seconds_bucket"):
                found = await until(partial(prometheus.exemplars, name), "the exemplar is stored")
                assert [each["labels"] for each in found] == [{"block": "17"}]
            assert await prometheus.values("up") == [1.0]
            assert await prometheus.values('{__name__=~".+_created"}') == []
