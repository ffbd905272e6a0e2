"""Columns of logs straight from the text of an answer, without an object for each log.

A node writes all logs alike: the same names in the same order, so that logs of one length differ in nothing but
their hexadecimal digits. One log of each length is read as JSON and becomes the template; every other one has to
equal it, byte for byte, outside the digits. On any surprise there are no columns, and whoever asked reads the
answer as JSON from end to end: what is here is quick, and never the judge.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np

from indexer.core.arrays import Bytes, Flags, Integers
from indexer.core.errors import Inconsistent
from indexer.core.logcolumns import BlockColumns, Kind, LogColumns, are_in_order, check_transactions
from indexer.core.wire import LAST_INDEX, LAST_TIME, WireLog

#: The fewest logs of one template on average for which this is quicker than reading JSON.
FEWEST_PER_TEMPLATE = 50
#: Logs with more characters are read as JSON.
LONGEST_LOG_BYTES = 1 << 16
#: Characters that are held against a template at a time: as many as fit into a processor's cache.
COMPARED_BYTES = 1 << 20
#: The digits of a quantity; all are below 2**60.
_LONGEST_QUANTITY = 15

_BEGIN, _OPEN, _COMMA, _END = b"[{,]"
_HEXADECIMAL = re.compile(rb'"0x([0-9a-fA-F]*)"')
_JSON = msgspec.json.Decoder()
_LOG = msgspec.json.Decoder(WireLog)
_NO_DIGIT = 255
_DIGITS: Bytes = np.full(256, _NO_DIGIT, dtype=np.uint8)
for _digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
    _DIGITS[np.frombuffer(_digits, dtype=np.uint8)] = np.arange(16)

#: From the first to behind the last digit of a value, counted from the log's first character.
Place = tuple[int, int]


class _Surprise(Exception):  # it is no error: the answer may be all right
    """The text is not what this module reads."""


@dataclass(frozen=True, slots=True, eq=False)
class Scanned:
    """The logs of an answer in their order, which is chain order."""

    blocks: BlockColumns
    columns: LogColumns


def scan(answer: bytes | memoryview, fewest: int = FEWEST_PER_TEMPLATE) -> Scanned | None:
    """The logs of a JSON array; None when it has to be read in another way, right or wrong as it may be.

    What `block_columns` and `log_columns` check was checked, and the logs are in chain order.

    Args:
        fewest: logs of one template on average; fewer are left to the other way, which is quicker then.
    """
    text = np.frombuffer(answer, dtype=np.uint8)
    if len(text) < 4 or (text[0], text[-1]) != (_BEGIN, _END):
        return None
    starts = np.flatnonzero(text == _OPEN)
    lengths = np.diff(starts, append=len(text))
    if not len(starts) or starts[0] != 1 or (text[starts[1:] - 1] != _COMMA).any():
        return None
    try:
        return _scanned(text, starts, lengths, len(starts) // fewest)
    except (_Surprise, Inconsistent):
        return None


def _scanned(text: Bytes, starts: Integers, lengths: Integers, most_templates: int) -> Scanned:
    if int(lengths.max()) > LONGEST_LOG_BYTES:
        raise _Surprise
    occurring = np.flatnonzero(np.bincount(lengths)).tolist()
    table = _Table(len(starts))
    left = most_templates
    for length in occurring:
        rows = np.flatnonzero(lengths == length)
        templates: list[_Template] = []
        at_once = max(1, COMPARED_BYTES // length)
        for first in range(0, len(rows), at_once):
            some = rows[first : first + at_once]
            before = len(templates)
            _read(table, templates, some, _rows(text, starts[some], length))
            left -= len(templates) - before
            if left < 0:
                raise _Surprise
    return table.finished()


def _read(table: _Table, templates: list[_Template], rows: Integers, texts: Bytes) -> None:
    """Fill in logs of one length, by the templates for it; where none fits, a log becomes the next one."""
    known = iter(list(templates))
    while len(rows):
        template = next(known, None)
        if template is None:
            template = _Template(texts[0])
            templates.append(template)
        alike = template.fits(texts)
        if alike.all():
            table.fill(template, rows, texts)
            return
        if alike.any():
            table.fill(template, rows[alike], texts[alike])
            rows, texts = rows[~alike], texts[~alike]


def _rows(text: Bytes, starts: Integers, length: int) -> Bytes:
    """The same number of characters from each of these places, a row each."""
    windows = np.lib.stride_tricks.as_strided(text, (len(text) - length + 1, length), (1, 1))
    return windows[starts]


class _Template:
    """What logs of one form have in common, and where they differ."""

    def __init__(self, text: Bytes) -> None:
        # The last character separates the log from the next one.
        log = text[:-1].tobytes()
        try:
            named: dict[str, Any] = _JSON.decode(log)
            wire = _LOG.decode(log)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Surprise from error
        if wire.removed:
            raise _Surprise
        found = [match.span(1) for match in _HEXADECIMAL.finditer(log)]
        values = [
            (name, each)
            for name, value in named.items()
            for each in (value if isinstance(value, list) else [value])
            if isinstance(each, str) and each.startswith("0x")
        ]
        # A name given twice, a value inside of another or one with an escape is in one of the lists only.
        if [value[2:].encode() for _, value in values] != [log[first:end] for first, end in found]:
            raise _Surprise
        self.places: dict[str, Place] = {}
        self.topics: list[Place] = []
        self.others: list[Place] = []
        for (name, _), place in zip(values, found, strict=True):
            if name == "topics":
                self.topics.append(place)
            elif name in _SIZES:
                self.places[name] = place
            else:
                self.others.append(place)
        self._require_sizes(wire)
        self._literal: Bytes = np.full(len(text), 0xFF, dtype=np.uint8)
        self._literal[-1] = 0
        for first, end in found:
            self._literal[first:end] = 0
        self._expected: Bytes = text & self._literal

    def fits(self, texts: Bytes) -> Flags:
        """Which texts equal the template outside of its values."""
        same = (texts & self._literal) == self._expected
        if same.all():
            return np.ones(len(texts), dtype=np.bool_)
        return cast("Flags", same.all(axis=1))

    def _require_sizes(self, wire: WireLog) -> None:
        if len(self.topics) != len(wire.topics) or len(self.topics) > 4:
            raise _Surprise
        if any(end - first != 64 for first, end in self.topics):
            raise _Surprise
        for name, size in _SIZES.items():
            place = self.places.get(name)
            if place is None:
                # Only this one may be missing, or null.
                if name == "blockTimestamp" and wire.block_timestamp is None:
                    continue
                raise _Surprise
            length = place[1] - place[0]
            if name in _QUANTITIES:
                fitting = 0 < length <= _LONGEST_QUANTITY
            else:
                fitting = length == size if size is not None else length % 2 == 0
            if not fitting:
                raise _Surprise


#: The values that are read, with the number of their digits where it is always the same.
_SIZES: dict[str, int | None] = {
    "address": 40,
    "data": None,
    "blockNumber": None,
    "blockHash": 64,
    "transactionHash": 64,
    "transactionIndex": None,
    "logIndex": None,
    "blockTimestamp": None,
}
_QUANTITIES = {"blockNumber", "transactionIndex", "logIndex", "blockTimestamp"}


class _Table:
    """The columns of all logs, filled in one template at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._numbers: Integers = np.empty(count, dtype=np.int64)
        self._indexes: Integers = np.empty(count, dtype=np.int64)
        self._transaction_indexes: Integers = np.empty(count, dtype=np.int64)
        self._transaction_hashes: Bytes = np.empty((count, 32), dtype=np.uint8)
        self._kind: Integers = np.empty(count, dtype=np.int64)
        self._kinds: dict[Kind, int] = {}
        self._later_topics: list[Bytes] = []
        self._data_sizes: Integers = np.zeros(count, dtype=np.int64)
        self._data: list[tuple[Integers, Bytes]] = []
        self._hashes: dict[int, bytes] = {}
        self._times: dict[int, int] = {}

    def fill(self, template: _Template, rows: Integers, texts: Bytes) -> None:
        """Add the logs of one template, which stand in these rows of the columns."""
        places = template.places
        self._indexes[rows] = _quantities(texts, places["logIndex"], LAST_INDEX)
        self._transaction_indexes[rows] = _quantities(texts, places["transactionIndex"], LAST_INDEX)
        self._fill_runs(template, rows, texts)
        for first, end in template.others:
            if (_DIGITS[texts[:, first:end]] == _NO_DIGIT).any():
                raise _Surprise
        wanted = [places["transactionHash"], *template.topics[1:], places["data"]]
        hashes, *columns = _octets(texts, wanted)
        self._transaction_hashes[rows] = hashes
        later = max(len(template.topics) - 1, 0)
        while len(self._later_topics) < later:
            self._later_topics.append(np.zeros((self._count, 32), dtype=np.uint8))
        for column, topics in zip(self._later_topics, columns[:later], strict=False):
            column[rows] = topics
        data = columns[later]
        self._data_sizes[rows] = data.shape[1]
        if data.shape[1]:
            self._data.append((rows, data))

    def finished(self) -> Scanned:
        """All columns."""
        if not are_in_order(self._numbers, self._indexes):
            raise _Surprise
        check_transactions(self._numbers, self._transaction_indexes, self._transaction_hashes)
        data_starts: Integers = np.zeros(self._count + 1, dtype=np.int64)
        np.cumsum(self._data_sizes, out=data_starts[1:])
        columns = LogColumns(
            numbers=self._numbers,
            indexes=self._indexes,
            transaction_indexes=self._transaction_indexes,
            transaction_hashes=self._transaction_hashes,
            kinds=tuple(self._kinds),
            kind=self._kind,
            later_topics=tuple(self._later_topics),
            data=self._joined_data(data_starts),
            data_starts=data_starts,
        )
        return Scanned(BlockColumns(self._numbers, self._hashes, self._times), columns)

    def _joined_data(self, starts: Integers) -> bytes:
        joined: Bytes = np.empty(int(starts[-1]), dtype=np.uint8)
        for rows, data in self._data:
            size = data.shape[1]
            windows = np.lib.stride_tricks.as_strided(joined, (len(joined) - size + 1, size), (1, 1))
            windows[starts[rows]] = data
        return joined.tobytes()

    def _fill_runs(self, template: _Template, rows: Integers, texts: Bytes) -> None:
        """Block and kind, which are read only where they differ from the log before."""
        places = template.places
        named = [places["address"], places["blockHash"], *template.topics[:1]]
        time = places.get("blockTimestamp")
        numbers = [places["blockNumber"], *([time] if time else [])]
        heads = _heads(texts, named + numbers)
        runs = np.diff(heads, append=len(texts))
        firsts = texts[heads]
        block_numbers = _quantities(firsts, places["blockNumber"], 1 << 4 * _LONGEST_QUANTITY)
        times = _quantities(firsts, time, LAST_TIME).tolist() if time else None
        octets = [column.tobytes() for column in _octets(firsts, named)]
        self._add_blocks(block_numbers.tolist(), octets[1], times)
        count, kinds = len(template.topics), self._kinds
        codes = [
            kinds.setdefault(
                (
                    octets[0][20 * at : 20 * at + 20],
                    octets[2][32 * at : 32 * at + 32] if count else None,
                    count,
                ),
                len(kinds),
            )
            for at in range(len(heads))
        ]
        self._numbers[rows] = np.repeat(block_numbers, runs)
        self._kind[rows] = np.repeat(np.array(codes, dtype=np.int64), runs)

    def _add_blocks(self, numbers: Sequence[int], hashes: bytes, times: Sequence[int] | None) -> None:
        for at, number in enumerate(numbers):
            block_hash = hashes[32 * at : 32 * at + 32]
            if self._hashes.setdefault(number, block_hash) != block_hash:
                raise _Surprise
            if times is None or (number and not times[at]):
                # Some nodes have the field and no value for it.
                continue
            if self._times.setdefault(number, times[at]) != times[at]:
                raise _Surprise


def _heads(texts: Bytes, places: Sequence[Place]) -> Integers:
    """The rows that differ from the one before at one of these places; the first row always does."""
    width = sum(end - first for first, end in places)
    # In words of eight characters there is less to compare.
    compared: Bytes = np.zeros((len(texts), width + -width % 8), dtype=np.uint8)
    at = 0
    for first, end in places:
        compared[:, at : at + end - first] = texts[:, first:end]
        at += end - first
    words = compared.view(np.uint64)
    changed = np.ones(len(texts), dtype=np.bool_)
    changed[1:] = (words[1:] != words[:-1]).any(axis=1)
    return np.flatnonzero(changed)


def _quantities(texts: Bytes, place: Place, largest: int) -> Integers:
    """The numbers whose digits stand there."""
    values: Integers = np.zeros(len(texts), dtype=np.int64)
    for position in range(*place):
        digits = _DIGITS[texts[:, position]]
        if digits.max() == _NO_DIGIT:
            raise _Surprise
        values <<= 4
        values |= digits
    if values.max() > largest:
        raise _Surprise
    return values


def _octets(texts: Bytes, places: Sequence[Place]) -> list[Bytes]:
    """The bytes whose digits stand at each of these places, a row per text."""
    joined = np.concatenate([texts[:, first:end] for first, end in places], axis=1)
    try:
        octets = np.frombuffer(unhexlify(joined), dtype=np.uint8)  # type: ignore[arg-type]
    except ValueError as error:
        raise _Surprise from error
    sizes = [(end - first) // 2 for first, end in places]
    ends = np.cumsum(sizes)[:-1].tolist()
    return np.split(octets.reshape(len(texts), sum(sizes)), ends, axis=1)
