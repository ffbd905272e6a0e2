"""Does Sentry take what we send? What `indexer check` says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from indexer import __version__, sentry
from indexer.core.errors import UserMistake
from indexer.core.finding import Finding
from indexer.settings import SentrySettings

if TYPE_CHECKING:
    from sentry_sdk.envelope import Envelope

SUBJECT = "sentry"
TEST_MESSAGE = "A test error of `indexer check --sentry`: nothing is wrong"
ANSWER_SECONDS = 10.0
#: What the statuses of Sentry's ingestion mean.
_REMEDIES = {
    400: "is SENTRY_DSN the one of a project that takes errors?",
    401: "copy SENTRY_DSN anew from the project's client keys",
    403: "the key is not that project's, or was switched off: copy SENTRY_DSN anew from the project's client keys",
    404: "there is no such project: copy SENTRY_DSN anew from its client keys",
    429: "Sentry takes no more for now: look at the project's quota",
}


async def findings(settings: SentrySettings, redact: Callable[[str], str], *, send: bool) -> list[Finding]:
    """Whether errors will be reported; nothing where that was neither configured nor asked for.

    Args:
        send: try it with a test error.
    """
    if settings.dsn is None:
        remedy = "set it to the DSN that Sentry shows for the project"
        return [Finding(SUBJECT, False, "SENTRY_DSN is not set", remedy)] if send else []
    try:
        return [await _sent(settings, settings.dsn, redact) if send else _configured(settings, settings.dsn)]
    except UserMistake as error:
        return [Finding(SUBJECT, False, "the library is not installed", str(error))]


def _configured(settings: SentrySettings, dsn: str) -> Finding:
    sentry.require_library()
    return Finding(
        SUBJECT, True, f"{_place(dsn)}, environment {settings.environment}; not tried: --sentry sends a test"
    )


def _place(dsn: str) -> str:
    parts = urlsplit(dsn)
    return f"errors go to {parts.hostname}, project {parts.path.rpartition('/')[2]}"


async def _sent(settings: SentrySettings, dsn: str, redact: Callable[[str], str]) -> Finding:
    sentry.require_library()
    from sentry_sdk.consts import EndpointType
    from sentry_sdk.utils import Dsn

    envelope = _test_error(settings, redact)
    auth = Dsn(dsn).to_auth(f"evm-indexer/{__version__}")
    headers = {"X-Sentry-Auth": auth.to_header(), "Content-Type": "application/x-sentry-envelope"}
    url = auth.get_api_url(EndpointType.ENVELOPE)
    patience = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=patience, trust_env=True) as session,
            session.post(url, data=envelope.serialize(), headers=headers, allow_redirects=False) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        # Its text may hold the URL.
        return Finding(
            SUBJECT,
            False,
            f"no answer ({type(error).__name__})",
            "can this machine reach the host of SENTRY_DSN?",
        )
    if status == 200:
        return Finding(
            SUBJECT, True, f"the test error was taken: {_place(dsn)}, environment {settings.environment}"
        )
    return Finding(SUBJECT, False, f"HTTP {status}", _REMEDIES.get(status, "look at Sentry's status"))


def _test_error(settings: SentrySettings, redact: Callable[[str], str]) -> Envelope:
    """What a real error would be sent as."""
    from sentry_sdk.transport import Transport

    class Kept(Transport):
        """Sends nothing."""

        def __init__(self) -> None:
            super().__init__()
            self.envelopes: list[Envelope] = []

        def capture_envelope(self, envelope: Envelope) -> None:
            self.envelopes.append(envelope)

    kept = Kept()
    sentry.start(settings, redact, transport=kept)
    try:
        sentry.message(TEST_MESSAGE)
    finally:
        sentry.stop()
    return kept.envelopes[0]
