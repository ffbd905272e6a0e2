"""How a journal record becomes one line: JSON for machines, text for people at a terminal."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

#: The program's name in every line, so that lines of several programs can share an index.
SERVICE = "evm-indexer"
#: Keys that a line has of its own; a field of the same name gets a trailing underscore.
_OWN_KEYS = frozenset(
    {"@timestamp", "level", "logger", "service", "message", "chain", "correlation_id", "error", "stack"}
)
#: Larger integers lose digits in readers that know only binary64 numbers. Source: RFC 8259, section 6.
_SAFE_INTEGER = 2**53
_DEEPEST = 6


class _Redacted(logging.Formatter):
    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def _message(self, record: logging.LogRecord) -> str:
        return self._redact(record.getMessage())

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        fields: Mapping[str, object] = getattr(record, "fields", {})
        return {_key(name, value): self._plain(value) for name, value in fields.items()}

    def _stack(self, record: logging.LogRecord) -> str:
        """The traceback with all causes, and the stack where one was asked for; empty without both."""
        parts = [self.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
        if record.stack_info:
            parts.append(record.stack_info)
        return self._redact("\n".join(parts))

    def _plain(self, value: object, depth: int = 0) -> object:
        """The value as JSON can hold it: bytes as 0x text, integers beyond 2^53 as text, no secrets."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if abs(value) <= _SAFE_INTEGER else str(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return "0x" + bytes(value).hex()
        if isinstance(value, datetime | date):
            return value.isoformat()
        if isinstance(value, BaseException):
            return self._redact(_error_text(value))
        if depth < _DEEPEST and isinstance(value, Mapping):
            return {self._redact(str(key)): self._plain(item, depth + 1) for key, item in value.items()}
        if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
            return [self._plain(item, depth + 1) for item in value]
        return self._redact(str(value))


class JsonLines(_Redacted):
    """One JSON object a line, its keys flat: @timestamp, level, logger, service, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        # Standard error and Logstash get the same line: it is put together once.
        made_by, text = getattr(record, "json_line", (None, ""))
        if made_by is not self._redact:
            text = self._line(record)
            record.json_line = (self._redact, text)
        return text

    def _line(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "@timestamp": moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "service": SERVICE,
            "message": self._message(record),
        }
        for mark in ("chain", "correlation_id"):
            if (value := getattr(record, mark, None)) is not None:
                line[mark] = value
        line.update(self._fields(record))
        if record.exc_info and record.exc_info[1]:
            line["error"] = self._redact(_error_text(record.exc_info[1]))
        if stack := self._stack(record):
            line["stack"] = stack
        return json.dumps(line, ensure_ascii=False, allow_nan=False)


class TextLines(_Redacted):
    """For a terminal: local time, level, phrase, fields, and who says it."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        parts = [f"{time} {record.levelname.lower():8}{self._message(record)}"]
        parts += [f"{name}={_short(value)}" for name, value in self._fields(record).items()]
        if correlation_id := getattr(record, "correlation_id", None):
            parts.append(f"correlation={correlation_id}")
        line = "  ".join(parts) + f"  ({record.name})"
        stack = self._stack(record)
        return f"{line}\n{stack}" if stack else line


def moment(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC with milliseconds: `2025-01-31T12:00:00.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _key(name: str, value: object) -> str:
    # `error=` is how a caught error is journalled without its stack: it means the same as the line's own key.
    is_error = name == "error" and isinstance(value, BaseException | str)
    return name + "_" if name in _OWN_KEYS and not is_error else name


def _error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _short(value: object) -> str:
    """A field for a person to read: quoted only where blanks or line breaks would blur its end."""
    plain = isinstance(value, str) and value.isprintable() and " " not in value
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
