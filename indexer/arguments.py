"""What the commands' arguments have in common: how they are declared, read, and turned into settings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.core.errors import UserMistake
from indexer.core.redaction import Redactor

if TYPE_CHECKING:
    from indexer.settings import SentrySettings, Settings

Command = Callable[[argparse.Namespace, Redactor], Coroutine[Any, Any, int]]


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, command: Command
) -> argparse.ArgumentParser:
    """A command that reads the configuration."""
    added = commands.add_parser(name, help=summary)
    added.set_defaults(command=command)
    added.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration (default: $INDEXER_CONFIG, else ./indexer.toml)",
    )
    return added


def add_json(command: argparse.ArgumentParser) -> None:
    """The option to print for programs."""
    command.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def add_contracts(command: argparse.ArgumentParser) -> None:
    """The option to choose contracts."""
    command.add_argument(
        "--contract", action="append", metavar="NAME", help="only this contract; may be given several times"
    )


def block_number(text: str) -> int:
    """A block's number. Raises: ArgumentTypeError."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text} is not a block number: a decimal number from 0 on")
    return int(text)


def count(text: str) -> int:
    """A number of things, at least one. Raises: ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def port(text: str) -> int:
    """A TCP port, or 0. Raises: ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text} is not a port: a number from 0 to 65535")
    return int(text)


def positive(text: str) -> float:
    """A number above 0. Raises: ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def settings_of(options: argparse.Namespace, redact: Redactor) -> Settings:
    """The settings, whose secrets the redactor knows from here on."""
    from indexer.settings.reading import load_settings

    settings = load_settings(os.environ, options.config)
    for secret in settings.secrets():
        redact.add(secret)
    return settings


def secret_of(name: str, redact: Redactor) -> str | None:
    """The environment's variable of that name, or the contents of the file that `NAME_FILE` names.

    Raises: UserMistake: both are set, or the file cannot be read.
    """
    from indexer.settings.environment import Environment
    from indexer.settings.toml_table import Mistakes

    mistakes = Mistakes()
    secret = Environment(os.environ, mistakes).secret(name)
    if mistakes:
        raise UserMistake(str(mistakes))
    if secret is not None:
        redact.add(secret)
    return secret


def sentry_of(redact: Redactor) -> SentrySettings:
    """What the environment says of Sentry; the redactor knows the DSN from here on.

    Raises: UserMistake: a variable is wrong.
    """
    from indexer.settings.environment import Environment
    from indexer.settings.sentry import read_sentry
    from indexer.settings.toml_table import Mistakes

    mistakes = Mistakes()
    settings = read_sentry(Environment(os.environ, mistakes))
    if mistakes:
        raise UserMistake(str(mistakes))
    if settings.dsn is not None:
        redact.add(settings.dsn)
    return settings
