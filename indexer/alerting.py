"""The commands about alerts: their history, and a test of the channels."""

from __future__ import annotations

import argparse
from pathlib import Path

from indexer.arguments import add_command, add_json, count, positive, settings_of
from indexer.core.redaction import Redactor
from indexer.settings.urls import problem_with

SEVERITIES = ("critical", "warning", "info")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the commands and their options."""
    alerts = add_command(
        commands, "alerts", "what Alertmanager told, and a test of the channels", alerts_command
    )
    alerts.description = (
        "The alerts that Alertmanager's webhook brought, newest first: a line when one began to fire, another when "
        "it was over. `indexer alerts test` tries the channels."
    )
    alerts.add_argument("--firing", action="store_true", help="only alerts that fire, as far as we were told")
    alerts.add_argument("--since", metavar="TIME", help="received since: 24h, 7d or 2026-01-31T12:00:00Z")
    alerts.add_argument(
        "--limit", type=count, default=100, metavar="N", help="at most so many (default: %(default)s)"
    )
    add_json(alerts)
    _add_test(alerts.add_subparsers(title="commands", metavar="COMMAND"))


def _add_test(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    test = commands.add_parser("test", help="send a test alert and see which channels take it")
    test.set_defaults(command=alert_test_command)
    # Without defaults of their own: what stood before `test` holds unless it is said again behind it.
    test.add_argument(
        "--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="the configuration, as above"
    )
    test.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print one JSON object instead of text",
    )
    test.description = (
        "Tell Alertmanager of an alert AlertTest, wait until every channel of its receivers has taken it, and say "
        "it is over. What the channels took is read from Alertmanager's own counters, so alerts that go out at the "
        "same moment may be taken for it. Exit code 0: every channel took it, 1: one did not, or no person is told."
    )
    test.add_argument("--severity", choices=SEVERITIES, default="critical", help="(default: %(default)s)")
    test.add_argument(
        "--service",
        default="monitoring",
        metavar="NAME",
        help="database also calls its team (default: %(default)s)",
    )
    test.add_argument(
        "--alertmanager",
        type=_url,
        metavar="URL",
        help="default: alerts.alertmanager_url or $ALERTMANAGER_URL, else http://127.0.0.1:9093",
    )
    test.add_argument(
        "--timeout",
        type=positive,
        default=60.0,
        metavar="S",
        help="how long channels may take (default: %(default)s)",
    )


def _url(text: str) -> str:
    problem = problem_with(text, ("http", "https"), host_needed=True)
    if problem is not None:
        raise argparse.ArgumentTypeError(problem)
    return text


async def alerts_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Show the history of alerts."""
    from indexer import alerts

    return await alerts.show(
        settings_of(options, redact),
        redact,
        options.limit,
        options.since,
        firing=options.firing,
        as_json=options.json,
    )


async def alert_test_command(options: argparse.Namespace, redact: Redactor) -> int:
    """Send a test alert."""
    from indexer import alerttest

    wanted = alerttest.Wanted(options.severity, options.service, options.alertmanager, options.timeout)
    return await alerttest.test(settings_of(options, redact), redact, wanted, as_json=options.json)
