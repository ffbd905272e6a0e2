"""Sets of blocks, each as ascending spans that do not overlap: what two have in common, and what only one has."""

from __future__ import annotations

from collections.abc import Iterable

from indexer.core.model import Span
from indexer.core.plan import missing


def overlap(ours: Iterable[Span], theirs: Iterable[Span]) -> tuple[Span, ...]:
    """The blocks that are in both sets, ascending."""
    others = list(theirs)
    found = [
        Span(max(one.first, other.first), min(one.last, other.last))
        for one in ours
        for other in others
        if one.first <= other.last and other.first <= one.last
    ]
    return tuple(sorted(found, key=lambda span: span.first))


def without(ours: Iterable[Span], theirs: Iterable[Span]) -> tuple[Span, ...]:
    """The blocks that are in the first set only, ascending."""
    others = list(theirs)
    return tuple(gap for span in ours for gap in missing(span, others))


def multirange(spans: Iterable[Span]) -> str:
    """The set as PostgreSQL reads an `int8multirange`."""
    return "{" + ",".join(f"[{span.first},{span.last}]" for span in spans) + "}"
