"""The nodes to ask: entries of `chain.rpc`, or of `RPC_URL`."""

from __future__ import annotations

import re

from indexer.settings.model import EndpointSettings
from indexer.settings.toml_table import Mistakes, TomlTable, kind
from indexer.settings.urls import NODE_SCHEMES, is_loopback, problem_with

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def endpoints_of_environment(text: str, mistakes: Mistakes) -> tuple[EndpointSettings, ...]:
    """The endpoints of comma-separated URLs, named rpc-1, rpc-2 and so on."""
    found: list[EndpointSettings] = []
    for number, url in enumerate((part.strip() for part in text.split(",")), 1):
        problem = problem_with(url, NODE_SCHEMES, host_needed=True)
        if problem is not None:
            mistakes.add(f"environment: RPC_URL, entry {number}", problem)
            continue
        found.append(EndpointSettings(f"rpc-{number}", url, gzip=not is_loopback(url)))
    return tuple(found)


def read_endpoints(chain: TomlTable) -> tuple[EndpointSettings, ...]:
    """The endpoints of `chain.rpc`: URLs, or tables with an `url`; one alone needs no list."""
    value = chain.raw("rpc")
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    if not items:
        chain.wrong("rpc", 'is an empty list; name a node such as "http://127.0.0.1:8545", or set RPC_URL')
    found: list[EndpointSettings] = []
    for number, item in enumerate(items, 1):
        endpoint = _endpoint(chain, number, item)
        if endpoint is None:
            continue
        if endpoint.name in {other.name for other in found}:
            chain.wrong(f"rpc[{number}].name", f"{endpoint.name!r} is another endpoint's name already")
        found.append(endpoint)
    return tuple(found)


def _endpoint(chain: TomlTable, number: int, item: object) -> EndpointSettings | None:
    key = f"rpc[{number}]"
    if not isinstance(item, str | dict):
        chain.wrong(key, f"must be a URL or a table with an url, not {kind(item)}")
        return None
    table = chain.inner(key, item if isinstance(item, dict) else {"url": item})
    url = table.secret("url")
    if not table.has("url"):
        table.wrong("url", "is missing; every endpoint needs one")
    problem = url and problem_with(url, NODE_SCHEMES, host_needed=True)
    if problem:
        chain.wrong(key if isinstance(item, str) else f"{key}.url", problem)
    name = table.text("name") or f"rpc-{number}"
    if not _NAME.fullmatch(name):
        # The value is not shown: it may be a URL that was put at the wrong place.
        table.wrong("name", "must be 1 to 32 letters, digits, '-' or '_', beginning with a letter or digit")
        name = f"rpc-{number}"
    rate = table.number("requests_per_second", 0.01, 1e6)
    gzip = table.boolean("gzip", default=not url or bool(problem) or not is_loopback(url))
    table.done()
    return EndpointSettings(name, url, rate, gzip) if url else None
