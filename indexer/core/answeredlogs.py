"""The logs of an answer, made objects only where somebody wants them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from msgspec import Raw
from msgspec.json import Decoder

from indexer.core.logscan import Scanned, scan
from indexer.core.wire import WireLog

#: Shorter answers have too few logs for columns to pay.
SCANNED_BYTES = 64 * 1024

_LOGS = Decoder(list[WireLog])


class AnsweredLogs(Sequence[WireLog]):
    """Logs in chain order whose columns are known; the objects are read from the text when first asked for."""

    def __init__(self, text: Raw, scanned: Scanned) -> None:
        self.scanned = scanned
        self._text = text
        self._logs: list[WireLog] | None = None

    def __len__(self) -> int:
        return len(self.scanned.columns)

    @overload
    def __getitem__(self, place: int) -> WireLog: ...

    @overload
    def __getitem__(self, place: slice) -> list[WireLog]: ...

    def __getitem__(self, place: int | slice) -> WireLog | list[WireLog]:
        if self._logs is None:
            self._logs = _LOGS.decode(self._text)
        return self._logs[place]


class LogsDecoder:
    """Reads the result of `eth_getLogs`."""

    def decode(self, result: Raw) -> Sequence[WireLog]:
        """The logs as they came.

        Raises:
            msgspec.DecodeError, UnicodeDecodeError, RecursionError: the text is no JSON, or something else.
        """
        if len(memoryview(result)) >= SCANNED_BYTES and (scanned := scan(memoryview(result))) is not None:
            return AnsweredLogs(result, scanned)
        return _LOGS.decode(result)
