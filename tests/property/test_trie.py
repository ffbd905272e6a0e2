"""RLP, tries, blooms and receipts of any content equal what independent implementations make of them."""

from __future__ import annotations

from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from indexer.core.bloom import BloomProbe, logs_bloom, may_contain
from indexer.core.receiptsroot import summarize
from indexer.core.rlp import rlp_list, rlp_number, rlp_string
from indexer.core.trie import list_root, trie_root
from indexer.core.wire import WireLog, WireReceipt
from tests.fixtures.fakechain import FakeLog
from tests.fixtures.fakehash import bloom
from tests.fixtures.wirelogs import hex_of

#: Few letters and lengths, so that keys begin alike, contain each other, and end at odd places.
KEYS = st.one_of(
    st.lists(st.sampled_from((0x00, 0x01, 0x10, 0x11)), max_size=4).map(bytes),
    st.binary(max_size=6),
    st.binary(min_size=32, max_size=32),
)
#: Around 32 bytes, nodes begin to be named by their hash.
VALUES = st.one_of(st.binary(min_size=1, max_size=4), st.binary(min_size=20, max_size=70))


def reference_root(entries: dict[bytes, bytes]) -> bytes:
    reference = HexaryTrie({})
    for key, value in entries.items():
        reference[key] = value
    root: bytes = reference.root_hash
    return root


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=40))
def test_a_trie_of_any_entries_has_the_root_that_another_implementation_finds(
    entries: dict[bytes, bytes],
) -> None:
    assert trie_root(entries.items()) == reference_root(entries)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 300), st.binary(min_size=1, max_size=40))
def test_a_list_of_any_length_has_the_root_that_another_implementation_finds(count: int, seed: bytes) -> None:
    values = [seed + rlp.encode(position) for position in range(count)]
    expected = reference_root({rlp.encode(position): value for position, value in enumerate(values)})
    assert list_root(values) == expected


TREES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.binary(max_size=70), st.integers(0, 2**256)), lambda trees: st.lists(trees, max_size=6)
)


@settings(max_examples=300, deadline=None)
@given(TREES)
def test_rlp_of_anything_is_what_the_library_makes_of_it(tree: Any) -> None:
    def encoded(tree: Any) -> bytes:
        if isinstance(tree, list):
            return rlp_list(b"".join(encoded(each) for each in tree))
        return rlp_string(tree) if isinstance(tree, bytes) else rlp_number(tree)

    assert encoded(tree) == rlp.encode(tree)


#: Few addresses and topics, so that logs share them.
ADDRESSES = st.one_of(
    st.sampled_from([bytes([each]) * 20 for each in range(4)]), st.binary(min_size=20, max_size=20)
)
TOPICS = st.one_of(
    st.sampled_from([bytes([each]) * 32 for each in range(4)]), st.binary(min_size=32, max_size=32)
)
LOGS = st.builds(
    FakeLog,
    ADDRESSES,
    st.lists(TOPICS, max_size=4).map(tuple),
    st.one_of(st.binary(max_size=3), st.binary(min_size=54, max_size=300)),
)


@st.composite
def receipts(draw: st.DrawFn) -> tuple[WireReceipt, bytes, list[FakeLog]]:
    """A receipt as a node sends it, its consensus encoding made with the library, and its logs."""
    kind = draw(st.sampled_from((0, 1, 2, 3, 4, 0x7E)))
    gas, logs = draw(st.integers(0, 2**63 - 1)), draw(st.lists(LOGS, max_size=4))
    root = draw(st.none() | st.binary(min_size=32, max_size=32)) if kind == 0 else None
    status = draw(st.integers(0, 1)) if root is None else None
    # Since Regolith deposits have a nonce, since Canyon a version too, and only with that both are hashed.
    nonce = draw(st.none() | st.integers(0, 2**64 - 1)) if kind == 0x7E else None
    version = draw(st.none() | st.just(1)) if nonce is not None else None
    receipt = WireReceipt(
        transaction_hash=hex_of(bytes(32)),
        transaction_index="0x0",
        block_hash=hex_of(bytes(32)),
        block_number="0x1",
        gas_used="0x0",
        cumulative_gas_used=hex(gas),
        logs=[wire(log) for log in logs],
        status=None if status is None else hex(status),
        root=None if root is None else hex_of(root),
        type=hex(kind) if kind else draw(st.sampled_from([None, "0x0"])),
        deposit_nonce=None if nonce is None else hex(nonce),
        deposit_receipt_version=None if version is None else hex(version),
    )
    content = [
        status if root is None else root,
        gas,
        bloom(logs),
        [[log.address, list(log.topics), log.data] for log in logs],
        *(() if version is None else (nonce, version)),
    ]
    return receipt, (bytes([kind]) if kind else b"") + rlp.encode(content), logs


def wire(log: FakeLog) -> WireLog:
    zero = hex_of(bytes(32))
    topics = [hex_of(topic) for topic in log.topics]
    return WireLog(hex_of(log.address), topics, hex_of(log.data), "0x1", zero, zero, "0x0", "0x0")


@settings(max_examples=150, deadline=None)
@given(st.lists(receipts(), max_size=8))
def test_receipts_of_every_kind_give_the_root_and_filter_that_other_implementations_find(
    block: list[tuple[WireReceipt, bytes, list[FakeLog]]],
) -> None:
    found = summarize([receipt for receipt, _, _ in block])
    logs = [log for _, _, of_receipt in block for log in of_receipt]
    assert found.root == reference_root({rlp.encode(at): encoded for at, (_, encoded, _) in enumerate(block)})
    assert found.bloom == bloom(logs) == logs_bloom((log.address, log.topics) for log in logs)
    assert found.gas_used == (int(block[-1][0].cumulative_gas_used, 16) if block else 0)


@settings(max_examples=150, deadline=None)
@given(st.lists(LOGS, max_size=30), st.lists(st.tuples(ADDRESSES, st.none() | TOPICS), max_size=20))
def test_a_probe_finds_what_bit_by_bit_may_be_there_and_misses_no_log(
    logs: list[FakeLog], strangers: list[tuple[bytes, bytes | None]]
) -> None:
    there = [(log.address, log.topics[0] if log.topics else None) for log in logs]
    full = bloom(logs)
    found = BloomProbe([*there, *strangers]).matching(full)
    assert set(there) <= set(found)
    assert set(found) == {pair for pair in (*there, *strangers) if _bit_by_bit(full, pair)}
    assert all(may_contain(full, *pair) for pair in found)


def _bit_by_bit(full: bytes, pair: tuple[bytes, bytes | None]) -> bool:
    """By the words of the specification: three numbers of 11 bits from each hash."""
    bits = int.from_bytes(full, "big")
    places = [
        (digest[at] << 8 | digest[at + 1]) & 0x7FF
        for digest in (keccak(item) for item in pair if item is not None)
        for at in (0, 2, 4)
    ]
    return all(bits >> place & 1 for place in places)
