"""Writes the indexer's configuration for a development chain."""

from __future__ import annotations

import json
from collections.abc import Iterable

from indexer.dev.deploy import Deployed


def config_text(
    contracts: Iterable[Deployed],
    *,
    rpc: Iterable[str],
    chain_id: int = 31337,
    poll_seconds: float | None = None,
    database_url: str | None = None,
    listen: str | None = None,
) -> str:
    """The text of an `indexer.toml` that follows the contracts; what is None is left to its default.

    Args:
        rpc: the URLs of the chain, those of WebSockets among them.
        listen: host:port of the indexer's own HTTP server.
    """
    sections = [
        _section(
            "[chain]",
            id=chain_id,
            rpc=list(rpc),
            poll_seconds=poll_seconds,
        )
    ]
    if database_url is not None:
        sections.append(_section("[database]", url=database_url))
    if listen is not None:
        sections.append(_section("[http]", listen=listen))
    sections += [
        _section(
            "[[contracts]]",
            name=contract.name,
            address=contract.address,
            abi=str(contract.abi),
            start_block=contract.start_block,
        )
        for contract in contracts
    ]
    return "\n".join(sections)


def _section(title: str, **values: object) -> str:
    # A JSON text, number or list of texts is the same in TOML.
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    return "\n".join([title, *lines]) + "\n"
