"""Keep secrets out of every text that leaves the program.

The parts of a URL that may be secret are its user-info, its query and those path segments and host labels
that look like keys. Each is recognised in every spelling that libraries use in their messages.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

MASK = "***"

#: Shorter values are replaced only where they stand as words of their own: hiding every "abc" inside of
#: other words would make the journal unreadable and still protect nothing.
_WHOLE_WORD_BELOW = 8
#: Shorter values are hidden only inside of URLs: no text survives the removal of all its "a".
_NEVER_ALONE_BELOW = 4
_KEY_LIKE = re.compile(r"[A-Za-z0-9_-]{16,}\Z")
_SECRET_NAME = re.compile(r"key|token|secret|pass|auth|jwt|sig|credential", re.IGNORECASE)

#: Secrets that show themselves by where they stand, in URLs that nobody told us about.
_GENERIC = (
    (re.compile(r"(?<=://)[^\s/?#\"'<>]*@"), MASK + "@"),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), r"\1 " + MASK),
    (
        re.compile(
            r"\b((?:[a-z]+[-_])?(?:api[-_]?key|token|secret|password|passwd)=)[^\s&\"'<>]+", re.IGNORECASE
        ),
        r"\1" + MASK,
    ),
)


class Redactor:
    """Replaces known secrets, and whatever looks like credentials in a URL, by `***`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._hidden: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def __repr__(self) -> str:
        return f"Redactor({len(self._hidden)} spellings)"

    def add(self, secret: str) -> None:
        """Hide this text from now on; of a URL also the parts that are secret on their own."""
        secret = secret.strip()
        if not secret:
            return
        for part in (secret, *_secret_parts(secret)):
            self._hidden.update(_spellings(part))
        alternatives = sorted(self._hidden, key=lambda text: (-len(text), text))
        self._pattern = re.compile("|".join(map(_pattern_of, alternatives)), re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """The text without secrets; a text without any comes back unchanged."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        for pattern, replacement in _GENERIC:
            text = pattern.sub(replacement, text)
        return text


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets, each a URL or a plain value."""
    return Redactor(secrets)(text)


def _pattern_of(text: str) -> str:
    escaped = re.escape(text)
    return rf"(?<!\w){escaped}(?!\w)" if len(text) < _WHOLE_WORD_BELOW else escaped


def _spellings(secret: str) -> set[str]:
    """The ways in which a value may turn up: as is, percent-encoded or decoded, escaped as JSON or Python."""
    decoded = unquote(secret)
    found: set[str] = set()
    for text in (secret, secret.rstrip("/"), decoded, unquote_plus(secret)):
        found |= {text, quote(text, safe=""), quote(text), quote_plus(text)}
        found |= {json.dumps(text)[1:-1], repr(text)[1:-1]}
    return {text for text in found if len(text) >= _NEVER_ALONE_BELOW}


def _secret_parts(secret: str) -> Iterator[str]:
    if "://" not in secret:
        return
    try:
        url = urlsplit(secret)
    except ValueError:
        # Not a URL after all (such as one with half a pair of brackets): hidden as a whole only.
        return
    is_database = url.scheme.startswith("postgres")
    yield from _of_authority(url, is_database=is_database)
    if not is_database:
        yield from (part for part in re.split(r"[/;,]", url.path) if _KEY_LIKE.match(unquote(part)))
    for name, value in parse_qsl(url.query) + parse_qsl(url.fragment):
        # A database's query holds settings like sslmode=require, a node's query holds its key.
        if not is_database or _SECRET_NAME.search(name):
            yield value


def _of_authority(url: SplitResult, *, is_database: bool) -> Iterator[str]:
    user_info, _, host = url.netloc.rpartition("@")
    if user_info:
        user, _, password = user_info.partition(":")
        if password or not is_database:
            # A database user without a password is a plain name, and often a word of every other message.
            yield user_info
            yield base64.b64encode(unquote(user_info).encode()).decode().rstrip("=")
        yield password
        if not is_database or _KEY_LIKE.match(user):
            yield user
    if not is_database:
        labels = host.partition(":")[0].split(".")
        yield from (label for label in labels if _KEY_LIKE.match(label) and re.search(r"\d", label))
