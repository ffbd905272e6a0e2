"""Tells the journal of failed transactions to the watched contracts, however many there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from indexer import journal
from indexer.core.model import Transaction

log = journal.get(__name__)

#: Of each contract so many are shown in any such time; the others are counted, in one line when it is over.
SHOWN, WINDOW_SECONDS = 20, 60.0
#: What these lines are found by.
MARKS = {"event_type": "contract_tx", "status": "failed"}


@dataclass(slots=True)
class _Window:
    """What failed at one contract for a while."""

    began: float
    shown: int = 0
    hidden: int = 0
    #: Of those that were not shown.
    from_block: int = 0
    to_block: int = 0

    def hide(self, block: int) -> None:
        self.from_block = min(self.from_block, block) if self.hidden else block
        self.to_block = max(self.to_block, block) if self.hidden else block
        self.hidden += 1


class FailedTransactions:
    """A line for each failed transaction, as long as they are few: anybody may send them by the thousand.

    Args:
        contracts: the contract's name by address.
    """

    def __init__(self, contracts: Mapping[bytes, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._contracts = contracts
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def tell(self, transactions: Sequence[Transaction]) -> None:
        """These are committed. To be called for each block or range, for what was held back before is told here too."""
        now = self._clock()
        for contract, window in list(self._windows.items()):
            if now - window.began >= WINDOW_SECONDS:
                self._close(contract, window)
        for transaction in transactions:
            if transaction.failure is not None:
                self._one(transaction, transaction.failure, now)

    def tell_rest(self) -> None:
        """Tell what was held back until now: nothing may follow that would give occasion to."""
        for contract, window in list(self._windows.items()):
            self._close(contract, window)

    def _one(self, transaction: Transaction, reason: str, now: float) -> None:
        contract = self._contract(transaction.recipient) or self._contract(transaction.created)
        if contract is None:
            return
        window = self._windows.setdefault(contract, _Window(now))
        if window.shown == SHOWN:
            window.hide(transaction.block_number)
            return
        window.shown += 1
        log.info(
            "transaction failed",
            **MARKS,
            contract=contract,
            block=transaction.block_number,
            tx_hash=transaction.hash,
            reason=reason,
            selector=transaction.selector,
        )

    def _close(self, contract: str, window: _Window) -> None:
        del self._windows[contract]
        if window.hidden:
            log.info(
                "more transactions failed than are shown",
                **MARKS,
                contract=contract,
                from_block=window.from_block,
                to_block=window.to_block,
                not_shown=window.hidden,
            )

    def _contract(self, address: bytes | None) -> str | None:
        return None if address is None else self._contracts.get(address)
