"""`python -m tests.fuzz TARGET --runs N`: fuzz one target, and say how often it was run."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import itertools
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NoReturn

from tests.fuzz.engine import CORPUS, FoundError, Run, fuzz, kept_inputs

TARGETS = ("decoder", "answers", "configuration")
#: What one execution may take; one that takes longer has found a hang.
MOST_SECONDS = 60
MOST_BYTES = 4 << 30
#: Executions between two signs of life.
TOLD_EVERY = 50_000
#: What the fuzzer that watches the coverage is to watch.
WATCHED = ["indexer.core", "indexer.settings", "indexer.contracts", "indexer.rpc.envelope"]


def main() -> int:
    """Run it; the exit code is 1 when something was found."""
    options = _options().parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    if options.engine == "atheris":
        return _fuzz_by_coverage(options)
    run: Run = importlib.import_module(f"tests.fuzz.{options.target}").Target()
    signal.signal(signal.SIGALRM, _took_too_long)

    executions = itertools.count(1)

    def bounded(octets: bytes) -> str:
        signal.alarm(MOST_SECONDS)
        outcome = run(octets)
        if (done := next(executions)) % TOLD_EVERY == 0:
            sys.stderr.write(f"{done:,}\n")
            sys.stderr.flush()
        return outcome

    try:
        report = fuzz(bounded, options.runs, options.seed, kept_inputs(options.target).values())
    except FoundError as found:
        traceback.print_exception(found.__cause__)
        path = CORPUS / options.target / f"{hashlib.sha256(found.octets).hexdigest()[:12]}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found.octets)
        sys.stdout.write(f"kept as {path}\n")
        return 1
    finally:
        signal.alarm(0)
    sys.stdout.write(f"{options.target}, seed {options.seed}: {report}\n")
    return 0


def _took_too_long(number: int, frame: object) -> NoReturn:
    raise TimeoutError(f"one execution took more than {MOST_SECONDS} s")


def _fuzz_by_coverage(options: argparse.Namespace) -> int:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=WATCHED):
        run: Run = importlib.import_module(f"tests.fuzz.{options.target}").Target()

    def once(octets: bytes) -> None:
        run(octets)

    found = Path(options.into or tempfile.mkdtemp(prefix=f"fuzz-{options.target}-"))
    found.mkdir(parents=True, exist_ok=True)
    limits = [
        f"-runs={options.runs}",
        f"-seed={options.seed}",
        f"-timeout={MOST_SECONDS}",
        "-rss_limit_mb=3000",
    ]
    # What it finds goes into the first directory.
    atheris.Setup([sys.argv[0], *limits, "-max_len=1024", str(found), str(CORPUS / options.target)], once)
    atheris.Fuzz()
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--engine",
        choices=("own", "atheris"),
        default="own",
        help="atheris watches which lines are reached; it must be installed (pip install atheris)",
    )
    parser.add_argument("--into", help="atheris: the directory for inputs that reach something new")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
