"""Who may administrate a contract: changes of its two highest roles, found in the logs of role events.

Source: OpenZeppelin `AccessControl`: RoleGranted and RoleRevoked have the role as their first indexed argument;
DEFAULT_ADMIN_ROLE is 32 zero bytes, other roles are by custom the Keccak-256 of their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from indexer.core.keccak import keccak256
from indexer.core.logcolumns import Kind, LogColumns

#: The change that each of these events tells of, by their first topic.
CHANGES: dict[bytes, str] = {
    keccak256(b"RoleGranted(bytes32,address,address)"): "granted",
    keccak256(b"RoleRevoked(bytes32,address,address)"): "revoked",
}
#: Role, account and sender are all indexed.
_TOPICS = 4
ADMIN_ROLES = (bytes(32), keccak256(b"ADMIN_ROLE"))
_ROLES = np.frombuffer(b"".join(ADMIN_ROLES), dtype=np.uint8).reshape(-1, 32)


def admin_changes(
    columns: LogColumns, sources_of: Callable[[Kind], Iterable[int]]
) -> dict[tuple[int, str], int]:
    """How many logs change an administrator, by source id and change.

    Args:
        sources_of: the ids of the sources that logs of a kind belong to.
    """
    found: dict[tuple[int, str], int] = {}
    for code, kind in enumerate(columns.kinds):
        _, topic0, count = kind
        change = None if topic0 is None else CHANGES.get(topic0)
        if change is None or count != _TOPICS:
            continue
        roles = columns.later_topics[0][columns.kind == code]
        changes = sum(int((roles == role).all(axis=1).sum()) for role in _ROLES)
        for source in sources_of(kind) if changes else ():
            found[source, change] = found.get((source, change), 0) + changes
    return found
