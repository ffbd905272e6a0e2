"""The values that labels can take: bounded sets, whatever the node or an error says."""

from __future__ import annotations

import re

from indexer.core import errors
from indexer.core.adminroles import CHANGES
from indexer.core.errors import IndexerError
from indexer.core.malformed import REASONS

OTHER = "other"

#: The methods that are called, as labels; any other one is counted as `other`.
METHODS = frozenset(
    {
        "eth_blockNumber",
        "eth_chainId",
        "eth_feeHistory",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getBlockReceipts",
        "eth_getLogs",
        "eth_getTransactionReceipt",
        "eth_subscribe",
        "net_version",
        "web3_clientVersion",
    }
)
#: How calls end, as the RPC edge says it.
OUTCOMES = frozenset(
    {"ok", "too_much", "behind", "rate_limited", "timeout", "connection", "refused", "invalid"}
    | {"unsupported", "unknown", "wrong_chain"}
)
#: What `indexer.core.proof.Verdict` can be.
VERDICTS = ("proved", "wrong", "cannot_tell")
#: What `indexer.rpc.observer.Recheck` and `Disagreement` can be.
RECHECKS = ("agreed", "found", "kept", "alone", "unsettled")
DISAGREEMENTS = ("missing_logs", "extra_logs", "other_logs", "bloom", "contradiction", "branch")
#: Why writing has stopped.
HALTS = ("below_finality", "too_deep")
STATUSES = ("success", "failed")
#: What `indexer.core.alert.AlertStatus` can be.
ALERT_STATUSES = ("firing", "resolved")
#: What `indexer.core.model.Transaction.failure` can say.
FAILURES = ("out_of_gas", "reverted")
UNDECODED_REASONS = REASONS
#: What `indexer.metrics.stages.Stage` can be.
STAGES = ("fetch", "decode", "commit")
ADMIN_CHANGES = tuple(CHANGES.values())
#: Of the program's own log.
LEVELS = ("debug", "info", "warning", "error", "critical", OTHER)
#: What `indexer.shipping.DROPS` can be.
LOG_DROPS = ("queue_full", "too_large", "not_writable", "shutdown")

#: An error that is none of ours.
UNEXPECTED = "unexpected"


def _snake(error: type[BaseException]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", error.__name__).lower()


#: The classes of `indexer.core.errors` in snake case, and `unexpected`. Their subclasses elsewhere count as the
#: class they refine: which of those exist depends on what happens to be imported.
ERROR_TYPES = frozenset(
    {
        _snake(each)
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, IndexerError)
    }
    | {UNEXPECTED}
)


def error_type(error: BaseException | str) -> str:
    """The label of an error: its class, or the nearest one above it that we know."""
    if isinstance(error, str):
        return error if error in ERROR_TYPES else UNEXPECTED
    for kind in type(error).__mro__:
        if _snake(kind) in ERROR_TYPES and kind.__module__ == errors.__name__:
            return _snake(kind)
    return UNEXPECTED


def bounded(value: str, known: frozenset[str]) -> str:
    return value if value in known else OTHER
