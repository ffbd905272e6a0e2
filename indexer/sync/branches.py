"""Whose chain to follow when the chain parts from ours and there are several endpoints to ask.

Endpoints do not see a reorg at the same moment, and one may be on a branch of its own for long. What one says
is therefore held against what the others say before anything of ours is replaced, and the step is then taken
with the answers of a single endpoint, so that two branches are never mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexer import journal
from indexer.core.canonical import Branch, Window, elect
from indexer.core.errors import BelowFinality, Inconsistent, TooMuch, Unavailable, WrongChain
from indexer.core.model import Header
from indexer.metrics import Metrics
from indexer.rpc.node import Node
from indexer.sync.lookahead import gather_in_order

log = journal.get(__name__)

#: How long an endpoint may take to say where it stands.
LOOK_SECONDS = 10.0


class Parted(Inconsistent):
    """What the node says parts from what we hold, and other endpoints may see it otherwise."""


@dataclass(frozen=True, slots=True)
class View:
    """One endpoint by itself."""

    node: Node
    head: Header
    branch: Branch

    def __str__(self) -> str:
        words = {
            True: "with our newest block",
            False: "without our newest block",
            None: "below our newest block",
        }
        return f"{self.node.name} is at {self.head.id}, {words[self.branch.has_cursor]}"


@dataclass(frozen=True, slots=True)
class Elected:
    """Whom to follow for one step."""

    node: Node
    head: Header
    #: Other endpoints on whose chain our cursor still is, if it is not on this one's.
    keeping: tuple[str, ...]
    #: Where each endpoint stands, in words.
    told: str
    #: Whether there is another endpoint that could be followed instead.
    others: bool
    #: Endpoints that contradicted themselves.
    without: frozenset[str]


class Branches:
    """The endpoints' chains beside ours."""

    def __init__(self, node: Node, metrics: Metrics) -> None:
        self._node = node
        self._metrics = metrics
        #: Who was on which branch when it was journalled last.
        self._journalled: frozenset[tuple[str, bool | None]] = frozenset()

    @property
    def are_several(self) -> bool:
        """Whether more than one endpoint can be asked now; those that are down have no say."""
        return len(self._node.apart(LOOK_SECONDS)) > 1

    async def elect(self, window: Window, without: frozenset[str] = frozenset()) -> Elected:
        """The endpoint to follow, by what each of them says about our blocks.

        Args:
            without: endpoints that are not to be followed now.

        Raises:
            BelowFinality: all of them part from ours below what was final.
            Unavailable: not enough of them answered to tell.
        """
        seen = await self.look_around(window)
        views = [view for view in seen if view.node.name not in without]
        told = "; ".join(map(str, views)) or "no endpoint answers"
        at = elect([view.branch for view in views])
        if at is None:
            silent = len(self._node.apart(LOOK_SECONDS)) - len(views)
            if silent > 0 or without or all(view.branch.has_base is None for view in views):
                raise Unavailable(f"whether block {window.base}, which was final, is still there: {told}")
            raise BelowFinality(
                f"block {window.base} was final, and no endpoint has it any more ({told}). Nothing was changed. "
                "Either the nodes were reset or follow another chain, or the chain broke its finality: compare "
                "with other nodes; to start over, use an empty database"
            )
        chosen = views[at]
        self._tell(chosen, views)
        keeping = tuple(
            view.node.name for view in views if view.branch.has_cursor and not chosen.branch.has_cursor
        )
        others = any(view.branch.has_base for view in views if view is not chosen)
        return Elected(chosen.node, chosen.head, keeping, told, others, without)

    async def look_around(self, window: Window) -> list[View]:
        """Where each endpoint stands that says so, the most preferred first.

        One without the oldest block of our window, which is final, is on another chain: from now on nobody asks it,
        for old blocks either, as long as there is another one.
        """
        nodes = self._node.apart(LOOK_SECONDS)

        async def look(node: Node) -> View | None:
            return await _look(node, window)

        seen = await gather_in_order(look, nodes, len(nodes) or 1)
        views = [view for view in seen if view is not None]
        for view in views:
            if view.branch.has_base is not None:
                view.node.found_astray(not view.branch.has_base)
        return views

    def _tell(self, chosen: View, views: Sequence[View]) -> None:
        """Count and journal who is on another branch than the one that is followed."""
        stand = chosen.branch.has_cursor
        others = [view for view in views if {view.branch.has_cursor, stand} == {True, False}]
        for view in others:
            self._metrics.disagreement(view.node.name, "branch")
        standing = frozenset((view.node.name, view.branch.has_cursor) for view in views)
        if others and standing != self._journalled:
            log.warning(
                "endpoints are on different branches",
                following=chosen.node.name,
                not_following=[view.node.name for view in others],
                standing="; ".join(map(str, views)),
            )
        self._journalled = standing


async def _look(node: Node, window: Window) -> View | None:
    """Where one endpoint stands; None when it does not say."""
    try:
        head = await node.head()
        base = await node.header(window.base.number)
        at_cursor = await node.header(window.cursor.number)
    except (Unavailable, Inconsistent, TooMuch, WrongChain) as error:
        log.warning("endpoint does not say where it stands", endpoint=node.name, reason=str(error))
        return None
    branch = Branch(
        head.id,
        has_base=None if base is None else base.id == window.base,
        has_cursor=None if at_cursor is None else at_cursor.id == window.cursor,
    )
    return View(node, head, branch)
