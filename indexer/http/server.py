"""The HTTP server: up before all else, answering while the node or the database is down."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable, Callable
from types import TracebackType

from aiohttp import web

from indexer import journal
from indexer.core.errors import UserMistake
from indexer.http.counting import STATUSES, counting, paths
from indexer.http.negotiation import OPENMETRICS, PLAIN, takes_gzip, wants_openmetrics
from indexer.http.report import Health, Report
from indexer.metrics import Metrics

log = journal.get(__name__)

#: How long requests may still take once the server is told to stop.
_STOP_SECONDS = 1.0
#: The next level takes three times as long for a tenth less, and the page is asked for every few seconds.
_GZIP_LEVEL = 1

_INDEX = {
    "/metrics": "numbers for Prometheus",
    "/health": "whether the indexer does its work",
    "/health/live": "whether the process runs",
    "/health/ready": "whether it could work: database, schema, chain",
}


class HttpServer:
    """Serves metrics and health from entering it to leaving it.

    Raises:
        UserMistake: on entering, when the address cannot be listened on.
    """

    def __init__(self, host: str, port: int, metrics: Metrics, health: Health) -> None:
        self._host = host
        self._wanted_port = port
        self._metrics = metrics
        self._health = health
        application = web.Application(middlewares=[counting(metrics), _errors_as_json])
        application.on_response_prepare.append(_hide_software)
        application.router.add_get("/", self._index)
        application.router.add_get("/metrics", self._show_metrics)
        application.router.add_get("/health", self._show_health)
        application.router.add_get("/health/live", self._show_live)
        application.router.add_get("/health/ready", self._show_ready)
        metrics.http_serves(paths(application), STATUSES)
        self._runner = web.AppRunner(
            application, handle_signals=False, access_log=None, shutdown_timeout=_STOP_SECONDS
        )

    async def __aenter__(self) -> HttpServer:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._wanted_port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise UserMistake(
                f"cannot listen on {self._host}:{self._wanted_port}: {error.strerror}; "
                "choose another address with http.listen or INDEXER_HTTP (port 0 takes a free one)"
            ) from error
        log.info("listening", host=self._host, port=self.port, url=self.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port listened on: a free one where 0 was wanted."""
        port: int = self._runner.addresses[0][1]
        return port

    @property
    def url(self) -> str:
        """Where the server is reached from this machine, without a slash at the end."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 (compared only)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def _index(self, _: web.Request) -> web.Response:
        return _json({"name": "evm-indexer", "endpoints": _INDEX})

    async def _show_metrics(self, request: web.Request) -> web.Response:
        openmetrics = wants_openmetrics(request.headers.get("Accept", ""))
        body = self._metrics.page(openmetrics=openmetrics)
        headers = {"Content-Type": OPENMETRICS if openmetrics else PLAIN, "Vary": "Accept, Accept-Encoding"}
        if takes_gzip(request.headers.get("Accept-Encoding", "")):
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    async def _show_health(self, _: web.Request) -> web.Response:
        return _report(await self._health.whole())

    async def _show_live(self, _: web.Request) -> web.Response:
        return _report(self._health.live())

    async def _show_ready(self, _: web.Request) -> web.Response:
        return _report(await self._health.ready())


def _report(report: Report) -> web.Response:
    return _json(report.body, report.status)


def _json(body: object, status: int = 200) -> web.Response:
    # Health must never come out of a cache.
    return web.json_response(
        body,
        status=status,
        headers={"Cache-Control": "no-store"},
        dumps=lambda value: json.dumps(value, ensure_ascii=False),
    )


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        response = _json({"error": "method not allowed"}, 405)
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return response
    except web.HTTPException as error:
        return _json({"error": error.reason.lower()}, error.status)


async def _hide_software(_: web.Request, response: web.StreamResponse) -> None:
    del response.headers["Server"]
