"""Tells the journal of logs that could not be read as their events, or only with loss."""

from __future__ import annotations

from collections import Counter

from indexer import journal
from indexer.core.model import Encoded

log = journal.get(__name__)

#: Of the emitters.
_SHOWN_ADDRESSES = 5


def tell_undecoded(encoded: Encoded) -> None:
    """One line for all of them, however many: anybody may fill a block with such logs.

    Call it after they are committed to `indexer.undecoded_log`.
    """
    if not encoded.undecoded:
        return
    numbers = [each.block_number for each in encoded.undecoded]
    log.warning(
        "logs that do not fit their events were kept in indexer.undecoded_log",
        from_block=min(numbers),
        to_block=max(numbers),
        logs=len(numbers),
        reasons=dict(Counter(each.reason for each in encoded.undecoded)),
        addresses=sorted({"0x" + each.address.hex() for each in encoded.undecoded})[:_SHOWN_ADDRESSES],
    )
