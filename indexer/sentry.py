"""Errors and traces, told to Sentry where a DSN is given; where none is, its library is not even imported.

As of the journal there is one in a process::

    sentry.start(settings, redact)      before any work
    with sentry.step("follow", 17):     all that is reported inside has the tag block=17
        ...
    sentry.stop()                       sends what is left

What is reported: every journal record of level error or above, each with the last hundred calls, queries and
records before it, and errors that end the process. Failures that are tried again are no more than warnings.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from indexer import __version__
from indexer.core.errors import UserMistake
from indexer.sentry_events import Quiet, Trail, block_of, scrubbed

if TYPE_CHECKING:
    from logging import LogRecord
    from types import ModuleType

    from sentry_sdk.transport import Transport

    from indexer.settings import SentrySettings

#: Seconds that the process may take at its end to send what is left.
FLUSH_SECONDS = 2.0
#: Attributes of an error that passed through a step: where it happened is known only there.
_BLOCK_OF_STEP = "sentry_block"

_reports: _Reports | None = None


def start(
    settings: SentrySettings, redact: Callable[[str], str], *, transport: Transport | None = None
) -> None:
    """Report from now on, if the settings have a DSN.

    Args:
        transport: another way to send, for looking at what would be sent.

    Raises:
        UserMistake: there is a DSN, but Sentry's library is not installed.
    """
    global _reports  # noqa: PLW0603 - the library is global to the process too
    if settings.dsn is None:
        return
    reports = _Reports(settings, redact, require_library())
    reports.begin(settings, transport)
    _reports = reports


def stop() -> None:
    """Send what is left, for two seconds at most, and report no more."""
    global _reports  # noqa: PLW0603
    if _reports is not None:
        _reports.end()
        _reports = None


def is_on() -> bool:
    """Whether anything is reported."""
    return _reports is not None


def chain_is(name: str | None) -> None:
    """All that is reported from now on has this tag."""
    if _reports is not None and name is not None:
        _reports.sdk.get_global_scope().set_tag("chain", name)


def fatal(error: BaseException) -> None:
    """Report an error that ends the process and that no journal record tells."""
    if _reports is not None:
        _reports.sdk.capture_exception(error)


def message(text: str) -> None:
    """Report a text."""
    if _reports is not None:
        _reports.sdk.capture_message(text, level="error")


def step(name: str, block: int | None, last_block: int | None = None) -> AbstractContextManager[None]:
    """What happens inside is one step of the journey: a transaction in Sentry, with the (first) block as a tag."""
    if _reports is None:
        return nullcontext()
    return _reports.step(name, block, last_block)


def rpc_call(endpoint: str, method: str, outcome: str, seconds: float, received_bytes: int) -> None:
    """Remember a call to a node."""
    if _reports is not None:
        data = {"ms": round(seconds * 1000, 1), "bytes": received_bytes}
        level = "info" if outcome == "ok" else "warning"
        _reports.happened("rpc", f"{method} at {endpoint}: {outcome}", data, seconds, level)


def query(record: Any) -> None:
    """Remember a statement; the record is asyncpg's `LoggedQuery`. Its arguments are left out."""
    if _reports is not None:
        failure = record.exception
        data = {"ms": round(record.elapsed * 1000, 1)} | (
            {"error": type(failure).__name__} if failure else {}
        )
        statement = " ".join(record.query.split())[:500]
        _reports.happened("query", statement, data, record.elapsed, "warning" if failure else "info")


def require_library() -> ModuleType:
    """Sentry's library. Raises: UserMistake: it is not installed."""
    try:
        import sentry_sdk
    except ImportError as error:
        raise UserMistake(
            "SENTRY_DSN is set, but Sentry's library is not installed: "
            "pip install 'evm-indexer[sentry]', or unset SENTRY_DSN"
        ) from error
    return sentry_sdk


class _Reports:
    """Shapes what the library sends."""

    def __init__(self, settings: SentrySettings, redact: Callable[[str], str], sdk: Any) -> None:
        self.sdk = sdk
        self._redact = redact
        self._traces = settings.traces_sample_rate > 0
        self._trail = Trail()
        self._quiet = Quiet()

    def begin(self, settings: SentrySettings, transport: Transport | None) -> None:
        from sentry_sdk.integrations.logging import LoggingIntegration

        self.sdk.init(
            dsn=settings.dsn,
            environment=settings.environment,
            release=settings.release or f"evm-indexer@{__version__}",
            traces_sample_rate=settings.traces_sample_rate if self._traces else None,
            server_name=self._redact(socket.gethostname()),
            transport=transport,
            # The others read arguments and bodies, and change aiohttp, asyncpg and the like under our feet.
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[LoggingIntegration(sentry_logs_level=None)],
            before_send=self._event,
            before_send_transaction=self._transaction,
            before_breadcrumb=self._record,
            # Cut by us, once the secrets are out.
            max_value_length=None,
            include_local_variables=False,
            # Our requests carry no header of Sentry's to anybody.
            trace_propagation_targets=[],
        )

    def end(self) -> None:
        self.sdk.get_client().close(timeout=FLUSH_SECONDS)
        self.sdk.get_global_scope().clear()
        self.sdk.get_global_scope().set_client(None)

    def happened(
        self, category: str, message: str, data: Mapping[str, object], seconds: float, level: str
    ) -> None:
        """Into the trail; where a traced step is going on also one of its spans."""
        self._trail.add(category, message, data, level)
        if self._traces and self.sdk.get_current_span() is not None:
            began = datetime.now(UTC) - timedelta(seconds=seconds)
            op = "db" if category == "query" else category
            with self.sdk.start_span(op=op, name=message, start_timestamp=began) as span:
                for name, value in data.items():
                    span.set_data(name, value)

    @contextmanager
    def step(self, name: str, block: int | None, last_block: int | None) -> Iterator[None]:
        with self.sdk.new_scope() as scope:
            if block is not None:
                scope.set_tag("block", block)
            transaction = self.sdk.start_transaction(op="indexer", name=name)
            if last_block is not None:
                transaction.set_data("last_block", last_block)
            scope.span = transaction
            try:
                yield
                transaction.set_status("ok")
            except BaseException as error:
                cancelled = isinstance(error, asyncio.CancelledError)
                transaction.set_status("cancelled" if cancelled else "internal_error")
                if not hasattr(error, _BLOCK_OF_STEP):
                    setattr(error, _BLOCK_OF_STEP, block)
                raise
            finally:
                # asyncpg tells of a statement with the loop's next turn: the last one is to be part of this.
                finish = partial(transaction.finish, end_timestamp=datetime.now(UTC))
                asyncio.get_running_loop().call_soon(finish)

    def _record(self, crumb: dict[str, Any], hint: dict[str, Any]) -> None:
        """Take a journal record into our trail; into the library's own nothing goes."""
        record: LogRecord | None = hint.get("log_record")
        if record is not None:
            fields = getattr(record, "fields", {})
            self._trail.add(record.name, record.getMessage(), fields, str(crumb.get("level", "info")))

    def _event(self, event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any] | None:
        record: LogRecord | None = hint.get("log_record")
        fields = getattr(record, "fields", {})
        # `error=` is how the journal tells of a caught error without its stack.
        error = (hint.get("exc_info") or (None, fields.get("error"), None))[1]
        said = record.getMessage() if record else ""
        held_back = self._quiet.pass_on(event.get("logger", ""), said, type(error).__name__, str(error)[:200])
        if held_back is None:
            return None
        tags = event.setdefault("tags", {})
        if record is not None:
            # Here and not in the library's extra, whose values are texts already.
            event["extra"] = dict(fields)
            if correlation_id := getattr(record, "correlation_id", None):
                tags["correlation_id"] = correlation_id
            if (block := block_of(fields)) is not None:
                tags["block"] = block
        if held_back:
            event.setdefault("extra", {})["held_back"] = held_back
        if (block := getattr(error, _BLOCK_OF_STEP, None)) is not None:
            tags.setdefault("block", block)
        event["breadcrumbs"] = {"values": self._trail.all()}
        return self._clean(event)

    def _transaction(self, event: dict[str, Any], _hint: dict[str, Any]) -> dict[str, Any]:
        return self._clean(event)

    def _clean(self, event: dict[str, Any]) -> dict[str, Any]:
        cleaned: dict[str, Any] = scrubbed(event, self._redact)
        # Tags are texts.
        cleaned["tags"] = {name: str(value) for name, value in (cleaned.get("tags") or {}).items()}
        return cleaned
