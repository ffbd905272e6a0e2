"""Calls to the node, told to whoever counts them, and remembered for what may be reported to Sentry."""

from __future__ import annotations

from indexer import sentry
from indexer.rpc.observer import RpcObserver


class Remembered:
    """Passes everything on to another observer; of each call Sentry's trail is told too."""

    def __init__(self, observer: RpcObserver) -> None:
        self._observer = observer
        # Nothing but the calls is remembered: the rest goes straight on.
        self.endpoint_state = observer.endpoint_state
        self.unknown_error = observer.unknown_error
        self.proof = observer.proof
        self.header_proof = observer.header_proof
        self.recheck = observer.recheck
        self.disagreement = observer.disagreement
        self.checking = observer.checking

    def request(
        self, endpoint: str, method: str, outcome: str, seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        """One call ended."""
        self._observer.request(endpoint, method, outcome, seconds, sent_bytes, received_bytes)
        sentry.rpc_call(endpoint, method, outcome, seconds, received_bytes)
