"""Which logs become rows of which source, and what is said of those that do not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from indexer.core.batch import Decoder
from indexer.core.keccak import keccak256
from indexer.core.logs import RangeLogs, check_range_logs
from indexer.core.model import BlockId, Span
from indexer.core.source import LogFilter, Source, filter_of
from indexer.core.wire import WireLog
from tests.fixtures.wirelogs import (
    OTHER_TOKEN,
    TOKEN,
    block_hash,
    digest,
    event,
    sources_of,
    time_of,
    transaction_hash,
    wire_log,
)

ERC20 = event("Transfer", "address indexed from", "address indexed to", "uint256 - value")
ERC721 = event("Transfer", "address indexed from", "address indexed to", "uint256 indexed tokenId")
NOTE = event("Note", "string - text")
SECRET = event("Secret", "uint256 indexed number", "bool - flag", anonymous=True)
#: As OpenZeppelin's contracts show it.
ADMIN_ROLE = bytes.fromhex("a49807205ce4d355092ef5a8a18f56e8913cf4a201fbe287825b095693c21775")
EVERYTHING = LogFilter((TOKEN, OTHER_TOKEN), None)

ALICE, BOB = bytes(12) + b"\xaa" * 20, bytes(12) + b"\xbb" * 20
assert ERC20.topic0 is not None and NOTE.topic0 is not None
TOPIC0 = ERC20.topic0


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def text_data(text: bytes) -> bytes:
    return word(32) + word(len(text)) + text.ljust((len(text) + 31) // 32 * 32, b"\0")


def transfer(index: int, value: int = 1, block: int = 5, address: bytes = TOKEN) -> WireLog:
    return wire_log(block, index, address=address, topics=[TOPIC0, ALICE, BOB], data=word(value))


def checked(logs: list[WireLog]) -> RangeLogs:
    return check_range_logs(Span(0, 100), EVERYTHING, logs)


def counts(sources: Sequence[Source], logs: list[WireLog]) -> dict[int, int]:
    encoded = Decoder(sources).encode(checked(logs))
    assert not encoded.undecoded
    assert sum(encoded.counts.values()) == encoded.rows
    return dict(encoded.counts)


def test_a_filter_is_the_product_of_addresses_and_first_topics() -> None:
    sources = [*sources_of("Token", TOKEN, ERC20), *sources_of("Notes", OTHER_TOKEN, NOTE, first_id=2)]
    chosen = filter_of(sources)
    assert chosen == LogFilter((TOKEN, OTHER_TOKEN), tuple(sorted([TOPIC0, NOTE.topic0 or b""])))
    assert chosen.admits(TOKEN, NOTE.topic0)
    assert not chosen.admits(TOKEN, None)


def test_an_anonymous_event_opens_the_filter_for_all_topics() -> None:
    chosen = filter_of(sources_of("Token", TOKEN, ERC20, SECRET))
    assert chosen == LogFilter((TOKEN,), None)
    assert chosen.admits(TOKEN, None)


def test_a_filter_of_nothing_would_ask_for_everything() -> None:
    with pytest.raises(ValueError, match="every log"):
        filter_of([])


@pytest.mark.parametrize("logs", [3, 100])
def test_a_row_is_what_the_log_says(logs: int) -> None:
    encoded = Decoder(sources_of("Token", TOKEN, ERC20)).encode(
        checked([transfer(at, value=10_000 * at) for at in range(logs)])
    )
    (table,) = encoded.tables
    assert (table.schema, table.table, table.rows) == ("token", "transfer", logs)
    assert table.columns[:6] == (
        "block_number",
        "log_index",
        "block_time",
        "transaction_hash",
        "transaction_index",
        "address",
    )
    microseconds = (time_of(5) - 946_684_800) * 1_000_000
    third = b"".join(
        [
            b"\0\x09",
            b"\0\0\0\x08" + (5).to_bytes(8, "big"),
            b"\0\0\0\x04" + (2).to_bytes(4, "big"),
            b"\0\0\0\x08" + microseconds.to_bytes(8, "big"),
            b"\0\0\0\x20" + transaction_hash(5, 0),
            b"\0\0\0\x04" + bytes(4),
            b"\0\0\0\x14" + TOKEN,
            b"\0\0\0\x14" + b"\xaa" * 20,
            b"\0\0\0\x14" + b"\xbb" * 20,
            b"\0\0\0\x0c" + bytes.fromhex("0002 0001 0000 0000 0002 0000"),
        ]
    )
    assert third in table.payload
    assert encoded.blocks == {BlockId(5, block_hash(5)): time_of(5)}


def test_the_topic_count_tells_equal_signatures_apart() -> None:
    sources = sources_of("Token", TOKEN, ERC20, ERC721)
    nft = wire_log(5, 1, topics=[TOPIC0, ALICE, BOB, word(7)])
    assert counts(sources, [transfer(0), nft, transfer(2)]) == {1: 2, 2: 1}


def test_addresses_of_one_contract_share_a_table_and_are_counted_apart() -> None:
    first = sources_of("Token", TOKEN, ERC20)
    second = sources_of("Token", OTHER_TOKEN, ERC20, first_id=9)
    logs = [transfer(at, address=OTHER_TOKEN if at % 3 else TOKEN) for at in range(90)]
    encoded = Decoder(first + second).encode(checked(logs))
    assert len(encoded.tables) == 1
    assert encoded.counts == {1: 30, 9: 60}


def test_one_log_serves_every_contract_that_names_its_address() -> None:
    sources = [*sources_of("Token", TOKEN, ERC20), *sources_of("Alias", TOKEN, ERC20, first_id=2)]
    assert counts(sources, [transfer(0)]) == {1: 1, 2: 1}


def test_a_log_that_only_the_filters_product_let_through_is_nobodys() -> None:
    sources = [*sources_of("Token", TOKEN, ERC20), *sources_of("Notes", OTHER_TOKEN, NOTE, first_id=2)]
    encoded = Decoder(sources).encode(checked([transfer(0, address=OTHER_TOKEN, block=6), transfer(0)]))
    assert (encoded.counts, encoded.undecoded) == ({1: 1}, ())
    assert list(encoded.blocks) == [BlockId(5, block_hash(5))]


def test_a_wrong_topic_count_is_reported() -> None:
    log = wire_log(5, 3, topics=[TOPIC0, ALICE], data=word(1))
    (undecoded,) = Decoder(sources_of("Token", TOKEN, ERC20)).encode(checked([log])).undecoded
    assert (undecoded.source_id, undecoded.reason) == (1, "topic_count")
    assert (undecoded.block_number, undecoded.log_index, undecoded.block_time) == (5, 3, time_of(5))
    assert (undecoded.topics, undecoded.data) == ((TOPIC0, ALICE), word(1))
    assert (undecoded.address, undecoded.transaction_hash) == (TOKEN, transaction_hash(5, 0))


def test_logs_of_other_sources_are_left_alone() -> None:
    wanted, other = sources_of("Token", TOKEN, ERC20, ERC721)
    nft = wire_log(5, 1, topics=[TOPIC0, ALICE, BOB, word(7)])
    encoded = Decoder([wanted], [other]).encode(checked([transfer(0), nft]))
    assert (encoded.counts, encoded.undecoded) == ({wanted.id: 1}, ())


def test_a_log_that_no_source_reads_is_reported_by_one_of_them_only() -> None:
    first, second = sources_of("Token", TOKEN, ERC20, ERC721)
    logs = checked([wire_log(5, 0, topics=[TOPIC0])])
    assert [log.source_id for log in Decoder([first], [second]).encode(logs).undecoded] == [first.id]
    assert not Decoder([second], [first]).encode(logs).undecoded


def test_an_anonymous_event_gets_what_no_named_one_takes() -> None:
    sources = sources_of("Token", TOKEN, ERC20, SECRET)
    logs = [
        transfer(0),
        wire_log(5, 1, topics=[word(77)], data=word(1)),
        wire_log(5, 2, topics=[TOPIC0], data=word(0)),
        wire_log(5, 3, address=OTHER_TOKEN, topics=[word(77)], data=word(1)),
        wire_log(5, 4, data=word(1)),
    ]
    assert counts(sources, logs) == {1: 1, 2: 2}


@pytest.mark.parametrize("around", [0, 100])
def test_a_malformed_log_is_reported_and_the_others_are_written(around: int) -> None:
    bad = transfer(around)
    bad.topics[1] = "0x" + "01" * 32
    short = transfer(around + 1)
    short.data = short.data[:-2]
    long = transfer(around + 2)
    long.data += "00" * 32
    logs = [transfer(at) for at in range(around)] + [bad, short, long]
    encoded = Decoder(sources_of("Token", TOKEN, ERC20)).encode(checked(logs))
    assert encoded.counts == {1: around + 1}
    assert [(log.log_index, log.reason) for log in encoded.undecoded] == [
        (around, "dirty_padding"),
        (around + 1, "data_too_short"),
    ]


def test_only_malformed_logs_make_no_table() -> None:
    short = transfer(0)
    short.data = "0x"
    encoded = Decoder(sources_of("Token", TOKEN, ERC20)).encode(checked([short]))
    assert (encoded.tables, encoded.rows, encoded.counts) == ((), 0, {})
    assert len(encoded.undecoded) == 1
    assert list(encoded.blocks) == [BlockId(5, block_hash(5))]


def test_a_text_that_no_database_holds_is_a_row_and_a_report() -> None:
    assert NOTE.topic0 is not None
    logs = [
        wire_log(5, 0, topics=[NOTE.topic0], data=text_data(b"fine")),
        wire_log(5, 1, topics=[NOTE.topic0], data=text_data(b"a\0b\xff")),
    ]
    encoded = Decoder(sources_of("Notes", TOKEN, NOTE)).encode(checked(logs))
    assert encoded.counts == {1: 2}
    assert "a\ufffdb\ufffd".encode() in encoded.tables[0].payload
    assert [(log.log_index, log.reason) for log in encoded.undecoded] == [(1, "lossy_text")]


@pytest.mark.parametrize("repeated", [1, 40])
def test_grants_and_revocations_of_the_highest_roles_are_counted(repeated: int) -> None:
    granted, revoked = (
        event(name, "bytes32 indexed role", "address indexed account", "address indexed sender")
        for name in ("RoleGranted", "RoleRevoked")
    )
    assert granted.topic0 is not None and revoked.topic0 is not None
    sources = sources_of("Roles", TOKEN, granted, revoked, ERC20)
    pairs = [(granted, bytes(32)), (granted, ADMIN_ROLE), (revoked, ADMIN_ROLE)]
    pairs += [(granted, keccak256(b"MINTER_ROLE")), (revoked, bytes(31) + b"\x01")]
    logs = [
        wire_log(5, index, topics=[each.topic0 or b"", role, ALICE, BOB])
        for index, (each, role) in enumerate(pairs * repeated)
    ]
    encoded = Decoder(sources).encode(checked([*logs, transfer(len(logs))]))
    assert encoded.counts == {sources[0].id: 3 * repeated, sources[1].id: 2 * repeated, sources[2].id: 1}
    changes = {(sources[0].id, "granted"): 2 * repeated, (sources[1].id, "revoked"): repeated}
    assert encoded.admin_changes == changes
    others = Decoder(sources[2:], sources[:2]).encode(checked(logs))
    assert not others.admin_changes, "logs of other sources were counted when those were written"


def test_no_logs_make_nothing() -> None:
    encoded = Decoder(sources_of("Token", TOKEN, ERC20)).encode(checked([]))
    assert (encoded.tables, encoded.undecoded, encoded.counts, encoded.blocks) == ((), (), {}, {})


def test_logs_whose_times_are_not_known_yet_are_a_programming_error() -> None:
    log = transfer(0)
    log.block_timestamp = None
    with pytest.raises(ValueError, match="times of 1 blocks"):
        Decoder(sources_of("Token", TOKEN, ERC20)).encode(checked([log]))


def test_topic0_of_a_log_need_not_be_an_event_at_all() -> None:
    assert counts(sources_of("Token", TOKEN, ERC20), [transfer(0), wire_log(5, 1, topics=[digest(1)])]) == {
        1: 1
    }
