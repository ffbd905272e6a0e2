"""One process under the pressure of log lines: nothing but them, or a backfill beside them. Started by `bench logs`."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from indexer import journal, once
from indexer.core.redaction import Redactor
from indexer.settings.reading import load_settings
from indexer.shipping import Pace, ShippedLines, ship

#: Between two bursts of the generator that keeps to a rate.
BURST_SECONDS = 0.01
#: At the end nothing is waited for: what is left is counted.
AT_ONCE = Pace(flush=0.1)


@dataclass(frozen=True, slots=True)
class Pressed:
    """What became of the lines."""

    lines: int
    seconds: float
    sent: int
    dropped: int
    queued: int
    #: What the process held before the first line, and at most until the last.
    before_bytes: int
    peak_bytes: int


class Pressure:
    """Writes lines like the program's own.

    Args:
        port: where Logstash is, or is not; None: nothing is shipped.
        only_shipped: they do not go to standard error as well.
    """

    def __init__(self, port: int | None, redact: Redactor, *, only_shipped: bool) -> None:
        self._shipped = None if port is None else ship(("127.0.0.1", port), redact, pace=AT_ONCE)
        logger = logging.getLogger("bench.pressure")
        if only_shipped:
            logger.propagate = False
            logger.addHandler(self._shipped or logging.NullHandler())
        self._log = journal.Journal(logger)
        self._stop = threading.Event()
        self.lines = 0

    def write(self, lines: int) -> Pressed:
        """So many lines as fast as they can be written."""
        before, started = _memory("VmRSS"), time.perf_counter()
        for _ in range(lines):
            self._one()
        return self.result(time.perf_counter() - started, before)

    def keep_writing(self, per_second: float) -> None:
        """So many lines a second until `stop`."""
        started = time.perf_counter()
        while not self._stop.wait(BURST_SECONDS):
            due = int((time.perf_counter() - started) * per_second)
            while self.lines < due:
                self._one()

    def stop(self) -> None:
        self._stop.set()

    def _one(self) -> None:
        self._log.warning("transaction failed", contract="Token", block=self.lines, reason="reverted")
        self.lines += 1

    def result(self, seconds: float, before: int) -> Pressed:
        shipped: ShippedLines | None = self._shipped
        sent, dropped, queued = (
            (0, 0, 0) if shipped is None else (shipped.sent, sum(shipped.dropped.values()), shipped.queued)
        )
        return Pressed(self.lines, seconds, sent, dropped, queued, before, _memory("VmHWM"))


def press(port: int | None, lines: int) -> None:
    """Write so many lines, and print what became of them as JSON."""
    redact = Redactor()
    journal.setup(redact, style="json")
    pressure = Pressure(port, redact, only_shipped=True)
    print(json.dumps(asdict(pressure.write(lines))), flush=True)


def press_backfill(port: int | None, per_second: float, config: Path, last: int) -> None:
    """Backfill the blocks up to the last one while lines are written; print what both did, a line of JSON each.

    The lines go to standard error too, as in `indexer run`: what is compared is the price of the copy.
    """
    redact, settings = Redactor(), load_settings({}, config)
    journal.setup(redact, style="json", level="warning")
    before, started = _memory("VmRSS"), time.perf_counter()
    pressure = Pressure(port, redact, only_shipped=False)
    writing = threading.Thread(target=pressure.keep_writing, args=[per_second], daemon=True)
    writing.start()
    asyncio.run(once.backfill(settings, redact, 0, last, None, processes=1, as_json=True))
    pressure.stop()
    writing.join()
    print(json.dumps(asdict(pressure.result(time.perf_counter() - started, before))), flush=True)


def _memory(which: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the system does not tell {which}")
