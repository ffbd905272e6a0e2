"""The program's own log: one JSON object a line on standard error, without secrets.

A message is a constant phrase; what varies goes into fields::

    log = journal.get(__name__)
    log.info("caught up", head=head.number, cursor=cursor.number)

All that happens inside ``with journal.batch():`` carries the same ``correlation_id``, in tasks and threads
started there too. Every line carries the chain, once it is known. `docs/logs.md` describes the fields.
"""

from __future__ import annotations

import contextvars
import logging
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

from indexer.journal_format import JsonLines, TextLines

_correlation_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("correlation_id", default=None)


class Journal:
    """A logger of the standard library whose keyword arguments become the fields of the line.

    The message is positional, so a field may have any name but `exc_info` and `stack_info`, which ask for the
    traceback of the error being handled and for the present stack.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, message: str, /, **fields: object) -> None:
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        self._write(logging.ERROR, message, fields)

    def exception(self, message: str, /, **fields: object) -> None:
        """An error, with the traceback of the exception being handled."""
        self._write(logging.ERROR, message, {"exc_info": True, **fields})

    def critical(self, message: str, /, **fields: object) -> None:
        self._write(logging.CRITICAL, message, fields)

    @property
    def hears_debug(self) -> bool:
        """Whether lines of the level `debug` are written, for what is dear to put together."""
        return self._logger.isEnabledFor(logging.DEBUG)

    def _write(self, level: int, message: str, fields: dict[str, object]) -> None:
        if not self._logger.isEnabledFor(level):
            return
        exc_info: Any = fields.pop("exc_info", None)
        stack_info = bool(fields.pop("stack_info", False))
        # It is the caller of `info` and the like who speaks, hence the third level.
        self._logger.log(
            level, message, exc_info=exc_info, stack_info=stack_info, stacklevel=3, extra={"fields": fields}
        )


def get(name: str) -> Journal:
    """The journal of a module; called with ``__name__`` once, at the module's top."""
    return Journal(logging.getLogger(name))


@contextmanager
def batch(correlation_id: str | None = None) -> Iterator[str]:
    """Mark everything that is journalled inside with one id, a new one unless given."""
    chosen = correlation_id or secrets.token_hex(6)
    token = _correlation_id.set(chosen)
    try:
        yield chosen
    finally:
        _correlation_id.reset(token)


class Marks(logging.Filter):
    """Notes on every record what its line says beside its own words; it keeps none back."""

    #: The chain of this process, as metrics name it.
    chain: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        record.correlation_id = _correlation_id.get()
        record.chain = self.chain
        return True


#: Of the process: it indexes one chain, and all its lines say which.
marks = Marks()


def chain_is(name: str) -> None:
    """Name the chain in every line from now on."""
    marks.chain = name


def setup(
    redact: Callable[[str], str],
    *,
    style: str = "auto",
    level: str = "info",
    stream: TextIO | None = None,
    chain: str | None = None,
    counted: Callable[[str], None] | None = None,
) -> None:
    """Send every record of every logger of the process, libraries' included, to one place.

    Calling it again replaces the former setup, for instance once the secrets to hide are known.

    Args:
        redact: what every text goes through before it is written.
        style: ``json``, ``text``, or ``auto``: text when the stream is a terminal.
        level: the least level that is written: ``debug``, ``info``, ``warning`` or ``error``.
        stream: standard error unless given.
        chain: what every line calls the chain, None while it is not known.
        counted: is told the level of each line. It must neither block nor journal.
    """
    marks.chain = chain
    target = stream if stream is not None else sys.stderr
    as_text = style == "text" or (style in ("auto", "") and target.isatty())
    handler = _Lines(target, redact, counted)
    handler.setFormatter(TextLines(redact) if as_text else JsonLines(redact))
    handler.addFilter(marks)
    root = logging.getLogger()
    for former in [each for each in root.handlers if isinstance(each, _Lines)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Every scrape and every health check would be a line.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _journal_uncaught
    threading.excepthook = _journal_uncaught_in_thread


class _Lines(logging.StreamHandler[TextIO]):
    """Writes lines; a record that cannot be written leaves a line that says so, without its content."""

    def __init__(
        self, stream: TextIO, redact: Callable[[str], str], counted: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(stream)
        self._redact = redact
        self._counted = counted

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if self._counted is not None:
            self._counted(record.levelname.lower())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the standard library's name)
        """Replaces the standard one, which prints the record's message with all secrets in it."""
        failure = sys.exc_info()[1]
        if isinstance(failure, OSError | ValueError) and self.stream.closed:
            return
        phrase = "journal record not writable"
        substitute = logging.LogRecord(record.name, logging.ERROR, "", record.lineno, phrase, (), None)
        fields: Mapping[str, object] = {"line": record.lineno, "failure": type(failure).__name__}
        substitute.fields = fields
        try:
            self.stream.write(self.format(substitute) + self.terminator)
            self.flush()
        except OSError:
            # Nobody reads standard error any more (its pipe is closed): there is no place left to tell it.
            return


def _journal_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    get("indexer").critical("stopped by an unforeseen error", exc_info=(kind, error, traceback))


def _journal_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        get("indexer").error(
            "a thread ended by an unforeseen error",
            exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
        )
