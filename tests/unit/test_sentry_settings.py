"""Sentry's variables: what is read, and what is said of a wrong one without showing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.settings import SentrySettings
from indexer.settings.environment import Environment
from indexer.settings.sentry import read_sentry
from indexer.settings.toml_table import Mistakes

DSN = "https://0123456789abcdef@o1.ingest.sentry.example:9000/prefix/42"


def read(**variables: str) -> tuple[SentrySettings, str]:
    """The settings and what is wrong with them."""
    mistakes = Mistakes()
    settings = read_sentry(Environment(variables, mistakes))
    return settings, str(mistakes) if mistakes else ""


def test_nothing_is_reported_unless_asked_for() -> None:
    assert read() == (
        SentrySettings(dsn=None, environment="production", release=None, traces_sample_rate=0),
        "",
    )
    assert read(SENTRY_DSN="", SENTRY_TRACES_SAMPLE_RATE=" ") == read()


def test_all_variables_are_read(tmp_path: Path) -> None:
    settings = SentrySettings(DSN, "staging", "v1.2+3", 0.25)
    others = {
        "SENTRY_ENVIRONMENT": "staging",
        "SENTRY_RELEASE": "v1.2+3",
        "SENTRY_TRACES_SAMPLE_RATE": "0.25",
    }
    assert read(SENTRY_DSN=DSN, **others) == (settings, "")
    secret = tmp_path / "dsn"
    secret.write_text(DSN + "\n")
    assert read(SENTRY_DSN_FILE=str(secret), **others) == (settings, "")
    assert DSN not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SENTRY_DSN", "0123456789abcdef"),
        ("SENTRY_DSN", "https://o1.ingest.sentry.example/42"),
        ("SENTRY_DSN", "https://0123456789abcdef@o1.ingest.sentry.example/"),
        ("SENTRY_DSN", "ftp://0123456789abcdef@o1.ingest.sentry.example/42"),
        ("SENTRY_DSN", "https://0123456789abcdef@o1.ingest.sentry.example:99999/42"),
        ("SENTRY_DSN", "https://0123456789abcdef@[o1/42"),
        ("SENTRY_ENVIRONMENT", "a/b"),
        ("SENTRY_ENVIRONMENT", "None"),
        ("SENTRY_ENVIRONMENT", "x" * 65),
        ("SENTRY_RELEASE", "two words"),
        ("SENTRY_TRACES_SAMPLE_RATE", "1.01"),
        ("SENTRY_TRACES_SAMPLE_RATE", "nan"),
        ("SENTRY_TRACES_SAMPLE_RATE", "10%"),
    ],
)
def test_a_wrong_one_is_named_and_a_key_is_not_shown(name: str, value: str) -> None:
    settings, said = read(**{name: value})
    assert settings == SentrySettings()
    assert f"environment: {name}: must" in said
    assert "0123456789abcdef" not in said
