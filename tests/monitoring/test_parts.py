"""The programs that the other tests of the monitoring stack rely on."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.fixtures.debian import Parts

pytestmark = pytest.mark.integration

NO_ROUTES = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


async def test_prometheus_and_alertmanager_start_on_free_ports_and_stop(parts: Parts, tmp_path: Path) -> None:
    routes, scraped = tmp_path / "alertmanager.yml", tmp_path / "prometheus.yml"
    routes.write_text(NO_ROUTES)
    scraped.write_text("global: {scrape_interval: 1s}\n")
    parts.judge("amtool", "check-config", routes)
    parts.judge("promtool", "check", "config", scraped)
    async with (
        parts.alertmanager(routes, tmp_path / "am") as alertmanager,
        parts.prometheus(scraped, tmp_path / "data") as prometheus,
        aiohttp.ClientSession() as session,
    ):
        for url in (alertmanager.url, prometheus.url):
            async with session.get(f"{url}/-/healthy") as response:
                assert response.status == 200, url
