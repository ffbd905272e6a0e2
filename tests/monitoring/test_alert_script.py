"""`scripts/test-alerts.sh`: what it does to a stack, in which order, and that it leaves it as it was."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from indexer.dev.devchain import DevChain
from tests.fixtures.debian import Parts
from tests.fixtures.program import PATIENCE_SECONDS, PROJECT, until, until_sql
from tests.fixtures.receivers import SECRETS
from tests.monitoring.test_alert_commands import stack

SCRIPT = PROJECT / "scripts" / "test-alerts.sh"
#: Stands in for `docker compose`: what is stopped makes its alerts fire, and each command is written down. An alert
#: also fires while a file of its name is there.
COMPOSE = r"""#!/bin/sh
cd "$(dirname "$0")" || exit 1
printf '%s\n' "$*" >>commands
case "$*" in
"stop indexer") touch IndexerDown ;;
"start indexer") rm -f IndexerDown ;;
"stop postgres") touch DatabaseConnectionFailure DatabaseDown ;;
"start postgres") rm -f DatabaseConnectionFailure DatabaseDown ;;
*"alert query"*)
    if [ -e silent ]; then exit 1; fi
    name=${*##*alertname=}
    echo 'Alertname  Starts At                Summary  State'
    if [ -e "$name" ] && ! [ -e deaf ]; then echo "$name  2026-01-01 00:00:00 UTC  Words    active"; fi ;;
*"alerts test"*) [ ! -e broken ] ;;
esac
"""
OUTAGE = ["stop indexer", "start indexer"]


@dataclass(frozen=True, slots=True)
class Compose:
    """The stand-in, and where it keeps its notes."""

    directory: Path

    @property
    def command(self) -> str:
        return str(self.directory / "compose")

    def mark(self, name: str) -> None:
        (self.directory / name).touch()

    @property
    def commands(self) -> list[str]:
        """What was done, without the questions to Alertmanager."""
        path = self.directory / "commands"
        lines = path.read_text().splitlines() if path.exists() else []
        return [each for each in lines if "alert query" not in each]

    async def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit code and all that was said; nobody answers a question."""
        async with script(self.command, *arguments, **environment) as process:
            return await ended(process)


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@asynccontextmanager
async def script(
    compose: str, *arguments: str, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        "bash",
        str(SCRIPT),
        *arguments,
        env={"PATH": os.environ["PATH"], "COMPOSE": compose, "LOOK_SECONDS": "0.05", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
def compose(tmp_path: Path) -> Compose:
    program = tmp_path / "compose"
    program.write_text(COMPOSE)
    program.chmod(0o755)
    return Compose(tmp_path)


async def test_an_outage_is_made_seen_mended_and_seen_to_be_over(compose: Compose) -> None:
    code, said = await compose.run("--yes", "--service-down", "--database-down")
    assert code == 0, said
    assert compose.commands == [*OUTAGE, "stop postgres", "start postgres"]
    for name in ("IndexerDown", "DatabaseConnectionFailure", "DatabaseDown"):
        assert f"{name} fires, after" in said
        assert f"{name} is_over, after" in said


async def test_what_does_not_fire_is_a_failure_and_everything_is_started_again(compose: Compose) -> None:
    compose.mark("deaf")
    code, said = await compose.run("--yes", "--service-down", FIRE_SECONDS="0")
    assert code == 1
    assert "FAILED: IndexerDown should be: fires" in said
    assert compose.commands == OUTAGE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_a_script_that_is_ended_starts_again_what_it_stopped(
    compose: Compose, number: signal.Signals
) -> None:
    compose.mark("deaf")
    async with script(compose.command, "--yes", "--service-down") as process:

        async def is_stopped() -> bool:
            return compose.commands == OUTAGE[:1]

        await until(is_stopped, "the service is stopped")
        process.send_signal(number)
        code, said = await ended(process)
    assert code == 128 + number, said
    assert compose.commands == OUTAGE


async def test_nothing_is_stopped_where_nobody_agrees_or_the_outcome_could_not_be_seen(
    compose: Compose,
) -> None:
    assert (await compose.run("--service-down"))[0] == 2
    compose.mark("IndexerDown")
    code, said = await compose.run("--yes", "--service-down")
    assert (code, "IndexerDown fires already" in said) == (1, True)
    compose.mark("silent")
    code, said = await compose.run("--yes", "--database-down")
    assert (code, "Alertmanager does not answer" in said) == (1, True)
    assert compose.commands == []


async def test_a_channel_that_does_not_take_its_test_is_a_failure_and_the_others_are_tested_all_the_same(
    compose: Compose,
) -> None:
    compose.mark("broken")
    code, said = await compose.run("--channel-test")
    assert (code, "severity critical warning info" in said) == (1, True)
    assert len(compose.commands) == 3


async def test_a_dry_run_tells_what_it_would_do_and_does_nothing(compose: Compose) -> None:
    tests = ["--channel-test", "--service-down", "--database-down", "--error-rate", "http://127.0.0.1:1/"]
    code, said = await compose.run("--dry-run", *tests)
    assert code == 0
    assert f"would run: {compose.command} stop indexer" in said
    assert "indexer alerts test --severity warning" in said
    assert "would wait until HighErrorRate fires" in said
    assert not (compose.directory / "commands").exists()


async def test_what_is_not_understood_is_refused_and_help_tells_of_every_option(compose: Compose) -> None:
    for wrong in ([], ["--everything"], ["--error-rate"], ["--error-rate", "--yes"]):
        assert (await compose.run(*wrong))[0] == 2
    code, said = await compose.run("--help")
    assert code == 0
    for option in (
        "--channel-test",
        "--service-down",
        "--database-down",
        "--error-rate",
        "--dry-run",
        "--yes",
    ):
        assert option in said
    assert not (compose.directory / "commands").exists()


async def test_errors_are_asked_for_until_the_alert_fires_and_only_of_a_page_that_has_some(
    compose: Compose,
) -> None:
    asked = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal asked
        asked += request.path == "/broken"
        if asked > 20:
            compose.mark("HighErrorRate")
        return web.Response(status=503 if request.path == "/broken" else 404)

    application = web.Application()
    application.router.add_get("/{page}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        code, said = await compose.run("--yes", "--error-rate", f"{url}/nonexistent")
        assert (code, "answers 404" in said, asked) == (1, True, 0)
        code, said = await compose.run("--yes", "--error-rate", f"{url}/broken", END_SECONDS="0")
        assert "HighErrorRate fires, after" in said
        assert (code, "should be: is_over" in said) == (1, True)
        assert url not in said
        assert asked > 20
    finally:
        await runner.cleanup()


@pytest.mark.integration
async def test_the_channel_test_goes_through_a_real_stack_and_tells_of_the_channel_that_fails(
    old_parts: Parts, dev_chain: DevChain, empty_database_url: str, tmp_path: Path
) -> None:
    async with stack(old_parts, dev_chain, empty_database_url, tmp_path) as running:
        await until_sql(empty_database_url, "select to_regclass('indexer.alert') is not null")
        inside = tmp_path / "inside"
        inside.write_text(entering(running.config, running.environment))
        inside.chmod(0o755)
        async with script(str(inside), "--channel-test") as process:
            code, said = await ended(process)
        assert code == 0, said
        for severity in ("critical", "warning", "info"):
            assert f"severity {severity}, service monitoring" in said
        for channel, place in (("slack", "#alerts-critical"), ("slack", "#alerts-warnings")):
            await running.receivers.message(channel, place, containing="AlertTest")  # type: ignore[arg-type]
        await running.receivers.message("email", containing="INFO: AlertTest")

        running.receivers.refusing["slack"] = 403
        async with script(str(inside), "--channel-test") as process:
            code, said = await ended(process)
        assert code == 1
        assert "FAILED: a channel did not take the test of severity critical warning" in said
        assert not [secret for secret in SECRETS if secret in said]


def entering(config: Path, environment: Mapping[str, str]) -> str:
    """A stand-in for `docker compose` whose service `indexer` is this machine."""
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    return (
        f'#!/bin/sh\n[ "$1 $2 $3 $4" = "exec -T indexer indexer" ] || exit 1\nshift 4\n'
        f'cd {PROJECT} && {variables} exec {sys.executable} -m indexer "$@" --config {config}\n'
    )
