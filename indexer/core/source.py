"""What is watched: sources, and the `eth_getLogs` filter that covers a set of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from indexer.core.bloom import Pair

if TYPE_CHECKING:
    from indexer.core.abi import EventSpec
    from indexer.core.schema import TableSpec


@dataclass(frozen=True, slots=True)
class Source:
    """One event of one contract address: the unit of coverage."""

    #: The row's id in `indexer.source`.
    id: int
    contract: str
    address: bytes
    event: EventSpec
    table: TableSpec
    #: The first block that is wanted.
    start_block: int


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What `eth_getLogs` is asked: any of the addresses and any of the first topics."""

    addresses: tuple[bytes, ...]
    #: None asks for all topics, because an anonymous event is among the sources.
    topic0s: tuple[bytes, ...] | None
    #: The pairs that are meant, where they are fewer than the product of the two; see `probed`.
    pairs: tuple[Pair, ...] | None = field(default=None, compare=False, repr=False)

    @property
    def probed(self) -> tuple[Pair, ...]:
        """The pairs of address and first topic to look for in a bloom filter."""
        if self.pairs is not None:
            return self.pairs
        topics = (None,) if self.topic0s is None else self.topic0s
        return tuple((address, topic) for address in self.addresses for topic in topics)

    def admits(self, address: bytes, topic0: bytes | None) -> bool:
        """Whether an honest answer may hold a log of this address and first topic (None: it has none)."""
        return address in self.addresses and (self.topic0s is None or topic0 in self.topic0s)


def filter_of(sources: Iterable[Source]) -> LogFilter:
    """The smallest filter that lets through every log of every given source.

    It is a product, so it may also let through one contract's address with another one's topic.

    Raises:
        ValueError: no sources were given; such a filter would ask for the whole chain.
    """
    wanted = list(sources)
    if not wanted:
        raise ValueError("a filter of no sources would ask for every log of the chain")
    addresses = tuple(sorted({source.address for source in wanted}))
    topics = {source.event.topic0 for source in wanted}
    named = sorted(topic for topic in topics if topic is not None)
    pairs = dict.fromkeys((source.address, source.event.topic0) for source in wanted)
    return LogFilter(addresses, None if None in topics else tuple(named), tuple(pairs))
