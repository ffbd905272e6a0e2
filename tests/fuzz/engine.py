"""Changes inputs that were of use, and runs a target on each of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

CORPUS = Path(__file__).parent / "corpus"
LONGEST_INPUT = 1_024  # bytes
#: Inputs that are kept to be changed further.
MOST_KEPT = 4_000

#: Inputs of one outcome that are kept.
_WORTH_KEEPING = 40

Run = Callable[[bytes], str]


class FoundError(Exception):
    """The target failed on an input; the cause is the failure."""

    def __init__(self, octets: bytes) -> None:
        super().__init__(f"the target fails on {octets.hex()}")
        self.octets = octets


@dataclass
class Report:
    """What came of many executions."""

    executions: int = 0
    seconds: float = 0.0
    #: The longest single one.
    slowest_seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        pace = self.executions / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.executions:,} executions in {self.seconds:,.1f} s, {pace:,.0f} a second, "
            f"the slowest took {self.slowest_seconds * 1000:,.0f} ms"
        ]
        lines += [f"{count:12,}  {outcome}" for outcome, count in self.outcomes.most_common(40)]
        return "\n".join(lines)


def kept_inputs(name: str) -> dict[str, bytes]:
    """The inputs that once failed or reach something special, by their file's name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).glob("*.bin"))}


def fuzz(run: Run, runs: int, seed: int, corpus: Iterable[bytes] = ()) -> Report:
    """Run the target so often, on changed inputs; an input with a new outcome is changed further.

    Raises:
        FoundError: the target raised something.
    """
    random, report = Random(seed), Report()
    pool = [*corpus, b"", bytes(64)]
    began = time.perf_counter()
    while report.executions < runs:
        octets = _changed(random, random.choice(pool), random.choice(pool))
        at = time.perf_counter()
        try:
            outcome = run(octets)
        except BaseException as failure:
            raise FoundError(octets) from failure
        report.slowest_seconds = max(report.slowest_seconds, time.perf_counter() - at)
        report.executions += 1
        report.outcomes[outcome] += 1
        if report.outcomes[outcome] <= _WORTH_KEEPING and len(pool) < MOST_KEPT:
            pool.append(octets)
    report.seconds = time.perf_counter() - began
    return report


def _changed(random: Random, octets: bytes, other: bytes) -> bytes:
    """Another input made of one or two."""
    if random.random() < 0.35:
        return random.randbytes(random.choice((8, 16, 32, 64, 128, 512)))
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(octets) + 1)
        match random.randrange(5):
            case 0:
                octets = octets[:at] + random.randbytes(1) + octets[at + 1 :]
            case 1:
                octets = octets[:at] + random.randbytes(random.randrange(1, 9)) + octets[at:]
            case 2:
                octets = octets[:at] + octets[at + random.randrange(1, 9) :]
            case 3:
                octets = octets[:at] + other[random.randrange(len(other) + 1) :]
            case 4:
                octets = octets[:at] + bytes([random.choice((0, 1, 127, 128, 255))]) + octets[at + 1 :]
    return octets[:LONGEST_INPUT]
