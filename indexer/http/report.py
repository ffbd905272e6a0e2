"""The answers of `/health`, `/health/live` and `/health/ready`, as JSON objects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import indexer
from indexer.core.errors import IndexerError
from indexer.core.health import Facts, Lagging, Limits, Role, Status, Verdict, judge
from indexer.journal_format import moment
from indexer.metrics import LastError, Metrics, Observed

#: Returns when all is well, and raises an error of ours when it is not.
Probe = Callable[[], Awaitable[None]]

_SERVICE_WORDS = {Status.OK: "healthy", Status.DEGRADED: "degraded", Status.UNHEALTHY: "unhealthy"}


@dataclass(slots=True)
class Readiness:
    """What whoever starts the parts tells as they come up; the server answers before any of it."""

    #: Asks the database for something trivial; None: there is no connection yet.
    database: Probe | None = None
    #: The database has every migration of this program.
    schema_current: bool = False
    #: The node serves the chain of the configuration and the database.
    chain_right: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """An answer: its HTTP status and its JSON object."""

    status: int
    body: dict[str, object]


class Health:
    """Gathers the facts and puts the verdict into words.

    Args:
        redact: what every text that others wrote goes through.
        probe_seconds: how long the database may take to answer.
    """

    def __init__(
        self,
        metrics: Metrics,
        readiness: Readiness,
        limits: Limits,
        *,
        probe_seconds: float,
        redact: Callable[[str], str],
    ) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._limits = limits
        self._probe_seconds = probe_seconds
        self._redact = redact

    def live(self) -> Report:
        """The event loop turns: that this runs is the proof."""
        return Report(200, {"status": "ok", "timestamp": self._timestamp(), "uptime": self._uptime()})

    async def ready(self) -> Report:
        """Whether it could work: the database answers, its schema is current, the chain is the right one."""
        problem = await self._database_problem()
        checks = {
            "database": problem is None,
            "schema": self._readiness.schema_current,
            "chain": self._readiness.chain_right,
        }
        is_ready = all(checks.values())
        body: dict[str, object] = {
            "status": "ok" if is_ready else "unhealthy",
            "timestamp": self._timestamp(),
            "checks": {name: "ok" if passed else "not ready" for name, passed in checks.items()},
        }
        if problem is not None:
            body["error"] = problem
        return Report(200 if is_ready else 503, body)

    async def whole(self) -> Report:
        """Whether it does its work, part by part."""
        problem = await self._database_problem()
        seen = self._metrics.observed
        facts = _facts(seen, self._limits, problem)
        verdict = judge(facts, self._limits)
        database: dict[str, object] = {"status": "healthy" if problem is None else "unhealthy"}
        if problem is not None:
            database["error"] = problem
        return Report(
            verdict.http_status,
            {
                "status": verdict.status.value,
                "timestamp": self._timestamp(),
                "uptime": self._uptime(),
                "version": indexer.__version__,
                "chain": self._metrics.chain,
                "role": facts.role.value,
                "database": "connected" if problem is None else "disconnected",
                "reasons": [self._redact(reason) for reason in verdict.reasons],
                "services": {
                    "database": database,
                    "cache": {"status": "disabled", "enabled": False},
                    "blockchain": _blockchain(seen, facts, verdict),
                    "indexer": _indexer(seen, facts, verdict) | {"lastError": self._last_error(seen)},
                },
            },
        )

    async def _database_problem(self) -> str | None:
        problem = await self._probe_database()
        self._metrics.database(problem is None)
        return problem

    async def _probe_database(self) -> str | None:
        probe = self._readiness.database
        if probe is None:
            last = self._metrics.observed.open_error(of_backfill=False)
            return "not connected" + (f"; last error: {self._redact(last.text)}" if last else " yet")
        try:
            async with asyncio.timeout(self._probe_seconds):
                await probe()
        except TimeoutError:
            return f"no answer within {self._probe_seconds:g} s"
        except (IndexerError, OSError) as error:
            return self._redact(str(error))
        return None

    def _last_error(self, seen: Observed) -> dict[str, object] | None:
        last = seen.last_error
        if last is None:
            return None
        return {
            "type": last.type,
            "doing": last.doing,
            "message": self._redact(last.text),
            "at": moment(last.wall),
        }

    def _timestamp(self) -> str:
        return moment(self._metrics.observed.wall())

    def _uptime(self) -> float:
        seen = self._metrics.observed
        return round(seen.clock() - seen.started_at, 3)


def _words(error: LastError | None) -> str | None:
    return None if error is None else f"{error.type}: {error.text}"


def _lagging(seen: Observed, limits: Limits) -> Lagging | None:
    span = limits.stalled_seconds
    before, lately = seen.lagged.lowest(2 * span, span), seen.lagged.lowest(span, 0)
    if before is None or lately is None or seen.head_timestamp is None or seen.cursor_timestamp is None:
        return None
    return Lagging(before, lately, float(seen.head_timestamp - seen.cursor_timestamp))


def _facts(seen: Observed, limits: Limits, database_problem: str | None) -> Facts:
    role = {None: Role.STARTING, True: Role.LEADER, False: Role.STANDBY}[seen.leader]
    return Facts(
        now=seen.clock(),
        started_at=seen.started_at,
        role=role,
        head=seen.head_number,
        head_changed_at=seen.head_changed_at,
        head_read_at=seen.head_read_at,
        head_early_seconds=seen.head_early_seconds,
        cursor=seen.cursor_number,
        stuck_seconds=seen.tail.seconds,
        backfill_stuck_seconds=seen.backfill.seconds,
        backfill_left=seen.backfill_left,
        lagging=_lagging(seen, limits),
        database_problem=database_problem,
        endpoints=tuple(seen.endpoints.values()),
        halted=seen.halted,
        tail_error=_words(seen.open_error(of_backfill=False)),
        backfill_error=_words(seen.open_error(of_backfill=True)),
    )


def _blockchain(seen: Observed, facts: Facts, verdict: Verdict) -> dict[str, object]:
    return {
        "status": _SERVICE_WORDS[verdict.blockchain],
        "blockNumber": seen.head_number,
        "blockTime": None if seen.head_timestamp is None else moment(seen.head_timestamp),
        "headReadSecondsAgo": round(seen.since(seen.head_read_at), 1),
        "endpoints": len(facts.endpoints),
        "endpointsUp": facts.endpoints_up,
    }


def _indexer(seen: Observed, facts: Facts, verdict: Verdict) -> dict[str, object]:
    progress = seen.cursor_changed_wall
    return {
        "status": _SERVICE_WORDS[verdict.indexer],
        "blockNumber": seen.cursor_number,
        "finalizedBlockNumber": seen.finalized_number,
        "lag": seen.lag,
        "lastProgress": None if progress is None else moment(progress),
        "stuckSeconds": round(facts.stuck_seconds, 1),
        "halted": facts.halted is not None,
        "backfill": {
            "missingBlocks": facts.backfill_left,
            "stuckSeconds": round(facts.backfill_stuck_seconds, 1),
        },
    }
