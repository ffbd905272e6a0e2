"""RLP and tries by examples that anybody can look up."""

from __future__ import annotations

import pytest

from indexer.core.rlp import rlp_list, rlp_number, rlp_string
from indexer.core.trie import EMPTY_ROOT, LONGEST_KEY, list_root, trie_root


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (rlp_string(b"dog"), "83646f67"),
        (rlp_string(b""), "80"),
        (rlp_string(b"\x00"), "00"),
        (rlp_string(b"\x7f"), "7f"),
        (rlp_string(b"\x80"), "8180"),
        (rlp_string(b"a" * 55), "b7" + "61" * 55),
        (rlp_string(b"a" * 56), "b838" + "61" * 56),
        (rlp_string(b"a" * 256), "b90100" + "61" * 256),
        (rlp_number(0), "80"),
        (rlp_number(15), "0f"),
        (rlp_number(1024), "820400"),
        (rlp_list(b""), "c0"),
        (rlp_list(rlp_string(b"cat") + rlp_string(b"dog")), "c88363617483646f67"),
        (rlp_list(rlp_string(b"a" * 60)), "f83eb83c" + "61" * 60),
    ],
)
def test_rlp_is_what_the_specification_shows(encoded: bytes, expected: str) -> None:
    assert encoded.hex() == expected


def test_a_trie_without_entries_has_the_root_that_every_empty_block_carries() -> None:
    assert EMPTY_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert trie_root([]) == list_root([]) == EMPTY_ROOT


def test_the_root_of_the_trie_of_dogs_is_the_published_one() -> None:
    entries = [(b"doe", b"reindeer"), (b"dog", b"puppy"), (b"dogglesworth", b"cat")]
    expected = "8aad789dff2f538bca5d8ea56e8abe10f4c7ba3a5dea95fea4cd6e7c3a1168d3"
    assert trie_root(entries).hex() == expected
    assert trie_root(reversed(entries)).hex() == expected


def test_what_no_trie_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="has no value"):
        list_root([b"a", b""])
    with pytest.raises(ValueError, match="is there twice"):
        trie_root([(b"key", b"a"), (b"other", b"b"), (b"key", b"c")])
    with pytest.raises(ValueError, match=f"longer than {LONGEST_KEY}"):
        trie_root([(bytes(LONGEST_KEY + 1), b"a")])
