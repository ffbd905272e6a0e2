"""What can be wrong with a log whose event we know."""

from __future__ import annotations

#: Each reason, as stored in `indexer.undecoded_log` and counted in the metrics, with its meaning.
MEANINGS: dict[str, str] = {
    "topic_count": "the log has another number of topics than the event",
    "topic_size": "a topic does not have 32 bytes",
    "topic0": "the first topic is not the event's",
    "data_too_short": "the data ends before the last argument",
    "dirty_padding": "the unused bytes of a word are not what its type demands",
    "not_bool": "a bool is neither 0 nor 1",
    "offset_out_of_range": "an offset points into the head that holds it, or beyond the data",
    "length_out_of_range": "an array, a string or a byte string is longer than the data",
    "amplified": "offsets share data so often that the arguments would be many times larger than the log",
    "too_large": "an array or a tuple is larger than PostgreSQL stores",
    "lossy_text": "a string is no UTF-8 or holds a NUL; its row was written with U+FFFD in these places",
}

REASONS: frozenset[str] = frozenset(MEANINGS)


class Malformed(Exception):
    """The log cannot be read as its event; ``reason`` is one of `REASONS`.

    It does not belong to the errors of the program: it is about one log, is caught where logs are decoded,
    and becomes a row of `indexer.undecoded_log`.
    """

    def __init__(self, reason: str, argument: str | None = None) -> None:
        super().__init__(reason if argument is None else f"{reason} in {argument}")
        self.reason = reason
        #: The argument it was found in, by its name in the ABI, where one is to blame.
        self.argument = argument
