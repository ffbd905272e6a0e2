"""Who is told what the endpoints did, so that it can be counted."""

from __future__ import annotations

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
