"""What a metric is: its name, its meaning, and what moves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

#: On every series, beside the labels of its own.
CHAIN_LABEL = "chain"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric as it is documented and exported."""

    name: str
    kind: Kind
    unit: str
    #: What the number means.
    help: str
    #: What makes it move.
    moves: str
    labels: tuple[str, ...] = ()
    #: Upper bounds of a histogram's buckets.
    buckets: tuple[float, ...] = ()
