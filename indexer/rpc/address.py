"""Where an endpoint is, under a name that may be shown."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """Where an endpoint is, and how it wants to be treated."""

    #: What it is called in journal, metrics and errors.
    name: str
    #: `http`, `https`, `ws` or `wss`; may hold a key, so it is never shown.
    url: str = field(repr=False)
    requests_per_second: float | None = None
    #: Whether answers come compressed: good over a network, a waste on one machine.
    gzip: bool = True

    @property
    def is_websocket(self) -> bool:
        return self.url.lower().startswith(("ws://", "wss://"))
