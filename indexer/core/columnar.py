"""Rows of events whose arguments all have fixed places, made for many logs at once.

The result equals, byte for byte, what `EventCodec.columns` gives log by log; logs that are not plainly well
formed are left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, cast

import numpy as np

from indexer.core.abi import EventSpec, Param
from indexer.core.abitype import WORD, Address, Bool, FixedBytes, FunctionPointer, Int, Uint
from indexer.core.arrays import Bytes, Flags, Integers, Records
from indexer.core.logcolumns import LogColumns
from indexer.core.numeric import NEGATIVE, NumericColumn, numeric_column
from indexer.core.rowstart import ROW_START, START_FIELDS, fill_row_start


@dataclass(frozen=True, slots=True)
class Slice:
    """An argument whose field is a part of its word."""

    first: int
    last: int
    #: Which words are not what the type demands; None: any word will do.
    dirty: Callable[[Bytes], Flags] | None


@dataclass(frozen=True, slots=True)
class Number:
    """An argument whose field is a numeric."""

    signed: bool
    dirty: Callable[[Bytes], Flags] | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the arguments of an event are, and what their fields are made of."""

    arguments: tuple[Slice | Number, ...]
    #: The place of each argument: a topic (counted from 0) where indexed, else a word of the data.
    places: tuple[tuple[bool, int], ...]
    data_words: int


@dataclass(frozen=True, slots=True)
class Columnar:
    """Rows made at once."""

    payload: bytes
    #: Which of the logs have a row in the payload; the others are to be read one by one.
    written: Flags


@cache
def layout_of(event: EventSpec) -> Layout | None:
    """How to make rows of the event's logs at once; None where places or lengths depend on the values."""
    if event.anonymous:
        return None
    arguments: list[Slice | Number] = []
    places: list[tuple[bool, int]] = []
    topic, word = 1, 0
    for param in event.params:
        argument = _argument(param)
        if argument is None:
            return None
        arguments.append(argument)
        places.append((param.indexed, topic if param.indexed else word))
        topic, word = topic + param.indexed, word + (not param.indexed)
    return Layout(tuple(arguments), tuple(places), word)


def encode_columns(layout: Layout, columns: LogColumns, times: Integers, rows: Integers | None) -> Columnar:
    """The rows of these logs (None: of all); each is of the event and has its number of topics."""
    count = len(columns) if rows is None else len(rows)
    data, fitting = _data_words(columns, rows, layout.data_words)
    words = [
        _topic_words(columns, rows, place) if indexed else data[:, WORD * place : WORD * (place + 1)]
        for indexed, place in layout.places
    ]
    written = fitting
    for argument, word in zip(layout.arguments, words, strict=True):
        if argument.dirty is not None:
            written = written & ~argument.dirty(word)
    if not written.all():
        rows = np.flatnonzero(written) if rows is None else rows[written]
        words = [word[written] for word in words]
        count = len(rows)
    numbers = {
        place: numeric_column(word, argument.signed)
        for place, (argument, word) in enumerate(zip(layout.arguments, words, strict=True))
        if isinstance(argument, Number)
    }
    digits = tuple(
        numbers[place].digits.shape[1] if place in numbers else None for place in range(len(words))
    )
    records = np.empty(count, dtype=_record_type(layout.arguments, digits))
    records["field_count"] = START_FIELDS + len(words)
    fill_row_start(records, columns, times, rows)
    for place, (argument, word) in enumerate(zip(layout.arguments, words, strict=True)):
        if isinstance(argument, Slice):
            records[f"length{place}"] = argument.last - argument.first
            records[f"value{place}"] = word[:, argument.first : argument.last]
        else:
            _fill_number(records, place, numbers[place])
    return Columnar(_flattened(records, numbers), written)


def _argument(param: Param) -> Slice | Number | None:
    if param.is_hashed:
        return Slice(0, WORD, None)
    match param.type:
        case Address():
            return Slice(12, WORD, lambda words: _any_set(words[:, :12]))
        case Bool():
            return Slice(WORD - 1, WORD, lambda words: _any_set(words[:, :-1]) | (words[:, -1] > 1))
        case FixedBytes(size=size) | FunctionPointer(size=size):
            return Slice(0, size, (lambda words: _any_set(words[:, size:])) if size < WORD else None)
        case Uint(bits=bits):
            unused = WORD - bits // 8
            dirty = (lambda words: _any_set(words[:, :unused])) if unused else None
            return Slice(24, WORD, dirty) if bits < 64 else Number(False, dirty)
        case Int(bits=bits):
            unused = WORD - bits // 8
            dirty = (lambda words: _not_extended(words, unused)) if unused else None
            return Slice(24, WORD, dirty) if bits <= 64 else Number(True, dirty)
    return None


def _any_set(octets: Bytes) -> Flags:
    """Which rows hold anything but zeros."""
    width = octets.shape[1]
    whole = width - width % 4
    found = np.zeros(len(octets), dtype=np.uint32)
    for column in octets[:, :whole].view(np.uint32).T:
        found |= column
    for column in octets[:, whole:].T:
        found |= column
    dirty: Flags = found != 0
    return dirty


def _not_extended(words: Bytes, unused: int) -> Flags:
    """Which words do not repeat the sign of the number behind the unused bytes."""
    sign: Bytes = np.where(words[:, unused] >= 0x80, np.uint8(0xFF), np.uint8(0))
    return _any_set(words[:, :unused] ^ sign[:, np.newaxis])


def _topic_words(columns: LogColumns, rows: Integers | None, position: int) -> Bytes:
    column = columns.later_topics[position - 1]
    return column if rows is None else column[rows]


def _data_words(columns: LogColumns, rows: Integers | None, count: int) -> tuple[Bytes, Flags]:
    """The data, a row per log, and which logs have exactly so many words; other rows are junk."""
    size = WORD * count
    starts = columns.data_starts[:-1] if rows is None else columns.data_starts[:-1][rows]
    ends = columns.data_starts[1:] if rows is None else columns.data_starts[1:][rows]
    fitting = ends - starts == size
    blob = np.frombuffer(columns.data, dtype=np.uint8)
    if fitting.all() and len(starts) * size == len(blob):
        return blob.reshape(len(starts), size), fitting
    starts = np.where(fitting, starts, 0)
    if not fitting.any():
        return np.zeros((len(starts), size), dtype=np.uint8), fitting
    if (starts % WORD == 0).all():
        whole = blob[: len(blob) - len(blob) % WORD].reshape(-1, WORD)
        places = starts[:, np.newaxis] // WORD + np.arange(count)
        return whole[np.where(fitting[:, np.newaxis], places, 0)].reshape(len(starts), size), fitting
    return blob[starts[:, np.newaxis] + np.arange(size)], fitting


@lru_cache(maxsize=1024)
def _record_type(arguments: tuple[Slice | Number, ...], digits: tuple[int | None, ...]) -> np.dtype[np.void]:
    fields: list[tuple[Any, ...]] = list(ROW_START)
    for place, (argument, width) in enumerate(zip(arguments, digits, strict=True)):
        fields.append((f"length{place}", ">i4"))
        if isinstance(argument, Slice):
            fields.append((f"value{place}", "u1", (argument.last - argument.first,)))
        else:
            fields.append((f"numeric{place}", ">u2", (4,)))
            fields.append((f"value{place}", ">u2", (width or 0,)))
    return np.dtype(fields)


def _fill_number(records: Records, place: int, column: NumericColumn) -> None:
    """A numeric is ndigits, weight, sign, dscale, digits. Source: `numeric_send` of PostgreSQL."""
    counts = column.counts
    records[f"length{place}"] = 8 + 2 * counts
    head = records[f"numeric{place}"]
    head[:, 0] = counts
    head[:, 1] = np.maximum(counts - 1, 0)
    head[:, 2] = 0 if column.negative is None else column.negative * NEGATIVE
    head[:, 3] = 0
    records[f"value{place}"] = column.digits


def _flattened(records: Records, numbers: dict[int, NumericColumn]) -> bytes:
    """The rows without the leading zeros of their numbers."""
    shape = records.dtype
    places = cast("Mapping[str, tuple[Any, int]]", shape.fields)
    ragged = {place: each for place, each in numbers.items() if (each.counts < each.digits.shape[1]).any()}
    if not ragged:
        return records.tobytes()
    offsets = {place: places[f"value{place}"][1] for place in ragged}
    # Pairs of bytes where all places are even: half as many elements to look at.
    unit = 1 if shape.itemsize % 2 or any(offset % 2 for offset in offsets.values()) else 2
    kept = np.ones((len(records), shape.itemsize // unit), dtype=np.bool_)
    for place, column in ragged.items():
        width = column.digits.shape[1]
        keep = np.arange(width) >= width - column.counts[:, np.newaxis]
        begin = offsets[place] // unit
        kept[:, begin : begin + 2 * width // unit] = np.repeat(keep, 2 // unit, axis=1)
    elements = records.view(np.uint16 if unit == 2 else np.uint8).reshape(len(records), -1)
    return elements[kept].tobytes()
