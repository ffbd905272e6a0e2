"""Which fault strikes, decided by the request, and what becomes of the answer then.

The same request, asked for the n-th time of the same endpoint, has the same fault whatever else goes on: so a failure
repeats though the program's tasks run in another order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.fixtures.fakenode import RpcError
from tests.simulation.plan import ALTERING, CALL_FAULTS, EMPTYING, LEAVING_OUT, REQUEST_FAULTS
from tests.simulation.views import View

Json = Any

PROVIDER_ERRORS = json.loads((Path(__file__).parents[1] / "data" / "provider_errors.json").read_text())
SERVER_ERRORS = (500, 502, 503, 504)
#: Longer than any answer is waited for in vain.
HANG_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Whole:
    """A fault of a whole request, with the random numbers that say more about it."""

    kind: str
    random: Random


class Weather:
    """Decides the faults of one endpoint, until it clears."""

    def __init__(self, seed: int, name: str, rates: Mapping[str, float], struck: Counter[str]) -> None:
        self._key = f"{seed} {name}"
        self._calls = {kind: rate for kind, rate in rates.items() if kind in CALL_KINDS}
        self._requests = {kind: rate for kind, rate in rates.items() if kind in REQUEST_FAULTS}
        #: How often the same was asked.
        self._times: Counter[str] = Counter()
        self._struck = struck
        self.clear = False

    def request(self, calls: list[Json]) -> Whole | None:
        """The fault of a whole request."""
        if self.clear or not self._requests:
            return None
        random = self._random(f"request {[(each['method'], each.get('params')) for each in calls]}")
        kind = _drawn(random, self._requests)
        if kind is None or (kind.startswith("batch") and len(calls) < 2):
            return None
        self._struck[kind] += 1
        return Whole(kind, random)

    def result(self, view: View, method: str, params: list[Json]) -> Json:
        """The result of a call, or what a fault makes of it.

        Raises:
            RpcError: honestly or not.
        """
        if self.clear or not self._calls:
            return view.answer(method, params)
        random = self._random(f"{method} {params}")
        # Drawn before the answer is known, or an honest refusal would shift all that follows.
        kind = _drawn(random, self._calls)
        if kind == "provider_error":
            self._struck[kind] += 1
            told = random.choice(PROVIDER_ERRORS)
            raise RpcError(told["code"] or -32000, told["message"])
        if kind == "finalized_missing" and params[:1] == ["finalized"]:
            self._struck[kind] += 1
            raise RpcError(-32602, "finalized block not found")
        answer = view.answer(method, params)
        if "log_missing_everywhere" in self._calls:
            answer = self._without_a_log(view, method, params, answer)
        if kind is None:
            return answer
        changed = CHANGES[kind](random, view, method, params, answer) if kind in CHANGES else answer
        if changed is not answer:
            self._struck[kind] += 1
        return changed

    def _without_a_log(self, view: View, method: str, params: list[Json], answer: Json) -> Json:
        """A lie that agrees with itself: the same log is left out of the block's logs and of its receipts."""
        by_hash = method == "eth_getLogs" and "blockHash" in params[0]
        # Only of a followed block: not in every configuration are the receipts of ranges proved.
        if not answer or not (by_hash or (method == "eth_getBlockReceipts" and len(params[0]) == 66)):
            return answer
        block = answer[0]["blockHash"]
        random = Random(f"{self._key} {block}")
        asked = f"lie {method} {block}"
        if random.random() >= self._calls["log_missing_everywhere"] or self._times[asked] > 1:
            return answer
        logs = view.archive.logs(view.chain.by_hash[bytes.fromhex(block[2:])])
        if not logs:
            return answer
        self._times[asked] += 1
        self._struck["log_missing_everywhere"] += 1
        index = random.choice(logs)["logIndex"]
        if by_hash:
            return _without(answer, index)
        return [{**each, "logs": _without(each["logs"], index)} for each in answer]

    def _random(self, asked: str) -> Random:
        self._times[asked] += 1
        return Random(f"{self._key} {asked} {self._times[asked]}")


def _drawn(random: Random, rates: Mapping[str, float]) -> str | None:
    for kind, rate in rates.items():
        if random.random() < rate:
            return kind
    return None


def _without(logs: list[Json], index: str) -> list[Json]:
    return [each for each in logs if each["logIndex"] != index]


def _replaced(logs: list[Json], at: int, **values: Json) -> list[Json]:
    return [*logs[:at], {**logs[at], **values}, *logs[at + 1 :]]


def _is_block(method: str, answer: Json) -> bool:
    return method.startswith("eth_getBlockBy") and answer is not None


def _wrong_type(random: Random, _view: View, _method: str, _params: list[Json], _answer: Json) -> Json:
    return random.choice((5, "0x", "yes", {}, [1], [[]], True, -1, {"result": None}))


def _field_missing(random: Random, _view: View, method: str, _params: list[Json], answer: Json) -> Json:
    if isinstance(answer, dict):
        # Fields that not every chain has may be missing: that is no mistake.
        field = random.choice(("number", "hash", "parentHash", "timestamp"))
        return {key: value for key, value in answer.items() if key != field}
    if method == "eth_getLogs" and answer:
        field = random.choice(("address", "topics", "data", "blockHash", "logIndex", "transactionHash"))
        at = random.randrange(len(answer))
        kept = {key: value for key, value in answer[at].items() if key != field}
        return [*answer[:at], kept, *answer[at + 1 :]]
    return answer


def _block_null(_random: Random, _view: View, method: str, params: list[Json], answer: Json) -> Json:
    return None if method.startswith("eth_getBlockBy") and params[0] != "0x0" else answer


def _receipts_null(_random: Random, _view: View, method: str, _params: list[Json], answer: Json) -> Json:
    return None if method == "eth_getBlockReceipts" else answer


def _receipt_missing(random: Random, _view: View, method: str, _params: list[Json], answer: Json) -> Json:
    if method != "eth_getBlockReceipts" or not answer:
        return answer
    at = random.randrange(len(answer))
    return [*answer[:at], *answer[at + 1 :]]


def _receipt_of_another_block(
    random: Random, _view: View, method: str, _params: list[Json], answer: Json
) -> Json:
    if method != "eth_getBlockReceipts" or not answer:
        return answer
    return _replaced(answer, random.randrange(len(answer)), blockHash="0x" + random.randbytes(32).hex())


def _status_flipped(random: Random, _view: View, method: str, params: list[Json], answer: Json) -> Json:
    # Only of a followed block, for the same reason.
    if method != "eth_getBlockReceipts" or not answer or len(params[0]) != 66:
        return answer
    at = random.randrange(len(answer))
    return _replaced(answer, at, status="0x0" if answer[at]["status"] == "0x1" else "0x1")


def _log_twice(random: Random, _view: View, method: str, _params: list[Json], answer: Json) -> Json:
    if method != "eth_getLogs" or not answer:
        return answer
    at = random.randrange(len(answer))
    return [*answer[: at + 1], *answer[at:]]


def _log_of_another_fork(random: Random, _view: View, method: str, params: list[Json], answer: Json) -> Json:
    if method != "eth_getLogs" or not answer:
        return answer
    if "blockHash" in params[0]:
        at = random.randrange(len(answer))
    else:
        # Where only one log of a block comes in a range, nothing but an audit could tell its hash.
        last = params[0]["toBlock"]
        some = [
            at
            for at, log in enumerate(answer)
            if log["blockNumber"] == last
            or sum(log["blockNumber"] == each["blockNumber"] for each in answer) > 1
        ]
        if not some:
            return answer
        at = random.choice(some)
    return _replaced(answer, at, blockHash="0x" + random.randbytes(32).hex())


def _log_of_another_address(
    random: Random, _view: View, method: str, _params: list[Json], answer: Json
) -> Json:
    if method != "eth_getLogs" or not answer:
        return answer
    return _replaced(answer, random.randrange(len(answer)), address="0x" + random.randbytes(20).hex())


def _log_index_of_text(random: Random, _view: View, method: str, _params: list[Json], answer: Json) -> Json:
    if method != "eth_getLogs" or not answer:
        return answer
    return _replaced(
        answer, random.randrange(len(answer)), logIndex=random.choice(("zero", "", None, 7, "0x-1"))
    )


def _log_missing(random: Random, _view: View, method: str, params: list[Json], answer: Json) -> Json:
    if method != "eth_getLogs" or not answer or "blockHash" not in params[0]:
        return answer
    at = random.randrange(len(answer))
    return [*answer[:at], *answer[at + 1 :]]


def _logs_empty(_random: Random, _view: View, method: str, params: list[Json], answer: Json) -> Json:
    return [] if method == "eth_getLogs" and answer and "blockHash" in params[0] else answer


def _range_without_a_block(random: Random, view: View, method: str, params: list[Json], answer: Json) -> Json:
    # Of several endpoints one lies, or they might agree on it.
    if method != "eth_getLogs" or not answer or "fromBlock" not in params[0] or not view.may_lie:
        return answer
    block = random.choice(answer)["blockHash"]
    return [each for each in answer if each["blockHash"] != block]


def _head_goes_back(random: Random, view: View, method: str, params: list[Json], answer: Json) -> Json:
    if method != "eth_getBlockByNumber" or params[0] != "latest":
        return answer
    older = max(0, len(view.blocks) - 1 - random.randrange(1, 6))
    return view.answer(method, [hex(older), params[1]])


def _finalized_goes_back(random: Random, view: View, method: str, params: list[Json], answer: Json) -> Json:
    if method != "eth_getBlockByNumber" or params[0] != "finalized" or not _is_block(method, answer):
        return answer
    return view.answer(method, [hex(max(0, view.finalized - random.randrange(1, 9))), params[1]])


Change = Callable[[Random, View, str, list[Json], Json], Json]
CHANGES: Mapping[str, Change] = {
    "wrong_type": _wrong_type,
    "field_missing": _field_missing,
    "block_null": _block_null,
    "receipts_null": _receipts_null,
    "receipt_missing": _receipt_missing,
    "receipt_of_another_block": _receipt_of_another_block,
    "status_flipped": _status_flipped,
    "log_twice": _log_twice,
    "log_of_another_fork": _log_of_another_fork,
    "log_of_another_address": _log_of_another_address,
    "log_index_of_text": _log_index_of_text,
    "log_missing": _log_missing,
    "logs_empty": _logs_empty,
    "range_without_a_block": _range_without_a_block,
    "head_goes_back": _head_goes_back,
    "finalized_goes_back": _finalized_goes_back,
}
CALL_KINDS = {*CALL_FAULTS, *LEAVING_OUT, *ALTERING, *EMPTYING}
