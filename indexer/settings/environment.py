"""What the environment decides; each secret may also stand in a file that a `…_FILE` variable names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from indexer.settings.toml_table import Mistakes

#: Every variable that is read.
NAMES = (
    "RPC_URL",
    "DATABASE_URL",
    "INDEXER_CONFIG",
    "INDEXER_HTTP",
    "INDEXER_JOURNAL",
    "ALERT_WEBHOOK_TOKEN",
    "ALERTMANAGER_URL",
    "SENTRY_DSN",
    "SENTRY_ENVIRONMENT",
    "SENTRY_RELEASE",
    "SENTRY_TRACES_SAMPLE_RATE",
    "LOGSTASH_ADDRESS",
)
#: Those that may hold a key or a password.
SECRETS = ("RPC_URL", "DATABASE_URL", "ALERT_WEBHOOK_TOKEN", "ALERTMANAGER_URL", "SENTRY_DSN")


class Environment:
    """The variables that mean something to us; an empty one counts as not set."""

    def __init__(self, variables: Mapping[str, str], mistakes: Mistakes) -> None:
        self._variables = variables
        self._mistakes = mistakes

    def wrong(self, name: str, problem: str) -> None:
        """Note what is wrong with a variable, in words that do not show a secret."""
        self._mistakes.add(f"environment: {name}", problem)

    def text(self, name: str) -> str | None:
        return self._variables.get(name, "").strip() or None

    def secret(self, name: str) -> str | None:
        """The value, or the contents of the file named by `NAME_FILE`; both at once is a mistake."""
        value, file = self.text(name), self.text(f"{name}_FILE")
        if file is None:
            return value
        if value is not None:
            self._mistakes.add(f"environment: {name}", f"is set, and {name}_FILE too; unset one of them")
            return value
        return self._contents(f"{name}_FILE", Path(file))

    def report_misspelled(self) -> None:
        """Note variables that look like one of ours but are none, which would have no effect."""
        known = [*NAMES, *(f"{name}_FILE" for name in SECRETS)]
        for name in sorted(self._variables):
            if name.startswith("INDEXER_") and name not in known:
                close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
                if close:
                    self._mistakes.add(
                        f"environment: {name}", f"is not a known variable; did you mean {close[0]}?"
                    )

    def _contents(self, name: str, file: Path) -> str | None:
        place = f"environment: {name}"
        try:
            contents = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            # A key that was put into the …_FILE variable itself would be shown as the name of the file.
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            self._mistakes.add(place, f"its file cannot be read: {reason}; it must name a readable file")
            return None
        if not contents:
            self._mistakes.add(place, "its file is empty; write the value into it")
            return None
        return contents
