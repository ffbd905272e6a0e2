"""What a client asks for: the format of the metrics, and whether it takes them compressed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def wants_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics 1 is liked at least as well as the text format; without any word it is not."""
    openmetrics = plain = 0.0
    for kind, parameters in _choices(accept):
        quality = _quality(parameters)
        if kind == "application/openmetrics-text" and parameters.get("version", "1").split(".")[0] == "1":
            openmetrics = max(openmetrics, quality)
        elif kind in {"text/plain", "text/*", "*/*"}:
            plain = max(plain, quality)
    return openmetrics > 0 and openmetrics >= plain


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an answer may be compressed; what is named goes before what `*` says."""
    said = {kind: _quality(parameters) for kind, parameters in _choices(accept_encoding)}
    return said.get("gzip", said.get("*", 0.0)) > 0


def _choices(header: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    for part in header.split(","):
        kind, *rest = (piece.strip() for piece in part.split(";"))
        pairs = (piece.partition("=") for piece in rest)
        yield kind.lower(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _quality(parameters: Mapping[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
