"""`python -m tests.simulation.forkserver FD SPEED`: has the program imported once, and forks a process a start.

A start of the program takes a second of imports, which thousands of starts cannot afford. What is forked has no
thread, no event loop and no socket of its own; it takes arguments, environment and files from the request and calls
the program's entry point, as `python -m indexer` does. From there on it is a process like any other.

Requests come over the socket FD as `{"arguments": [...], "environment": {...}, "seed": N, "bug": NAME or null}` with
three file descriptors: standard output, standard error, and where to write the exit status when it has ended. The
answer is the process id.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.simulation import fastclock

#: Commands import these when they are called; here that is too late.
LAZY = ("app", "once", "audit", "status", "digest")
REQUEST_BYTES = 1 << 16
#: From linux/prctl.h: the signal that we get when our parent ends.
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the other side of the socket closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    speed = float(sys.argv[2])
    die_with_parent()
    fastclock.hasten(speed)
    cli = importlib.import_module("indexer.cli")
    for name in LAZY:
        importlib.import_module(f"indexer.{name}")
    fastclock.hasten_sessions(speed)
    gc.collect()
    gc.freeze()
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise SystemExit(f"{threads} threads are running: a process with threads cannot be forked safely")
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno())
    serve(control, woken, cli.main)


def serve(control: socket.socket, woken: socket.socket, program: Any) -> None:
    """Fork when asked to, and report ends."""
    statuses: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            with suppress(BlockingIOError):
                while woken.recv(4096):
                    pass
            _report_ends(statuses)
        if control in ready:
            body, files, _, _ = socket.recv_fds(control, REQUEST_BYTES, 3)
            if not body:
                return
            output, errors, status = files
            pid = os.fork()
            if pid == 0:
                control.close()
                woken.close()
                os.close(status)
                for other in statuses.values():
                    os.close(other)
                _become(json.loads(body), output, errors, program)
            os.close(output)
            os.close(errors)
            statuses[pid] = status
            control.send(str(pid).encode())


def _report_ends(statuses: dict[int, int]) -> None:
    """Tell the exit status of every process that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        pipe = statuses.pop(pid)
        with suppress(BrokenPipeError):
            os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(pipe)


def _become(request: dict[str, Any], output: int, errors: int, program: Any) -> None:
    """Be the program, to its end."""
    code = 70
    try:
        die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for file, standard in ((nothing, 0), (output, 1), (errors, 2)):
            os.dup2(file, standard)
        os.closerange(3, 256)
        os.environ.clear()
        os.environ.update(request["environment"])
        # Else every process would draw the same random pauses as its siblings.
        random.seed(request["seed"])
        sys.argv = ["indexer", *request["arguments"]]
        if request["bug"]:
            importlib.import_module("tests.simulation.bugs").plant(request["bug"])
        code = program(request["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def die_with_parent() -> None:
    """Have the kernel end us when our parent ends, however that happens."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


if __name__ == "__main__":
    main()
