"""Ask the indexer of this container whether it is healthy: `python -m indexer.http.healthcheck`.

Exit code 0: it is, 1: it is not, or does not answer. It needs the standard library only, so that it
starts quickly.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping

_DEFAULT = "127.0.0.1:9464"
_TIMEOUT_SECONDS = 5.0
#: An address to listen on at all interfaces is none to connect to.
_REACHED_AT = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def address(environment: Mapping[str, str]) -> tuple[str, int]:
    """Host and port to ask, from `INDEXER_HTTP`.

    Raises: ValueError when it is not host:port, or leaves the port open (0).
    """
    listen = environment.get("INDEXER_HTTP", "").strip() or _DEFAULT
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if int(port) == 0:
        raise ValueError("INDEXER_HTTP leaves the port open, so it cannot be known here")
    return _REACHED_AT.get(host, host), int(port)


def main(environment: Mapping[str, str], timeout_seconds: float = _TIMEOUT_SECONDS) -> int:
    """0 when `/health` answers 200, else 1 with the reason on standard error.

    A process whose event loop does not turn gives no answer at all: only the time-out shows that.
    """
    try:
        host, port = address(environment)
        connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            body = response.read(65536).decode("utf-8", "replace")
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer: {error}\n")
        return 1
    if response.status != 200:
        sys.stderr.write(f"HTTP {response.status}: {body}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
