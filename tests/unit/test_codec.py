"""Codecs made for one event."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode

from indexer.core.abi import events_of_abi
from indexer.core.codec import EventCodec, codec_for
from indexer.core.malformed import REASONS, Malformed
from indexer.core.schema import columns_of
from tests.property.copy_reader import fields_of, value_of


def codec(
    *inputs: str, anonymous: bool = False, components: list[dict[str, Any]] | None = None
) -> EventCodec:
    """The codec of an event E with arguments declared as in Solidity."""
    params = []
    for declared in inputs:
        type_, *words = declared.split()
        params.append(
            {"type": type_, "name": words[-1], "indexed": "indexed" in words, "components": components}
        )
    (event,) = events_of_abi([{"type": "event", "name": "E", "inputs": params, "anonymous": anonymous}])
    return codec_for(event)


def words(*values: int | bytes) -> bytes:
    """Each value as one word: numbers at its end, bytes at its beginning."""
    return b"".join(
        value.to_bytes(32, "big", signed=value < 0) if isinstance(value, int) else value.ljust(32, b"\0")
        for value in values
    )


def topics(made: EventCodec, *more: bytes) -> list[bytes]:
    return [made.event.topic0, *more] if made.event.topic0 else list(more)


def test_a_log_becomes_values_and_json_and_fields() -> None:
    made = codec("address indexed user", "uint256 value", "string name", "uint32 tier", "int16 change")
    user = b"\xab" * 20
    log = (
        topics(made, bytes(12) + user),
        encode(["uint256", "string", "uint32", "int16"], [10**20, "Zoë", 7, -2]),
    )
    assert made.decode(*log) == (user, 10**20, "Zoë", 7, -2)
    assert made.args(*log) == {
        **{"user": "0x" + "ab" * 20, "value": "100000000000000000000"},
        **{"name": "Zoë", "tier": 7, "change": -2},
    }
    octets, lossy = made.columns(*log)
    assert not lossy
    numeric = b"\0\6\0\5\0\0\0\0" + b"".join(digit.to_bytes(2, "big") for digit in (1, 0, 0, 0, 0, 0))
    assert fields_of(octets) == [user, numeric, "Zoë".encode(), words(7)[24:], b"\xff" * 7 + b"\xfe"]


@pytest.mark.parametrize("bits", range(8, 257, 8))
def test_an_integer_of_every_width_fits_its_column_and_no_larger_one_is_taken(bits: int) -> None:
    for kind, least, most in (("uint", 0, (1 << bits) - 1), ("int", -1 << bits - 1, (1 << bits - 1) - 1)):
        made = codec(f"{kind}{bits} a")
        (column,) = columns_of(made.event)
        for value in (least, most, 0, 1):
            (field,) = fields_of(made.columns(topics(made), words(value))[0])
            assert value_of(column.pg_type, field) == value
            assert made.decode(topics(made), words(value)) == (value,)
            assert made.args(topics(made), words(value)) == {"a": value if bits <= 53 else str(value)}
        for value in (least - 1, most + 1) if bits < 256 else ():
            with pytest.raises(Malformed, match="dirty_padding"):
                made.columns(topics(made), words(value))


def test_an_event_without_arguments_is_an_empty_row() -> None:
    made = codec()
    assert made.decode(topics(made), b"") == ()
    assert made.args(topics(made), b"") == {}
    assert made.columns(topics(made), b"") == (b"", False)


def test_an_anonymous_event_has_all_topics_for_its_arguments() -> None:
    made = codec(
        "bytes4 indexed sig", "address indexed who", "string indexed note", "bytes data", anonymous=True
    )
    hashed = b"\x77" * 32
    log = [words(b"abcd"), words(5), hashed], encode(["bytes"], [b"xy"])
    assert made.decode(*log) == (b"abcd", bytes(19) + b"\5", hashed, b"xy")
    assert made.args(*log)["note"] == "0x" + "77" * 32


def test_tuples_are_objects_by_name_unless_a_name_is_missing_or_twice() -> None:
    def components(*found: str) -> list[dict[str, Any]]:
        return [{"name": name, "type": "uint64"} for name in found]

    log = words(1, 2)
    for given, json in [
        (("a", "b"), {"a": "1", "b": "2"}),
        (("a", ""), ["1", "2"]),
        (("a", "a"), ["1", "2"]),
    ]:
        made = codec("tuple t", components=components(*given))
        assert made.args(topics(made), log) == {"t": json}
        assert made.decode(topics(made), log) == ((1, 2),)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a\0b", "a\ufffdb"),
        (b"\0", "\ufffd"),
        (b"caf\xe9", "caf\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xff\0\xe2\x82\xac", "\ufffd\ufffd€"),
        (b"\xf0\x9f\x98", "\ufffd"),
    ],
)
def test_text_that_postgres_cannot_hold_is_replaced_and_told(raw: bytes, text: str) -> None:
    for declared, components in [
        ("string s", None),
        ("string[] s", None),
        ("tuple s", [{"name": "", "type": "string"}]),
    ]:
        made = codec(declared, components=components)
        encoded = {"string s": raw, "string[] s": [raw], "tuple s": (raw,)}[declared]
        kind = {"string s": "bytes", "string[] s": "bytes[]", "tuple s": "(bytes)"}[declared]
        log = topics(made), encode([kind], [encoded])
        octets, lossy = made.columns(*log)
        assert lossy
        assert text.encode() in octets
        assert "\0" not in str(made.args(*log))


@pytest.mark.parametrize("text", ["", "plain", "\ufffd stands there already", "Ünïcödé 😀", '\x01\x7f"\\'])
def test_text_that_postgres_can_hold_is_left_alone(text: str) -> None:
    for kind, encoded in (("string", text), ("string[]", [text])):
        made = codec(f"{kind} s")
        octets, lossy = made.columns(topics(made), encode([kind], [encoded]))
        assert not lossy
        assert kind != "string" or fields_of(octets) == [text.encode()]


ZERO_TOPIC = words(0)


@pytest.mark.parametrize(
    ("declared", "data", "reason"),
    [
        ("uint8 a", b"", "data_too_short"),
        ("uint8 a", words(1)[:31], "data_too_short"),
        ("uint8 a", words(256), "dirty_padding"),
        ("int8 a", words(128), "dirty_padding"),
        ("int8 a", words(-129), "dirty_padding"),
        ("address a", words(1 << 160), "dirty_padding"),
        ("bytes3 a", words(b"abcd"), "dirty_padding"),
        ("bool a", words(2), "not_bool"),
        ("bool a", words(1 << 255), "not_bool"),
        ("bool[] a", words(32, 1, 3), "not_bool"),
        ("string a", words(32), "offset_out_of_range"),
        ("string a", words(0, 0), "offset_out_of_range"),
        ("string a", words(2**256 - 32, 0), "offset_out_of_range"),
        ("string a", words(33, 0), "data_too_short"),
        ("string a", words(32, 1), "length_out_of_range"),
        ("string a", words(32, 2**256 - 1), "length_out_of_range"),
        ("string a", words(32, 1, b"ab"), "dirty_padding"),
        ("string a", words(32, 1)[:64] + b"a", "length_out_of_range"),
        ("uint8[] a", words(32, 2, 1), "length_out_of_range"),
        ("uint8[] a", words(32, 2**255), "length_out_of_range"),
        ("uint8[] a", words(32, 1, 256), "dirty_padding"),
        ("uint8[2] a", words(1), "data_too_short"),
        ("string[2] a", words(32, 64), "data_too_short"),
        ("string[] a", words(32, 1, 0), "offset_out_of_range"),
        ("string[] a", words(32, 2**250), "length_out_of_range"),
    ],
)
def test_what_is_wrong_with_the_data_is_told(declared: str, data: bytes, reason: str) -> None:
    made = codec(declared)
    for function in (made.decode, made.args, made.columns):
        with pytest.raises(Malformed) as refusal:
            function(topics(made), data)
        assert refusal.value.reason == reason
        assert reason in REASONS
        assert refusal.value.argument in (None, "a")


def test_what_is_wrong_with_the_topics_is_told() -> None:
    made = codec("address indexed a")
    good = topics(made, ZERO_TOPIC)
    wrong = {
        "topic_count": [good[:1], [*good, ZERO_TOPIC], []],
        "topic_size": [[good[0], b""], [good[0], bytes(33)]],
        "topic0": [[ZERO_TOPIC, ZERO_TOPIC]],
        "dirty_padding": [[good[0], words(1 << 160)]],
    }
    assert made.decode(good, b"") == (bytes(20),)
    for reason, logs in wrong.items():
        for log in logs:
            with pytest.raises(Malformed, match=reason):
                made.columns(log, b"")


def test_data_after_the_last_argument_and_shared_tails_are_accepted() -> None:
    made = codec("string a", "string b")
    shared = words(64, 64, 2, b"hi")
    assert made.decode(topics(made), shared + b"more") == ("hi", "hi")


def test_a_small_log_cannot_become_a_huge_value() -> None:
    count = 20_000
    one_array = words(count) + bytes(32 * count)
    nested = words(32, count) + words(32 * count) * count + one_array
    made = codec("uint8[][] a")
    for function in (made.decode, made.args, made.columns):
        with pytest.raises(Malformed, match="amplified in a"):
            function(topics(made), nested)


def test_the_source_can_be_read_and_names_cannot_break_out_of_it() -> None:
    evil = "'+__import__('os').abort()+'".replace("(", "").replace(")", "").replace(" ", "")
    (event,) = events_of_abi(
        [
            {
                "type": "event",
                "name": "E\\",
                "inputs": [
                    {"name": evil, "type": "bool"},
                    {"name": '"""', "type": "tuple", "components": [{"name": "\\'", "type": "bool"}]},
                ],
            }
        ]
    )
    made = codec_for(event)
    assert made.args(topics(made), words(1, 0)) == {evil: True, '"""': {"\\'": False}}
    assert made.source.count("\ndef ") == 5
    assert codec_for(event) is made
