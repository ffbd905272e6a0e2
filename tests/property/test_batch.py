"""Rows made for many logs at once equal those made one by one, and both say what the chain said."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.core.abi import MOST_TOPICS, EventSpec, Param, event_spec
from indexer.core.abitype import AbiType, Address, Bool, FixedBytes, FunctionPointer, Int, String, Uint
from indexer.core.batch import Decoder
from indexer.core.columnar import layout_of
from indexer.core.keccak import keccak256
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import Encoded, Span
from indexer.core.source import Source, filter_of
from indexer.core.wire import WireLog
from tests.fixtures.wirelogs import digest, sources_of, time_of, transaction_hash, wire_log
from tests.property.copy_reader import fields_of, value_of
from tests.property.random_abi import events, log_of, random_value

EXAMPLES = 250
LAST_BLOCK = 12
SETTINGS = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)

FIXED_SIZE: st.SearchStrategy[AbiType] = st.one_of(
    st.sampled_from([Uint(256), Int(256), Address(), Bool(), FixedBytes(32), FunctionPointer()]),
    st.sampled_from(range(8, 257, 8)).map(Uint),
    st.sampled_from(range(8, 257, 8)).map(Int),
    st.integers(1, 32).map(FixedBytes),
)


@st.composite
def columnar_events(draw: st.DrawFn) -> EventSpec:
    """Events whose arguments all have fixed places; an indexed string is one, for only its hash is there."""
    types = draw(st.lists(FIXED_SIZE | st.just(String()), min_size=1, max_size=6))
    indexed = draw(st.lists(st.booleans(), min_size=len(types), max_size=len(types)))
    params = [
        Param(f"p{place}", each, each == String() or flag)
        for place, (each, flag) in enumerate(zip(types, indexed, strict=True))
    ]
    while sum(param.indexed for param in params) >= MOST_TOPICS:
        params.remove(next(param for param in params if param.indexed))
    return event_spec("Fixed", tuple(params))


@dataclass
class Told:
    """A log that was emitted, and the values in it; None once it was tampered with."""

    source: Source
    wire: WireLog
    values: list[Any] | None


def expected(source: Source, values: list[Any]) -> list[object]:
    """The values as the database is to show them, of an event without compound arguments."""
    topics, _ = log_of(source.event, values)
    shown: list[object] = []
    for param, value in zip(source.event.params, values, strict=True):
        if param.indexed:
            topics = topics[1:]
        shown.append(topics[0] if param.is_hashed else value)
    return shown


def emitted(sources: list[Source], random: Random) -> list[Told]:
    """Logs of the sources in any mixture, every tenth of them tampered with."""
    told: list[Told] = []
    block, index = 0, 0
    for _ in range(random.choice([1, 8, 70])):
        if random.random() < 0.2 and block < LAST_BLOCK:
            block, index = block + 1, -1
        index += random.choice([1, 1, 5])
        source = random.choice(sources)
        values: list[Any] | None = [random_value(param.type, random) for param in source.event.params]
        assert values is not None
        topics, data = log_of(source.event, values)
        if random.random() < 0.1:
            topics, data = tampered(topics, data, random)
            values = None
        wire = wire_log(block, index, transaction=index, address=source.address, topics=topics, data=data)
        told.append(Told(source, wire, values))
    return told


def tampered(topics: list[bytes], data: bytes, random: Random) -> tuple[list[bytes], bytes]:
    """The log with some bytes too many, too few, or other ones; its first topic stays."""
    match random.randrange(4):
        case 0:
            return topics, data[: random.randrange(len(data) + 1)]
        case 1:
            return topics, data + random.randbytes(random.choice([1, 32]))
        case 2 if data:
            at = random.randrange(len(data))
            return topics, data[:at] + random.randbytes(1) + data[at + 1 :]
    return topics[:1] + [random.randbytes(32) for _ in topics[1:]], data


def encoded_from(threshold: int, decoder: Decoder, logs: RangeLogs) -> Encoded:
    """The result where so many logs of a table are made rows at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("indexer.core.batch.COLUMNAR_FROM", threshold)
        return decoder.encode(logs)


def rows_of(encoded: Encoded) -> dict[tuple[str, str], list[tuple[bytes, ...]]]:
    """The fields of each row by table, sorted."""
    rows: dict[tuple[str, str], list[tuple[bytes, ...]]] = {}
    for table in encoded.tables:
        payload, found = table.payload, []
        while payload:
            assert int.from_bytes(payload[:2], "big") == len(table.columns)
            size = 2
            for _ in table.columns:
                size += 4 + int.from_bytes(payload[size : size + 4], "big")
            found.append(tuple(fields_of(payload[2:size])))
            payload = payload[size:]
        assert len(found) == table.rows
        rows[table.schema, table.table] = sorted(found)
    return rows


def shown(source: Source, row: tuple[bytes, ...]) -> list[object]:
    """A row's values as PostgreSQL would hold them: numbers for the first three columns."""
    types = [column.pg_type for column in source.table.columns]
    values = [value_of(pg_type, field) for pg_type, field in zip(types, row[6:], strict=True)]
    return [int.from_bytes(row[0], "big"), int.from_bytes(row[1], "big"), *row[2:6], *values]


def check_rows(told: list[Told], encoded: Encoded) -> None:
    """Every honest log of an event with fixed places is in its table, as it was emitted."""
    rows = {
        (key, int.from_bytes(row[0], "big"), int.from_bytes(row[1], "big")): row
        for key, table_rows in rows_of(encoded).items()
        for row in table_rows
    }
    for each in told:
        if each.values is None or layout_of(each.source.event) is None:
            continue
        source, block, index = each.source, int(each.wire.block_number, 16), int(each.wire.log_index, 16)
        row = rows[(source.table.schema, source.table.name), block, index]
        assert shown(source, row) == [
            block,
            index,
            ((time_of(block) - 946_684_800) * 1_000_000).to_bytes(8, "big"),
            transaction_hash(block, index),
            index.to_bytes(4, "big"),
            source.address,
            *expected(source, each.values),
        ]


@given(st.lists(columnar_events() | events(), min_size=1, max_size=4), st.integers(0, 2**32))
@SETTINGS
def test_at_once_and_one_by_one_agree_and_nothing_is_lost(specs: list[EventSpec], seed: int) -> None:
    sources = [
        source
        for place, spec in enumerate(specs)
        for source in sources_of(f"C{place}", digest(place % 3)[:20], spec, first_id=place + 1)
    ]
    told = emitted(sources, Random(seed))
    logs = check_range_logs(Span(0, LAST_BLOCK), filter_of(sources), [each.wire for each in told])
    decoder = Decoder(sources)
    at_once = encoded_from(1, decoder, logs)
    one_by_one = encoded_from(10**9, decoder, logs)

    assert rows_of(at_once) == rows_of(one_by_one)
    assert at_once.undecoded == one_by_one.undecoded
    assert (at_once.counts, at_once.blocks) == (one_by_one.counts, one_by_one.blocks)
    check_rows(told, at_once)
    assert sum(at_once.counts.values()) == at_once.rows
    accounted = at_once.rows + sum(log.reason != "lossy_text" for log in at_once.undecoded)
    assert accounted >= len(told)
    assert at_once.blocks.keys() == {block for block in at_once.blocks if block.number in logs.blocks}
    assert len(at_once.blocks) == len(logs.blocks)


def test_every_width_of_number_is_exact_at_once() -> None:
    """All powers of two and ten, and their neighbours, signed and not, beside each other in one column."""
    edges = {
        power + near
        for power in [*(2**n for n in range(256)), *(10**n for n in range(77))]
        for near in (-1, 0, 1)
    }
    for number_type in (Uint(256), Int(256), Uint(64), Int(64), Int(72), Uint(248)):
        least = -(1 << number_type.bits - 1) if isinstance(number_type, Int) else 0
        most = least + (1 << number_type.bits) - 1
        values = sorted(each for each in edges | {-each for each in edges} if least <= each <= most)
        spec = event_spec("Number", (Param("n", number_type, False),))
        sources = sources_of("Numbers", digest()[:20], spec)
        told = [
            Told(
                sources[0],
                wire_log(
                    0,
                    at,
                    transaction=at,
                    address=digest()[:20],
                    topics=log_of(spec, [value])[0],
                    data=log_of(spec, [value])[1],
                ),
                [value],
            )
            for at, value in enumerate(values)
        ]
        logs = check_range_logs(Span(0, 0), filter_of(sources), [each.wire for each in told])
        encoded = Decoder(sources).encode(logs)
        assert encoded.rows == len(values) > 100
        check_rows(told, encoded)


def test_the_hash_of_an_indexed_text_is_its_column() -> None:
    spec = event_spec("Named", (Param("name", String(), True),))
    sources = sources_of("Names", digest()[:20], spec)
    topics = [spec.topic0 or b"", keccak256(b"hello")]
    logs = [wire_log(0, at, transaction=at, address=digest()[:20], topics=topics) for at in range(40)]
    encoded = Decoder(sources).encode(check_range_logs(Span(0, 0), filter_of(sources), logs))
    assert encoded.tables[0].columns[-1] == "name_hash"
    assert encoded.tables[0].payload.count(b"\0\0\0\x20" + keccak256(b"hello")) == 40
