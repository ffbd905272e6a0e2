"""What the environment says of Sentry, under the names that all of Sentry's own programs read."""

from __future__ import annotations

from urllib.parse import urlsplit

from indexer.settings.environment import Environment
from indexer.settings.model import SentrySettings

#: Sentry takes no longer names of environments and releases.
_LONGEST_ENVIRONMENT, _LONGEST_RELEASE = 64, 200


def read_sentry(variables: Environment) -> SentrySettings:
    """The settings; every mistake is noted."""
    default = SentrySettings()
    dsn = variables.secret("SENTRY_DSN")
    if dsn is not None and not _is_dsn(dsn):
        variables.wrong(
            "SENTRY_DSN", "must look like https://KEY@HOST/PROJECT, as Sentry shows it for a project"
        )
        dsn = None
    return SentrySettings(
        dsn,
        _name(variables, "SENTRY_ENVIRONMENT", _LONGEST_ENVIRONMENT) or default.environment,
        _name(variables, "SENTRY_RELEASE", _LONGEST_RELEASE),
        _rate(variables, default.traces_sample_rate),
    )


def _is_dsn(text: str) -> bool:
    try:
        parts = urlsplit(text)
        project = parts.path.rpartition("/")[2]
        # Reading a port that is no number raises too.
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.username and parts.hostname) and project.isdigit()


def _name(variables: Environment, variable: str, longest: int) -> str | None:
    text = variables.text(variable)
    # Source: Sentry's rules for the names of environments and releases.
    if text is not None and (
        len(text) > longest or not text.isprintable() or set(text) & set("/\\ ") or text.lower() == "none"
    ):
        variables.wrong(
            variable, f"must be at most {longest} characters without blanks and slashes, and not None"
        )
        return None
    return text


def _rate(variables: Environment, default: float) -> float:
    text = variables.text("SENTRY_TRACES_SAMPLE_RATE")
    if text is None:
        return default
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        variables.wrong("SENTRY_TRACES_SAMPLE_RATE", f"must be a number from 0 to 1, not {text[:20]!r}")
        return default
    return rate
