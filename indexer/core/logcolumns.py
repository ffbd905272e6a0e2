"""The fields of many logs as columns of numbers and bytes, checked one by one and against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import ne

import numpy as np

from indexer.core.arrays import Bytes, Flags, Integers
from indexer.core.errors import Inconsistent
from indexer.core.hexadecimal import fixed_octets, joined_octets
from indexer.core.wire import LAST_BLOCK, LAST_INDEX, LAST_TIME, WireLog, octets, quantity

#: What tells events apart: the emitter's address, the first topic if there is one, and the number of topics.
Kind = tuple[bytes, bytes | None, int]


@dataclass(frozen=True, slots=True, eq=False)
class LogColumns:
    """Logs in chain order, a column per field."""

    numbers: Integers
    indexes: Integers
    transaction_indexes: Integers
    #: One row of 32 bytes per log.
    transaction_hashes: Bytes
    #: The kinds that occur; one may occur twice.
    kinds: tuple[Kind, ...]
    #: The kind of each log, as an index into `kinds`.
    kind: Integers
    #: The second, third and fourth topics, one row of 32 bytes per log; zeros where a log has fewer.
    #: The first one is in the kind. There are only as many columns as some log needs.
    later_topics: tuple[Bytes, ...]
    #: The data of all logs, one after another.
    data: bytes
    #: Log i has the data `data_starts[i]` up to and without `data_starts[i + 1]`.
    data_starts: Integers

    def __len__(self) -> int:
        return len(self.numbers)

    def topics_of(self, log: int) -> tuple[bytes, ...]:
        _, topic0, count = self.kinds[self.kind[log]]
        if topic0 is None:
            return ()
        return (topic0, *(column[log].tobytes() for column in self.later_topics[: count - 1]))

    def data_of(self, log: int) -> bytes:
        return self.data[self.data_starts[log] : self.data_starts[log + 1]]


@dataclass(frozen=True, slots=True, eq=False)
class BlockColumns:
    """Which blocks the logs say they are of."""

    #: The block number of each log.
    numbers: Integers
    #: Each block's hash, in the order of the logs.
    hashes: dict[int, bytes]
    #: The time of each block whose logs tell it.
    times: dict[int, int]


#: The indexes that occur in nearly every block.
_SMALL = {hex(number): number for number in range(4096)}


class _Quantities(dict[str, int]):
    """Hexadecimal quantities by their text; few are distinct, so most are looked up and not parsed."""

    def __init__(self, what: str, largest: int) -> None:
        self._what = what
        self._largest = largest

    def __missing__(self, text: str) -> int:
        value = _SMALL.get(text)
        if value is None:
            value = quantity(text, self._what, self._largest)
        self[text] = value
        return value


class _Codes(dict[tuple[str, str, int], int]):
    """Small integers for the distinct keys, in the order in which they were first seen."""

    def __missing__(self, key: tuple[str, str, int]) -> int:
        code = self[key] = len(self)
        return code


def block_columns(logs: Sequence[WireLog]) -> BlockColumns:
    """The blocks of the logs; logs of one block may be scattered.

    Raises:
        Inconsistent: two logs give one block different hashes or times, or a field is malformed.
    """
    number_texts = [log.block_number for log in logs]
    hash_texts = [log.block_hash for log in logs]
    time_texts = [log.block_timestamp for log in logs]
    starts = _run_starts(number_texts, hash_texts, time_texts)
    heads = starts.tolist()
    number_of = _Quantities("a log's blockNumber", LAST_BLOCK)
    time_of = _Quantities("a log's blockTimestamp", LAST_TIME)
    numbers = [number_of[number_texts[head]] for head in heads]
    found = fixed_octets([hash_texts[head] for head in heads], 32, "a log's blockHash").tobytes()
    hashes: dict[int, bytes] = {}
    times: dict[int, int] = {}
    for row, (head, number) in enumerate(zip(heads, numbers, strict=True)):
        block_hash = found[32 * row : 32 * row + 32]
        if hashes.setdefault(number, block_hash) != block_hash:
            raise Inconsistent(
                f"logs of block {number} name two blocks: "
                f"0x{hashes[number].hex()[:12]}… and 0x{block_hash.hex()[:12]}…"
            )
        if (text := time_texts[head]) is not None:
            time = time_of[text]
            if not time and number:
                # Some nodes have the field and no value for it.
                continue
            if times.setdefault(number, time) != time:
                raise Inconsistent(f"logs of block {number} tell two times: {times[number]} and {time}")
    lengths = np.diff(starts, append=len(logs))
    return BlockColumns(np.repeat(np.array(numbers, dtype=np.int64), lengths), hashes, times)


def are_in_order(numbers: Integers, indexes: Integers) -> bool:
    """Whether logs with these block numbers and indexes are in chain order, none of them twice."""
    step, index_step = np.diff(numbers), np.diff(indexes)
    return bool(((step > 0) | ((step == 0) & (index_step > 0))).all())


def log_indexes(logs: Sequence[WireLog]) -> Integers:
    """The position of each log in its block. Raises: Inconsistent."""
    return _quantities([log.log_index for log in logs], "a log's logIndex", LAST_INDEX)


def log_columns(logs: Sequence[WireLog], numbers: Integers, indexes: Integers) -> LogColumns:
    """All columns of logs that are in chain order already, given the first two.

    Raises:
        Inconsistent: a field is malformed, or the logs cannot be of the transactions that they name.
    """
    transaction_indexes = _quantities(
        [log.transaction_index for log in logs], "a log's transactionIndex", LAST_INDEX
    )
    hashes = fixed_octets([log.transaction_hash for log in logs], 32, "a log's transactionHash")
    check_transactions(numbers, transaction_indexes, hashes)
    topics = [log.topics for log in logs]
    counts = [len(each) for each in topics]
    kinds, kind = _kinds(logs, topics, counts)
    data, data_starts = joined_octets([log.data for log in logs], "a log's data")
    return LogColumns(
        numbers=numbers,
        indexes=indexes,
        transaction_indexes=transaction_indexes,
        transaction_hashes=hashes,
        kinds=kinds,
        kind=kind,
        later_topics=tuple(_topic_column(topics, counts, position) for position in range(1, max(counts))),
        data=data,
        data_starts=data_starts,
    )


def _run_starts(*columns: Sequence[object]) -> Integers:
    """The positions of values that differ, in any column, from the one before; the first one always does.

    Neighbours are mostly equal, and comparing them is cheaper than hashing each.
    """
    count = len(columns[0])
    changed: Flags = np.zeros(count, dtype=np.bool_)
    changed[:1] = True
    differs: Callable[[object, object], bool] = ne
    for column in columns:
        changed[1:] |= np.fromiter(map(differs, islice(column, 1, None), column), np.bool_, count - 1)
    return np.flatnonzero(changed)


def _quantities(texts: list[str], what: str, largest: int) -> Integers:
    values: Iterable[int] = map(_Quantities(what, largest).__getitem__, texts)
    return np.fromiter(values, np.int64, len(texts))


def _kinds(
    logs: Sequence[WireLog], topics: list[list[str]], counts: list[int]
) -> tuple[tuple[Kind, ...], Integers]:
    """The distinct kinds, and which of them each log is."""
    firsts = [each[0] if each else "" for each in topics]
    addresses = [log.address for log in logs]
    starts = _run_starts(addresses, firsts, counts)
    codes = _Codes()
    heads = [codes[addresses[head], firsts[head], counts[head]] for head in starts.tolist()]
    kind = np.repeat(np.array(heads, dtype=np.int64), np.diff(starts, append=len(logs)))
    kinds: list[Kind] = []
    for address, first, count in codes:
        if count > 4:  # Source: Ethereum Yellow Paper, appendix H, LOG0 to LOG4
            raise Inconsistent(f"a log has {count} topics, more than 4")
        topic0 = octets(first, "a log's first topic", 32) if count else None
        kinds.append((octets(address, "a log's address", 20), topic0, count))
    return tuple(kinds), kind


def _topic_column(topics: list[list[str]], counts: list[int], position: int) -> Bytes:
    """The topics at this position, counted from 0."""
    if min(counts) > position:
        return fixed_octets([each[position] for each in topics], 32, "a log's topic")
    present = np.array(counts) > position
    column = np.zeros((len(topics), 32), dtype=np.uint8)
    column[present] = fixed_octets(
        [each[position] for each in topics if len(each) > position], 32, "a log's topic"
    )
    return column


def check_transactions(numbers: Integers, indexes: Integers, hashes: Bytes) -> None:
    """Within a block, logs in order belong to transactions in order, and a position to one hash.

    Source: Ethereum Yellow Paper, section 4.3.1: logs are numbered through the receipts of a block.
    """
    words = hashes.view(np.uint64)
    same_hash = (words[1:] == words[:-1]).all(axis=1)
    step = np.diff(indexes)
    same_block = numbers[1:] == numbers[:-1]
    wrong = np.flatnonzero(same_block & ((step < 0) | ((step == 0) != same_hash)))
    if len(wrong):
        at = int(wrong[0])
        raise Inconsistent(
            f"block {numbers[at]}: a log of transaction {indexes[at + 1]}, 0x{hashes[at + 1].tobytes().hex()},"
            f" cannot follow one of transaction {indexes[at]}, 0x{hashes[at].tobytes().hex()}"
        )
