"""The thread that carries lines from the queue to Logstash, however that fares."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass

from indexer import journal
from indexer.shipping.backlog import Backlog
from indexer.shipping.connection import Connection, LinesRefused

log = journal.get(__name__)

#: Given to the system at once, and so often in a row at most.
_BATCH_BYTES, _BATCHES = 64 * 1024, 16
#: Lines come in groups: a moment later one call of the system does for many. To send each by itself, and to wake for
#: it, would cost who writes them twice as much.
_GATHER_SECONDS = 0.05
#: How often it looks up while there is nothing to do.
_IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the sender is, in seconds."""

    connect: float = 5.0
    #: A connection that took nothing for so long is made anew.
    stall: float = 120.0
    #: The first pause between two attempts to connect and the longest; each is cut by a random half.
    first_pause: float = 0.5
    longest_pause: float = 30.0
    #: Between two lines that tell what was dropped.
    announce: float = 60.0
    #: What still waits at the end has so long.
    flush: float = 3.0


class Sender:
    """Runs from `start` to `stop`. What it has to say itself goes to standard error alone."""

    def __init__(self, host: str, port: int, backlog: Backlog, pace: Pace | None = None) -> None:
        self._host = host
        self._port = port
        self._backlog = backlog
        self._pace = pace or Pace()
        self._stopping = threading.Event()
        self._deadline = 0.0
        #: It ends with the process whatever it waits for, such as a name server.
        self._thread = threading.Thread(target=self._run, name="log shipping", daemon=True)
        self._connection: Connection | None = None
        self._failures = 0
        self._told_drops = 0
        self._told_at: float | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let what waits be sent, as far as that is quickly done; then no line is sent any more."""
        self._deadline = time.monotonic() + self._pace.flush
        self._stopping.set()
        self._backlog.close()
        # A second longer: a call of the system that is under way ends by itself soon after.
        self._thread.join(self._pace.flush + 1.0)
        self._backlog.give_up()
        self._announce(at_once=True)

    def _run(self) -> None:
        try:
            while not self._is_over():
                if self._backlog.wait(_IDLE_SECONDS):
                    self._stopping.wait(_GATHER_SECONDS)
                    self._carry()
                elif self._stopping.is_set():
                    break
                self._announce()
        finally:
            if self._connection is not None:
                self._connection.close()

    def _carry(self) -> None:
        """Send the oldest lines, or find out that it cannot be done now, and pause."""
        try:
            if self._connection is None:
                self._connect()
            assert self._connection is not None
            for _ in range(_BATCHES):
                if lines := self._backlog.first(_BATCH_BYTES):
                    self._connection.send(lines, self._is_over)
                    self._backlog.shipped(len(lines))
        except LinesRefused as refused:
            self._backlog.shipped(refused.shipped)
            self._lost(str(refused))

    def _connect(self) -> None:
        seconds = self._pace.connect
        if self._stopping.is_set():
            seconds = max(0.1, min(seconds, self._deadline - time.monotonic()))
        self._connection = Connection(
            self._host, self._port, connect_seconds=seconds, stall_seconds=self._pace.stall
        )
        log.info("log lines go to Logstash", logstash=self._address, failures=self._failures)
        self._failures = 0

    def _lost(self, why: str) -> None:
        """Let go of the connection; an outage is told once, however often it is tried to end it."""
        was_connected = self._connection is not None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if not self._failures and not self._stopping.is_set():
            log.warning("no log lines go to Logstash", logstash=self._address, reason=why)
        longest = min(self._pace.first_pause * 2 ** min(self._failures, 10), self._pace.longest_pause)
        self._failures += 1
        if self._stopping.is_set() and not was_connected:
            # Nobody is there, and there is no time to wait for somebody.
            self._deadline = 0.0
        self._announce()
        self._stopping.wait(random.uniform(longest / 2, longest))

    def _is_over(self) -> bool:
        return self._stopping.is_set() and time.monotonic() >= self._deadline

    def _announce(self, *, at_once: bool = False) -> None:
        """Tell how many lines were dropped since it was told last, now and then."""
        dropped = dict(self._backlog.dropped)
        total, now = sum(dropped.values()), time.monotonic()
        recently = self._told_at is not None and now - self._told_at < self._pace.announce
        if total == self._told_drops or (recently and not at_once):
            return
        log.warning(
            "log lines were not shipped",
            lines=total - self._told_drops,
            in_all=total,
            queued=self._backlog.queued,
            reasons={reason: count for reason, count in dropped.items() if count},
        )
        self._told_drops, self._told_at = total, now

    @property
    def _address(self) -> str:
        return f"{self._host}:{self._port}"
