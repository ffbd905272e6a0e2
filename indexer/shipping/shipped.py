"""Where the journal's records enter the queue for Logstash."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from indexer import journal
from indexer.journal_format import JsonLines
from indexer.shipping.backlog import Backlog, Room
from indexer.shipping.sender import Pace, Sender

#: Loggers whose lines are about shipping, and would feed on themselves.
_OWN = __name__.rpartition(".")[0]


class ShippedLines(logging.Handler):
    """Puts each record into the queue as a JSON line, whatever standard error shows; costs little when it is full."""

    def __init__(self, backlog: Backlog, sender: Sender, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._backlog = backlog
        self._sender = sender
        self.setFormatter(JsonLines(redact))
        self.addFilter(journal.marks)

    @property
    def sent(self) -> int:
        """Lines that were given to the connection."""
        return self._backlog.sent

    @property
    def dropped(self) -> Mapping[str, int]:
        """Lines that were not shipped, by reason."""
        return self._backlog.dropped

    @property
    def queued(self) -> int:
        """Lines that wait."""
        return self._backlog.queued

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(_OWN):
            return
        if self._backlog.is_full:
            self._backlog.drop("queue_full")
            return
        try:
            # Half a surrogate pair, which UTF-8 cannot say, becomes the escape that JSON has for it.
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        except Exception:  # noqa: BLE001 - whatever it holds, a record must not stop who writes it
            self._backlog.drop("not_writable")
        else:
            self._backlog.put(line)

    def close(self) -> None:
        """Send what waits, as far as that is quickly done, and end."""
        self._sender.stop()
        super().close()


def ship(
    address: tuple[str, int],
    redact: Callable[[str], str],
    *,
    room: Room | None = None,
    pace: Pace | None = None,
) -> ShippedLines:
    """Send every line to Logstash too, from now until `stop_shipping`; it is not waited for a connection.

    Args:
        address: host and port of an input that takes JSON lines by TCP.
    """
    stop_shipping()
    backlog = Backlog(room)
    sender = Sender(*address, backlog, pace)
    shipped = ShippedLines(backlog, sender, redact)
    logging.getLogger().addHandler(shipped)
    sender.start()
    return shipped


def stop_shipping() -> None:
    """Send what waits, as far as that is quickly done; without `ship` before, nothing happens."""
    root = logging.getLogger()
    for shipped in [each for each in root.handlers if isinstance(each, ShippedLines)]:
        root.removeHandler(shipped)
        shipped.close()
