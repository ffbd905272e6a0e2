"""A TCP connection to Logstash that takes lines, and says when it does not any more."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

#: How long a call of the system may keep the thread from looking whether it is to stop.
_SLICE_SECONDS = 0.25
#: Bytes that were not confirmed for so many times the patience with a slow receiver mean that its host is gone. Linux
#: counts a receiver that merely does not read among those, and then throws away what it still had to send.
_UNCONFIRMED_STALLS, _UNCONFIRMED_LEAST_SECONDS = 2, 30.0
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


class LinesRefused(Exception):
    """The connection is of no more use; so many lines were on their way before."""

    def __init__(self, why: str, shipped: int = 0) -> None:
        super().__init__(why)
        self.shipped = shipped


class Connection:
    """Connected on creation.

    Args:
        stall_seconds: not a byte taken for so long ends it; one that is merely slow is waited for.

    Raises:
        LinesRefused: on creation, when nobody listens there.
    """

    def __init__(self, host: str, port: int, *, connect_seconds: float, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        try:
            self._socket = socket.create_connection((host, port), timeout=connect_seconds)
        except (OSError, UnicodeError) as error:
            raise LinesRefused(str(error) or type(error).__name__) from error
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        unconfirmed = max(_UNCONFIRMED_LEAST_SECONDS, _UNCONFIRMED_STALLS * stall_seconds)
        for name, value in (*_KEEPALIVE, ("TCP_USER_TIMEOUT", int(unconfirmed * 1000))):
            # Not every system has all of them.
            if (option := getattr(socket, name, None)) is not None:
                self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def send(self, lines: Sequence[bytes], is_over: Callable[[], bool]) -> None:
        """Give the lines to the system, which sends them; a line that went only in part is not shipped.

        Raises:
            LinesRefused: the connection ended, took nothing for too long, or it is over before it took all.
        """
        self._require_open()
        data = memoryview(b"".join(lines))
        taken, since = 0, time.monotonic()
        self._socket.settimeout(_SLICE_SECONDS)
        while taken < len(data):
            try:
                count = self._socket.send(data[taken:])
            except TimeoutError as error:
                stalled = time.monotonic() - since
                if stalled >= self._stall_seconds:
                    why = f"it took nothing for {stalled:.0f} seconds"
                    raise LinesRefused(why, _whole_lines(lines, taken)) from error
                if is_over():
                    raise LinesRefused("no more time to wait", _whole_lines(lines, taken)) from error
            except OSError as error:
                raise LinesRefused(str(error), _whole_lines(lines, taken)) from error
            else:
                taken, since = taken + count, time.monotonic()

    def close(self) -> None:
        """End it; what the system has is still sent."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()

    def _require_open(self) -> None:
        """Raise LinesRefused where the other side has gone: the system would take lines, and lose them."""
        self._socket.setblocking(False)
        try:
            while heard := self._socket.recv(4096):
                # Logstash has nothing to say; if it does, it is not for us.
                del heard
        except BlockingIOError:
            return
        except OSError as error:
            raise LinesRefused(str(error)) from error
        raise LinesRefused("it closed the connection")


def _whole_lines(lines: Sequence[bytes], taken: int) -> int:
    """How many of the lines are wholly within the first bytes."""
    whole = 0
    for line in lines:
        taken -= len(line)
        if taken < 0:
            break
        whole += 1
    return whole
