"""Whether a block's receipts, and so its logs, are proved complete and unaltered by the block's hash.

The hash commits to the header, the header's receiptsRoot to every receipt with every log. Whoever has a hash from
a trusted place thus needs to trust nobody for the logs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from indexer.core.headerhash import header_hash
from indexer.core.receiptsroot import UnknownForm, receipts_bloom, summarize
from indexer.core.wire import WireHeader, WireReceipt, octets, quantity

#: How far what a node says of blocks is held against their hashes; see docs/proof.md.
ProofLevel = Literal["linked", "bloom", "receipts"]


class Verdict(StrEnum):
    """What a proof found."""

    #: The receipts are those of the block with this hash: none is missing, none added, none altered.
    PROVED = "proved"
    #: Header and receipts contradict each other or the hash.
    WRONG = "wrong"
    #: The chain has a fork or a kind of transaction that we do not know, or a field is missing.
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True)
class Proof:
    """A verdict with the reason for it; the reason is empty when all is proved."""

    verdict: Verdict
    reason: str = ""

    @property
    def proved(self) -> bool:
        return self.verdict is Verdict.PROVED


_PROVED = Proof(Verdict.PROVED)


def prove_header(header: WireHeader, unknown: Collection[str] = ()) -> Proof:
    """Whether the fields of the header give the hash that it names.

    `unknown` has the names in the block's JSON that may be further fields of the header, by `unknown_fields`;
    with any of them, fields that do not give the hash are no contradiction.

    Raises:
        Inconsistent: a field is not what the specification says it is.
    """
    computed = header_hash(header)
    if computed is not None and header.hash == "0x" + computed.hex():
        return _PROVED
    block = f"block {_number(header)}"
    told = octets(header.hash, f"{block}, hash", 32)
    if computed is None:
        return Proof(Verdict.CANNOT_TELL, f"{block}: its header lacks fields that its hash would need")
    if computed == told:
        return _PROVED
    if unknown:
        names = ", ".join(sorted(name[:40] for name in unknown))
        return Proof(Verdict.CANNOT_TELL, f"{block}: its header may have fields that we do not know: {names}")
    return Proof(
        Verdict.WRONG, f"{block}: its fields give the hash 0x{computed.hex()}, not 0x{told.hex()} as it says"
    )


def prove_block(
    header: WireHeader,
    receipts: Sequence[WireReceipt],
    *,
    transactions: int | None = None,
    unknown: Collection[str] = (),
) -> Proof:
    """Whether these are the block's receipts, all of them and in order, with all their logs unaltered.

    `transactions` is how many the block lists, where that is known; `unknown` is as for `prove_header`. Once
    the hash and the root are proved, logsBloom and gasUsed are not looked at: the hash commits to them, and
    if they do not fit the receipts, then that is how this chain fills them.

    Raises:
        Inconsistent: a field is not what the specification says it is.
    """
    block = f"block {_number(header)}"
    if transactions is not None and transactions != len(receipts):
        return Proof(Verdict.WRONG, f"{block}: {transactions} transactions, but {len(receipts)} receipts")
    of_header = prove_header(header, unknown)
    if of_header.verdict is Verdict.WRONG:
        return of_header
    try:
        found = summarize(receipts)
    except UnknownForm as error:
        differences = _log_differences(header, receipts_bloom(receipts))
        return _judged(of_header, [f"{block}: {error}", *differences], wrong=bool(differences))
    differences = _log_differences(header, found.bloom)
    # Receipts since Amsterdam may be encoded in a way that was not settled when this was written.
    settled = header.block_access_list_hash is None
    root = octets(header.receipts_root, f"{block}, receiptsRoot", 32)
    if found.root != root:
        roots = f"{block}: its receipts give the root 0x{found.root.hex()}, not 0x{root.hex()}"
        more = [*differences, *_gas_differences(header, found.gas_used)]
        return _judged(of_header, [roots, *more], wrong=settled or bool(differences))
    if of_header.proved:
        return of_header
    return _judged(of_header, [*differences, *_gas_differences(header, found.gas_used)], wrong=False)


def _judged(of_header: Proof, reasons: list[str], *, wrong: bool) -> Proof:
    """The verdict for reasons not to call it proved: of a header not proved itself, nothing is called wrong."""
    if of_header.proved:
        return Proof(Verdict.WRONG if wrong else Verdict.CANNOT_TELL, "; ".join(reasons))
    return Proof(Verdict.CANNOT_TELL, "; ".join([of_header.reason, *reasons]))


def _log_differences(header: WireHeader, bloom: bytes) -> list[str]:
    if octets(header.logs_bloom, f"block {_number(header)}, logsBloom", 256) == bloom:
        return []
    return ["its logsBloom is not that of the receipts' logs"]


def _gas_differences(header: WireHeader, cumulative: int) -> list[str]:
    gas_used = quantity(header.gas_used, f"block {_number(header)}, gasUsed")
    return [] if gas_used == cumulative else [f"its gasUsed is {gas_used}, the receipts' {cumulative}"]


def _number(header: WireHeader) -> int:
    return quantity(header.number, "block number")
