"""Who is told what the endpoints did, so that it can be counted."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """How a call ended; a bounded set, fit for a label."""

    OK = "ok"
    #: Fewer blocks, addresses or calls were wanted.
    TOO_MUCH = "too_much"
    #: The endpoint does not have the block yet.
    BEHIND = "behind"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    #: No connection, or it broke.
    CONNECTION = "connection"
    #: An HTTP status or a JSON-RPC error that says nothing more exact.
    REFUSED = "refused"
    #: Not JSON-RPC, cut short, or with fields of the wrong type.
    INVALID = "invalid"
    UNSUPPORTED = "unsupported"
    #: It answered, for another chain than ours.
    WRONG_CHAIN = "wrong_chain"
    #: An error message that no rule knows.
    UNKNOWN = "unknown"


class Recheck(StrEnum):
    """What asking again for logs that a bloom filter allows came to; a bounded set, fit for a label."""

    #: Another source has no such logs either.
    AGREED = "agreed"
    #: The first answer had left out logs; the other source's was taken.
    FOUND = "found"
    #: The other source's answer was the worse one; the first was kept.
    KEPT = "kept"
    #: Nobody else could be asked; the answer was kept.
    ALONE = "alone"
    #: The sources contradict each other and none can be proved right; neither answer was taken.
    UNSETTLED = "unsettled"


class Disagreement(StrEnum):
    """How an answer that was thrown away differs from what another source says; as above."""

    MISSING_LOGS = "missing_logs"
    EXTRA_LOGS = "extra_logs"
    #: As many logs, but not the same.
    OTHER_LOGS = "other_logs"
    #: A log that the block's own bloom filter excludes.
    BLOOM = "bloom"
    #: It contradicts itself, or what was asked for, where another endpoint's does not.
    CONTRADICTION = "contradiction"
    #: It is on another branch than the one that is followed.
    BRANCH = "branch"


class RpcObserver(Protocol):
    """Receives facts about endpoints, which are named and never given by URL."""

    def request(
        self, endpoint: str, method: str, outcome: str, seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        """One call ended; calls of a batch are told one by one, with their share of the bytes."""

    def endpoint_state(self, endpoint: str, up: bool, head: int | None) -> None:
        """The endpoint is (not) being used, and the newest block it has shown, if any."""

    def unknown_error(self, endpoint: str) -> None:
        """The endpoint gave an error or an answer that no rule knows."""

    def proof(self, endpoint: str, verdict: str) -> None:
        """A block's receipts were (not) proved by its hash; a `Verdict` of `indexer.core.proof`."""

    def header_proof(self, endpoint: str, verdict: str, headers: int) -> None:
        """The hash of so many headers, read without receipts, was (not) proved by their fields; as above."""

    def recheck(self, outcome: str) -> None:
        """A block whose bloom filter may hold logs that did not come was asked for again; a `Recheck`."""

    def disagreement(self, endpoint: str, kind: str) -> None:
        """The endpoint's answer was thrown away for what another source says; a `Disagreement`."""

    def checking(self) -> AbstractContextManager[None]:
        """Around all work on answers that have been read: it is neither waiting nor reading."""


class SilentObserver:
    """An observer that counts nothing."""

    def request(
        self, endpoint: str, method: str, outcome: str, seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        """Nothing."""

    def endpoint_state(self, endpoint: str, up: bool, head: int | None) -> None:
        """Nothing."""

    def unknown_error(self, endpoint: str) -> None:
        """Nothing."""

    def proof(self, endpoint: str, verdict: str) -> None:
        """Nothing."""

    def header_proof(self, endpoint: str, verdict: str, headers: int) -> None:
        """Nothing."""

    def recheck(self, outcome: str) -> None:
        """Nothing."""

    def disagreement(self, endpoint: str, kind: str) -> None:
        """Nothing."""

    def checking(self) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()
