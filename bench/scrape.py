"""What a scrape costs the indexer: CPU of its process, and the time until the whole page is there."""

from __future__ import annotations

import http.client
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

#: What Prometheus asks for.
ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
#: What happens between two scrapes.
BETWEEN = ("nothing", "block", "everything")


@dataclass(frozen=True, slots=True)
class Scrapes:
    """The scrapes of one case, in milliseconds."""

    between: str
    gzip: bool
    page_bytes: int
    body_bytes: int
    #: Before anything was written once.
    first_cpu: float
    cpu_p50: float
    cpu_p99: float
    wall_p50: float
    wall_p99: float


class _Served:
    """The process that is scraped."""

    def __init__(self, contracts: int, events: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.scrapeserver", str(contracts), str(events)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._said, self._answers = self._process.stdin, self._process.stdout
        self._client = http.client.HTTPConnection("127.0.0.1", int(self._answers.readline()))
        # Linux: the clock of all CPU time of a process, as `clock_getcpuclockid` gives it.
        self._clock = (~self._process.pid << 3) | 2

    def happen(self, what: str) -> None:
        self._said.write(what + "\n")
        self._said.flush()
        self._answers.readline()

    def scrape(self, *, gzip: bool) -> tuple[float, float, int]:
        """CPU and wall time in milliseconds, and the bytes of the body."""
        headers = {"Accept": ACCEPT, "Accept-Encoding": "gzip" if gzip else "identity"}
        cpu, began = time.clock_gettime(self._clock), time.perf_counter()
        self._client.request("GET", "/metrics", headers=headers)
        body = self._client.getresponse().read()
        wall = time.perf_counter() - began
        return 1e3 * (time.clock_gettime(self._clock) - cpu), 1e3 * wall, len(body)

    def stop(self) -> None:
        self._client.close()
        self._said.close()
        self._process.wait()
        self._answers.close()


def measure(contracts: int, events: int, scrapes: int, *, gzip: bool, between: str) -> Scrapes:
    """One case in a process of its own."""
    served = _Served(contracts, events)
    try:
        first, _, _ = served.scrape(gzip=gzip)
        _, _, page = served.scrape(gzip=False)
        costs: list[tuple[float, float, int]] = []
        for _ in range(scrapes):
            served.happen(between)
            costs.append(served.scrape(gzip=gzip))
    finally:
        served.stop()
    cpus, walls, bodies = zip(*costs, strict=True)
    return Scrapes(
        between,
        gzip,
        page,
        bodies[-1],
        first,
        _percentile(cpus, 50),
        _percentile(cpus, 99),
        _percentile(walls, 50),
        _percentile(walls, 99),
    )


def _percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of them do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def report(contracts: int, events: int, scrapes: int, *, as_json: bool) -> None:
    """Measure and print every case."""
    found = [
        measure(contracts, events, scrapes, gzip=gzip, between=between)
        for between in BETWEEN
        for gzip in (False, True)
    ]
    if as_json:
        print(json.dumps([asdict(each) for each in found], indent=2))
        return
    print(
        f"{contracts} contracts × {events} events, {scrapes} scrapes of {found[0].page_bytes / 1e3:.0f} kB each; ms"
    )
    print(
        f"{'between':<12}{'gzip':<6}{'sent kB':>8}{'first':>8}{'CPU p50':>9}{'p99':>7}{'wall p50':>10}{'p99':>7}"
    )
    for each in found:
        print(
            f"{each.between:<12}{'yes' if each.gzip else 'no':<6}{each.body_bytes / 1e3:>8.0f}{each.first_cpu:>8.1f}"
            f"{each.cpu_p50:>9.2f}{each.cpu_p99:>7.2f}{each.wall_p50:>10.2f}{each.wall_p99:>7.2f}"
        )
