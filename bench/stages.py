"""What each step of a log's way costs, in one process and without a network: CPU time, the best of many runs."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

import msgspec

from bench.chain import ABI, TOKEN, TRANSFER, make_chain
from indexer.core.abi import events_of_abi
from indexer.core.answeredlogs import AnsweredLogs, LogsDecoder
from indexer.core.batch import Decoder
from indexer.core.logs import check_range_logs
from indexer.core.model import Span
from indexer.core.schema import tables_of_contract
from indexer.core.source import Source, filter_of
from indexer.core.wire import WireLog

T = TypeVar("T")

_LOGS = msgspec.json.Decoder(list[WireLog])
_RAW = msgspec.json.Decoder(msgspec.Raw)


def token_sources() -> list[Source]:
    """The bench's only source."""
    (table,) = tables_of_contract("Token", events_of_abi(ABI))
    return [Source(1, "Token", bytes.fromhex(TOKEN[2:]), table.event, table, 0)]


def measure(logs: int, runs: int) -> dict[str, dict[str, float]]:
    """Microseconds of CPU per log of each stage: the least, and the median, of so many runs."""
    assert token_sources()[0].event.topic0 == bytes.fromhex(TRANSFER[2:])
    chain = make_chain(logs)
    body = chain.range_logs(1, chain.last)
    sources = token_sources()
    decoder, wanted, span = Decoder(sources), filter_of(sources), Span(1, chain.last)
    taken: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[[], T]) -> T:
        started = time.process_time()
        result = work()
        taken.setdefault(stage, []).append((time.process_time() - started) / logs * 1e6)
        return result

    for _ in range(runs):
        gc.collect()  # no run pays for what the ones before left behind
        raw = timed("find the end (msgspec)", lambda: _RAW.decode(body))
        answered = timed("scan", lambda raw=raw: LogsDecoder().decode(raw))  # type: ignore[misc]
        assert isinstance(answered, AnsweredLogs)
        checked = timed("check", lambda answered=answered: check_range_logs(span, wanted, answered))  # type: ignore[misc]
        encoded = timed("encode", lambda checked=checked: decoder.encode(checked))  # type: ignore[misc]
        assert encoded.rows == logs
        wire = timed("instead of scan: parse (msgspec)", lambda: _LOGS.decode(body))
        again = timed("instead of scan: check", lambda wire=wire: check_range_logs(span, wanted, wire))  # type: ignore[misc]
        assert decoder.encode(again) == encoded
    return {stage: {"least": min(values), "median": median(values)} for stage, values in taken.items()}


def report(logs: int, runs: int, *, as_json: bool) -> None:
    """Print the stages as a Markdown table or as JSON."""
    stages = measure(logs, runs)
    if as_json:
        print(json.dumps(stages))
        return
    print("| stage | µs per log, least | median |\n|---|---|---|")
    for stage, found in stages.items():
        print(f"| {stage} | {found['least']:.2f} | {found['median']:.2f} |")
