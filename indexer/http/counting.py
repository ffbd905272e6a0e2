"""Counts and times the requests to our own endpoints, by paths that are known beforehand."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from indexer.metrics import Metrics

#: What every path can answer: well, not now, not at all.
STATUSES = (200, 500, 503)
_CRASHED = 500


def counting(metrics: Metrics) -> Middleware:
    """A middleware that goes round all others, so that it sees what is really answered."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        clock = asyncio.get_running_loop().time
        began, status = clock(), _CRASHED
        try:
            response = await handler(request)
            status = response.status
        finally:
            # Also of what nobody foresaw, which aiohttp answers with 500.
            metrics.http_request(_path(request), status, clock() - began)
        return response

    return count


def paths(application: web.Application) -> list[str]:
    """The paths of all routes, as they are counted."""
    return [resource.canonical for resource in application.router.resources()]


def _path(request: web.Request) -> str | None:
    resource = request.match_info.route.resource
    return None if resource is None else resource.canonical
