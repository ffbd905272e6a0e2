"""Alertmanager's API, as far as a test of the channels needs it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from indexer.core.errors import Inconsistent, Unavailable, UserMistake

#: How long each request may take.
_REQUEST_SECONDS = 10.0
_RECEIVER = re.compile(r"- name: (.+)")
_INTEGRATION = re.compile(r"  ([a-z0-9]+)_configs:")
#: One for each attempt, whose failures are counted beside it.
_ATTEMPTS = "alertmanager_notification_requests_total"
_FAILURES = "alertmanager_notification_requests_failed_total"

Answer = TypeVar("Answer")


class _Name(msgspec.Struct):
    name: str


class _State(msgspec.Struct, rename="camel"):
    state: str
    silenced_by: list[str] = []
    inhibited_by: list[str] = []


class _Shown(msgspec.Struct):
    receivers: list[_Name]
    status: _State


class _Config(msgspec.Struct):
    original: str


class _Status(msgspec.Struct):
    config: _Config


@dataclass(frozen=True, slots=True)
class Routed:
    """What Alertmanager made of an alert."""

    receivers: tuple[str, ...]
    #: Why nobody is told, None where somebody is.
    muted: str | None


@dataclass(frozen=True, slots=True)
class Sent:
    """Requests to the outside so far, by integration (`slack`, `webhook` …)."""

    attempts: Mapping[str, int]
    failures: Mapping[str, int]


class Alertmanager:
    """A client for one Alertmanager, made by `reaching`."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def integrations(self) -> Mapping[str, Mapping[str, int]]:
        """How many of each integration every receiver has, by the receiver's name.

        Raises:
            Unavailable, Inconsistent: no answer, or none that we understand.
        """
        status = await self._get("/api/v2/status", _Status)
        return receivers_of(status.config.original)

    async def post(
        self, labels: Mapping[str, str], annotations: Mapping[str, str], ends_at: datetime
    ) -> None:
        """Tell it of an alert that fires until then; one that is over if that is not in the future.

        Raises:
            Unavailable, UserMistake: it was not taken.
        """
        body = [{"labels": dict(labels), "annotations": dict(annotations), "endsAt": ends_at.isoformat()}]
        with _translated():
            async with self._session.post(self._url + "/api/v2/alerts", json=body) as response:
                if response.status != 200:
                    raise UserMistake(
                        f"Alertmanager refused the alert with {response.status}: {await response.text()}"
                    )

    async def routed(self, label: str, value: str) -> Routed | None:
        """What became of the alert with this label; None: it is not known, or not yet."""
        found = await self._get("/api/v2/alerts", list[_Shown], {"filter": f'{label}="{value}"'})
        if not found or found[0].status.state == "unprocessed":
            return None
        state = found[0].status
        muted = "silenced" if state.silenced_by else "inhibited" if state.inhibited_by else None
        return Routed(tuple(each.name for each in found[0].receivers), muted)

    async def sent(self) -> Sent:
        """The requests that it has made so far, whichever alert they were for."""
        counts: dict[str, Counter[str]] = {_ATTEMPTS: Counter(), _FAILURES: Counter()}
        for family in text_string_to_metric_families(await self._text("/metrics")):
            for sample in family.samples:
                if (counter := counts.get(sample.name)) is not None:
                    counter[sample.labels.get("integration", "")] += int(sample.value)
        return Sent(counts[_ATTEMPTS], counts[_FAILURES])

    async def _get(
        self, path: str, kind: type[Answer], query: Mapping[str, str] = MappingProxyType({})
    ) -> Answer:
        text = await self._text(path, query)
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError as error:
            raise Inconsistent(f"what answers {path} is no Alertmanager: {error}") from error

    async def _text(self, path: str, query: Mapping[str, str] = MappingProxyType({})) -> str:
        with _translated():
            async with self._session.get(self._url + path, params=query) as response:
                if response.status != 200:
                    raise Unavailable(f"Alertmanager answered {path} with {response.status}")
                return await response.text()


@asynccontextmanager
async def reaching(url: str) -> AsyncIterator[Alertmanager]:
    """A client for the Alertmanager at that URL, without a slash at the end."""
    limit = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
    async with aiohttp.ClientSession(timeout=limit, trust_env=False) as session:
        yield Alertmanager(session, url)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        # The words of the library repeat the URL.
        raise Unavailable(
            f"Alertmanager does not answer ({type(error).__name__}): is alerts.alertmanager_url right?"
        ) from error


def receivers_of(config: str) -> Mapping[str, Mapping[str, int]]:
    """How many of each integration every receiver has, read from the configuration as Alertmanager prints it.

    It prints one form only, whatever the file looked like, so its lines tell without a parser of YAML.
    """
    found: dict[str, Counter[str]] = {}
    inside, integration = False, ""
    counts: Counter[str] = Counter()
    for line in config.splitlines():
        if not line.startswith((" ", "-")):
            inside = line == "receivers:"
        elif inside and (named := _RECEIVER.fullmatch(line)):
            counts = found.setdefault(named[1].strip("'\""), Counter())
        elif inside and (begun := _INTEGRATION.fullmatch(line)):
            integration = begun[1]
        elif inside and line.startswith("  - "):
            counts[integration] += 1
    return found
