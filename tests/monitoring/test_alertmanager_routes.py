"""Alertmanager's configuration, as both versions of `amtool` read it: valid, and every alert goes where it should."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.fixtures.debian import TOOLS, Parts
from tests.fixtures.receivers import MONITORING, SECRETS, Receivers, render, rendered

pytestmark = pytest.mark.integration

EVERYTHING = Receivers(url="http://127.0.0.1:9", smtp_port=25).environment()
TOKEN = {"ALERT_WEBHOOK_TOKEN": EVERYTHING["ALERT_WEBHOOK_TOKEN"]}
MAIL = {"ALERT_EMAIL": "ops@example.com", "SMTP_HOST": "mail.example.com"}

ROUTES = {
    "alertname=IndexerStuck severity=critical service=indexer": "webhook,critical",
    "alertname=IndexerLag severity=warning service=indexer": "webhook,warning",
    "alertname=ReorgDetected severity=info service=chain": "webhook,info",
    "alertname=DatabaseDown severity=critical service=database": "webhook,dba,critical",
    "alertname=PoolExhausted severity=warning service=database": "webhook,dba,warning",
    "alertname=DatabaseCacheHitLow severity=info service=database": "webhook,dba,info",
    "alertname=APIDown severity=critical service=api": "webhook,critical",
    "alertname=HighErrorRate severity=warning service=api": "webhook,warning",
    "alertname=RedisDown severity=warning service=cache": "webhook,warning",
    "alertname=AllRpcDown severity=critical service=rpc chain=mainnet": "webhook,critical",
    "alertname=ContractPaused severity=critical service=contracts team=contracts": "webhook,critical",
    "alertname=BackupTooOld severity=critical service=backup": "webhook,critical",
    "alertname=DiskFilling severity=warning service=host instance=a:9100": "webhook,warning",
    "alertname=Watchdog severity=none service=monitoring": "watchdog",
    "alertname=Watchdog severity=critical service=database": "watchdog",
    "alertname=AlertDeliveryFailing severity=critical service=monitoring": "webhook,critical",
    "alertname=AlertTest severity=critical service=database test=1": "webhook,dba,critical",
    "alertname=AlertTest severity=info service=monitoring test=1": "webhook,info",
    "alertname=Misspelt severity=waring service=indexer": "webhook,warning",
    "alertname=NoSeverity": "webhook,warning",
}


def test_the_configuration_is_valid_as_it_stands_and_as_it_is_rendered(parts: Parts, tmp_path: Path) -> None:
    parts.judge("amtool", "check-config", MONITORING / "alertmanager.yml")
    for number, environment in enumerate((TOKEN, TOKEN | MAIL, EVERYTHING)):
        directory = tmp_path / str(number)
        directory.mkdir()
        said = parts.judge("amtool", "check-config", rendered(directory, environment, quick=False))
        assert "6 receivers" in said
        assert "1 templates" in said


def test_every_alert_goes_to_the_receivers_that_the_severity_and_the_service_ask_for(
    parts: Parts, tmp_path: Path
) -> None:
    config = rendered(tmp_path, EVERYTHING, quick=False)
    found = {
        labels: parts.judge(
            "amtool", "config", "routes", "test", f"--config.file={config}", *labels.split()
        ).splitlines()[0]
        for labels in ROUTES
    }
    assert found == ROUTES


def test_alerts_of_one_kind_are_told_together() -> None:
    config = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    assert config["route"]["group_by"] == ["alertname", "cluster", "service"]
    assert not [route for route in config["route"]["routes"] if "group_by" in route]


def test_channels_that_are_not_configured_are_left_out_and_named(tmp_path: Path) -> None:
    done = render(tmp_path, TOKEN)
    config = yaml.safe_load((tmp_path / "secrets" / "alertmanager.yml").read_text())
    kinds = {each["name"]: {key for key in each if key != "name"} for each in config["receivers"]}
    assert kinds == {
        "critical": set(),
        "warning": set(),
        "info": set(),
        "dba": set(),
        "webhook": {"webhook_configs"},
        "watchdog": set(),
    }
    for channel in ("Slack", "PagerDuty", "PagerDuty of the database's team", "E-mail", "Watchdog"):
        assert f"alertmanager: {channel}: off" in done.stderr
    assert "no channel reaches a person" in done.stderr


@pytest.fixture(params=["sh", "bash", "busybox"])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A shell; the one of the official image comes with its own awk and the rest, so it gets nothing else."""
    if request.param != "busybox":
        if (found := shutil.which(request.param)) is None:
            pytest.skip(f"no {request.param} here")
        return str(found)
    busybox = shutil.which("busybox", path=f"{os.environ['PATH']}:{TOOLS}/monitoring-new/usr/bin")
    if busybox is None:
        pytest.skip("no busybox: scripts/debian_parts fetches it on Debian")
    programs = tmp_path_factory.mktemp("busybox")
    for name in ("sh", "awk", "cat", "mkdir", "mv"):
        (programs / name).symlink_to(busybox)
    return str(programs / "sh")


def test_what_is_configured_stands_in_the_rendered_file_and_secrets_in_files_of_their_own(
    tmp_path: Path, shell: str
) -> None:
    environment = EVERYTHING | {
        "SLACK_CRITICAL_CHANNEL": '#a "quoted" \\ & name',
        "WATCHDOG_URL": "https://w/?a=1&b=2",
    }
    done = render(tmp_path, environment, shell=shell)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "secrets" / "alertmanager.yml").read_text()
    config = yaml.safe_load(text)
    receivers = {each["name"]: each for each in config["receivers"]}
    (slack,) = receivers["critical"]["slack_configs"]
    assert slack["channel"] == environment["SLACK_CRITICAL_CHANNEL"]
    assert receivers["watchdog"]["webhook_configs"][0]["url"] == environment["WATCHDOG_URL"]
    assert config["global"]["smtp_smarthost"] == "127.0.0.1:25"
    assert config["global"]["smtp_require_tls"] is False
    assert not [secret for secret in SECRETS if secret in text + done.stdout + done.stderr]
    assert "# from" not in text
    secrets = tmp_path / "secrets"
    assert (secrets / "pagerduty_routing_key").read_text() == environment["PAGERDUTY_ROUTING_KEY"]
    assert Path(slack["api_url_file"]).read_text() == environment["SLACK_WEBHOOK_URL"]
    assert {oct(path.stat().st_mode & 0o077) for path in secrets.iterdir()} == {"0o0"}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "ALERT_WEBHOOK_TOKEN is needed"),
        (TOKEN | {"ALERT_EMAIL": "ops@example.com"}, "set SMTP_HOST"),
        (TOKEN | {"SMTP_HOST": "mail.example.com"}, "set ALERT_EMAIL"),
        (TOKEN | MAIL | {"SMTP_USER": "me"}, "SMTP_USER is set, but not SMTP_PASSWORD"),
        (TOKEN | MAIL | {"SMTP_PASSWORD": "x"}, "SMTP_PASSWORD is set, but not SMTP_USER"),
        (TOKEN | MAIL | {"SMTP_TLS": "yes"}, "SMTP_TLS must be true or false"),
        (TOKEN | {"SLACK_WEBHOOK_URL": "hooks.slack.com/x"}, "must begin with https://"),
        (TOKEN | {"SLACK_CRITICAL_WEBHOOK_URL": "https://a"}, "SLACK_WARNINGS_WEBHOOK_URL is needed too"),
        (TOKEN | {"SLACK_WARNINGS_WEBHOOK_URL": "https://a"}, "SLACK_CRITICAL_WEBHOOK_URL is needed too"),
        (TOKEN | {"WATCHDOG_URL_FILE": "/nowhere"}, "the file of WATCHDOG_URL_FILE cannot be read"),
        (TOKEN | {"SLACK_CRITICAL_CHANNEL": "#a\nb"}, "SLACK_CRITICAL_CHANNEL holds a line break"),
        (TOKEN | {"PAGERDUTY_ROUTING_KEY": "a\nb"}, "PAGERDUTY_ROUTING_KEY holds a line break"),
    ],
)
def test_what_is_missing_or_wrong_is_refused_with_its_name(
    tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    done = render(tmp_path, environment)
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "secrets" / "alertmanager.yml").exists()


def test_a_secret_may_come_from_a_file_or_be_there_already(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from a file\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "pagerduty_routing_key").write_text("mounted")
    done = render(tmp_path, {"ALERT_WEBHOOK_TOKEN_FILE": str(tmp_path / "token")})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "secrets" / "webhook_token").read_text() == "from a file"
    assert "PagerDuty: on" in done.stderr


def test_the_script_becomes_alertmanager_without_secrets_in_its_environment(tmp_path: Path) -> None:
    render(tmp_path, TOKEN)
    stand_in = tmp_path / "stand-in"
    stand_in.write_text('#!/bin/sh\necho "$@"\nenv\n')
    stand_in.chmod(0o755)
    done = subprocess.run(
        ["sh", str(MONITORING / "alertmanager" / "start.sh"), "--storage.path=/alertmanager"],
        env=EVERYTHING
        | {
            "PATH": "/usr/bin:/bin",
            "ALERTMANAGER_DIRECTORY": str(tmp_path),
            "ALERTMANAGER_PROGRAM": str(stand_in),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[0] == (
        f"--config.file={tmp_path}/secrets/alertmanager.yml --storage.path=/alertmanager"
    )
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]


def test_inhibition_names_alerts_that_there_are() -> None:
    config = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    known = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    matchers = [
        matcher
        for rule in config["inhibit_rules"]
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]
    ]
    named = {
        name
        for matcher in matchers
        if (found := re.fullmatch(r'alertname=~?"(.+)"', matcher))
        for name in found[1].split("|")
    }
    assert len(named) > 15
    assert not named - known
