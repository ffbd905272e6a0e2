"""The script that gives Kibana's user its password, against an endpoint that answers as Elasticsearch does."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil

import pytest
from aiohttp import web

from tests.fixtures.composing import ROOT

pytestmark = pytest.mark.integration

PASSWORD, KIBANA_PASSWORD = 'el"ast\\ic $1', 'it\'s "k" \\n$(id) ü'


async def test_the_password_arrives_as_it_is_and_is_tried_again_until_it_is_taken() -> None:
    asked: list[tuple[str, str, object]] = []

    async def take(request: web.Request) -> web.Response:
        who = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        asked.append((who, request.path, await request.json()))
        return web.json_response({}, status=503 if len(asked) == 1 else 200)

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        code, said = await run_script(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    assert code == 0, said
    wanted = (f"elastic:{PASSWORD}", "/_security/user/kibana_system/_password", {"password": KIBANA_PASSWORD})
    assert asked == [wanted, wanted]
    assert "Kibana's password is set" in said
    assert KIBANA_PASSWORD not in said


async def run_script(url: str) -> tuple[int | None, str]:
    """Its exit code, and what it said."""
    if shutil.which("curl") is None:
        pytest.skip("the script needs curl")
    process = await asyncio.create_subprocess_exec(
        "sh",
        str(ROOT / "monitoring/kibana/password"),
        env={
            "PATH": os.environ["PATH"],
            "ELASTICSEARCH_URL": url,
            "ELASTICSEARCH_PASSWORD": PASSWORD,
            "KIBANA_SYSTEM_PASSWORD": KIBANA_PASSWORD,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()
