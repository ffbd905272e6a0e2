"""From the topics and data of one log to the arguments of its event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from indexer.core.abi import EventSpec
from indexer.core.codegen import source_of


class EventCodec:
    """Reads the logs of one event; made by `codec_for`, safe to use from several threads.

    Each topic must have 32 bytes; topics that have not, but are as long in all, are the caller's to refuse.

    Its three functions agree in what they accept. They raise `Malformed` for anything else: a wrong number of
    topics, data that is too short, padding that is not clean, offsets and lengths that lead nowhere. Data
    after the last argument, and arguments in another order than usual or sharing bytes, are accepted.
    """

    __slots__ = ("args", "columns", "decode", "event", "source")

    #: The arguments in the ABI's order: bytes for addresses and byte strings, int, bool, str, list (arrays)
    #: or tuple; the 32-byte hash of an indexed argument that does not fit a topic.
    decode: Callable[[Sequence[bytes], bytes], tuple[object, ...]]
    #: The arguments as fields of PostgreSQL's binary COPY, in the order of the table's columns, and whether a
    #: text could only be stored with U+FFFD for what is no text.
    columns: Callable[[Sequence[bytes], bytes], tuple[bytes, bool]]
    #: The arguments by name as JSON, as in the view `indexer.event`.
    args: Callable[[Sequence[bytes], bytes], dict[str, object]]

    def __init__(self, event: EventSpec) -> None:
        self.event = event
        #: The Python source of the functions.
        self.source = source_of(event)
        module: dict[str, Any] = {"__name__": f"codec of {event.signature}"}
        code = compile(self.source, f"<codec of {event.signature}>", "exec")
        exec(code, module)  # noqa: S102 - our own source; names from an ABI stand in it only as literals
        self.decode = module["decode"]
        self.columns = module["columns"]
        self.args = module["args"]

    def __repr__(self) -> str:
        return f"EventCodec({self.event.signature})"


@cache
def codec_for(event: EventSpec) -> EventCodec:
    """The codec of an event; made once, in about a millisecond."""
    return EventCodec(event)
