"""Which rows differ from the chain, and whose a log is that nobody could read before."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from indexer.core.abi import events_of_abi
from indexer.core.batch import Decoder
from indexer.core.difference import (
    Difference,
    Kind,
    Part,
    StoredTransaction,
    compare_transactions,
    compare_undecoded,
    sample,
    transaction_values,
)
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import Span, UndecodedLog
from indexer.core.plan import Piece
from indexer.core.relogged import Owners, as_logs
from indexer.core.schema import tables_of_contract
from indexer.core.source import LogFilter, Source
from tests.fixtures.fakelogs import (
    LEDGER_ABI,
    LEDGER_ADDRESSES,
    REGISTRY_ABI,
    REGISTRY_ADDRESS,
    some_transactions,
)
from tests.fixtures.stored import REGISTRY, TOKEN, transaction
from tests.fixtures.wirelogs import wire_log

OURS = frozenset({1, 2})
SOURCES = {TOKEN: (1, "Token"), REGISTRY: (2, "Registry")}


def entry(source_id: int, reason: str, *, block: int = 5, index: int = 0) -> UndecodedLog:
    return UndecodedLog(
        source_id=source_id,
        block_number=block,
        block_hash=b"\x01" * 32,
        block_time=7,
        log_index=index,
        transaction_hash=b"\x02" * 32,
        transaction_index=0,
        address=TOKEN,
        topics=(b"\x03" * 32,),
        data=b"",
        reason=reason,
    )


def logs_at(*places: tuple[int, int]) -> RangeLogs:
    logs = [wire_log(block, index, address=TOKEN) for block, index in places]
    return check_range_logs(Span(0, 9), LogFilter((TOKEN,), None), logs)


@pytest.mark.parametrize(
    ("truth", "stored", "expected"),
    [
        ([entry(1, "not_bool")], [entry(1, "not_bool")], []),
        ([entry(1, "not_bool")], [], [Kind.MISSING]),
        ([], [entry(1, "not_bool")], [Kind.EXTRA]),
        ([entry(1, "not_bool")], [entry(1, "dirty_padding")], [Kind.ALTERED]),
        # Of a source that is not compared.
        ([], [entry(9, "not_bool")], []),
        # Whoever reported it when another event was configured: it is reported.
        ([entry(1, "topic_count")], [entry(9, "topic_count")], []),
        ([entry(1, "topic_count")], [entry(2, "topic_count")], []),
        ([entry(1, "not_bool")], [entry(9, "not_bool")], [Kind.MISSING]),
        # The log is there, and belongs to an event that was added later.
        ([], [entry(1, "topic_count")], []),
        # There is no such log.
        ([], [entry(1, "topic_count", index=4)], [Kind.EXTRA]),
    ],
)
def test_undecoded_logs_differ_only_where_the_chain_says_otherwise(
    truth: list[UndecodedLog], stored: list[UndecodedLog], expected: list[Kind]
) -> None:
    found = compare_undecoded(truth, stored, OURS, logs_at((5, 0)))
    assert [each.kind for each in found] == expected


def stored_as(number: int, index: int, ids: set[int], *, contract: str | None = "Token") -> StoredTransaction:
    mined = transaction(number, index, TOKEN, REGISTRY)
    return StoredTransaction(
        number, index, transaction_values(mined), mined.recipient, contract, frozenset(ids)
    )


def differences_of(*stored: StoredTransaction) -> list[tuple[int, Kind, int | None]]:
    found = compare_transactions([transaction(5, 0, TOKEN, REGISTRY)], stored, SOURCES)
    assert all(each.part is Part.TRANSACTION for each in found)
    return [(each.position, each.kind, each.source_id) for each in found]


def test_transactions_are_compared_for_each_source_that_they_belong_to() -> None:
    right = stored_as(5, 0, {1, 2})
    assert differences_of(right) == []
    # Sources that are not compared do not matter.
    assert differences_of(stored_as(5, 0, {1, 2, 7})) == []
    assert differences_of(stored_as(5, 0, {1})) == [(0, Kind.MISSING, 2)]
    assert differences_of() == [(0, Kind.MISSING, 1), (0, Kind.MISSING, 2)]
    assert differences_of(right, stored_as(5, 3, {2, 7})) == [(3, Kind.EXTRA, 2)]
    altered = [(0, Kind.ALTERED, 1), (0, Kind.ALTERED, 2)]
    assert differences_of(stored_as(5, 0, {1, 2}, contract="Nobody")) == altered
    for place in range(len(right.values)):
        values = (*right.values[:place], "other", *right.values[place + 1 :])
        assert differences_of(replace(right, values=values)) == altered


def test_a_sample_is_of_the_pieces_and_the_same_for_the_same_seed() -> None:
    pieces = [Piece(Span(0, 249), frozenset({1})), Piece(Span(300, 310), frozenset({1, 2}))]
    whole = sample(pieces, 100, 100, seed=1)
    assert [each.span for each in whole] == [
        Span(0, 99),
        Span(100, 199),
        Span(200, 249),
        Span(300, 310),
    ]
    some = sample(pieces, 2, 100, seed=5)
    assert len(some) == 2
    assert set(some) <= set(whole)
    assert some == sample(pieces, 2, 100, seed=5)
    assert len({tuple(sample(pieces, 2, 100, seed=seed)) for seed in range(30)}) > 1


def test_differences_sort_by_block() -> None:
    late, early = (Difference(block, Part.EVENT, 0, Kind.MISSING, None) for block in (7, 3))
    assert min(late, early) is early


def some_sources() -> list[Source]:
    ids = iter(range(1, 100))
    return [
        Source(next(ids), name, address, table.event, table, 0)
        for name, addresses, abi in (
            ("Ledger", LEDGER_ADDRESSES, LEDGER_ABI),
            ("Registry", (REGISTRY_ADDRESS,), REGISTRY_ABI),
            ("Again", (REGISTRY_ADDRESS,), REGISTRY_ABI[:1]),
        )
        for table in tables_of_contract(name, events_of_abi(abi))
        for address in addresses
    ]


def test_the_owners_of_a_log_are_those_for_which_it_is_decoded() -> None:
    sources = some_sources()
    owners, decoder = Owners(sources), Decoder(sources)
    emitted = [log for each in some_transactions(Random(3), 400, odd=0.4) for log in each.logs]
    seen: set[int] = set()
    for log in emitted:
        raw = replace(entry(0, "not_bool"), address=log.address, topics=log.topics, data=log.data)
        encoded = decoder.encode(as_logs([raw]))
        read = {each.source_id for each in encoded.undecoded if each.reason != "topic_count"}
        read |= {source_id for source_id, count in encoded.counts.items() if count}
        assert {source.id for source in owners.of(raw)} == read
        seen |= read
    assert seen == {source.id for source in sources}


def test_an_entry_becomes_the_log_that_it_was() -> None:
    two = [entry(1, "not_bool", index=1), entry(2, "not_bool", index=1), entry(1, "not_bool", index=0)]
    logs = as_logs(two)
    assert [log.log_index for log in logs.logs] == ["0x0", "0x1"]
    assert logs.untimed == []
    with pytest.raises(ValueError, match="no logs"):
        as_logs([])
