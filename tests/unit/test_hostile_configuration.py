"""Configurations and ABI files that no person writes: each mistake is told, in few printable words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from indexer.contracts import read_abi
from indexer.core.abi import Param, event_spec, events_of_abi
from indexer.core.abitype import Bytes
from indexer.core.codec import EventCodec, codec_for
from indexer.core.ddl import table_ddl
from indexer.core.errors import UserMistake
from indexer.core.malformed import Malformed
from indexer.core.naming import plain_table_name, text_literal
from indexer.core.schema import tables_of_contract
from indexer.settings import Settings, load_settings

CHAIN = '[chain]\nrpc = ["http://127.0.0.1:8545"]\n'
CONTRACT = (
    '[[contracts]]\nname = "A"\naddress = "0x5fbdb2315678afecb367f032d93f642f64180aa3"\nabi = "a.json"\n'
)


def read(directory: Path, toml: str, **environment: str) -> Settings:
    (directory / "a.json").write_text("[]")
    path = directory / "indexer.toml"
    path.write_text(toml)
    return load_settings(environment, path)


def told(directory: Path, toml: str, **environment: str) -> str:
    """The message of the mistake, which is short and can be shown on a terminal."""
    with pytest.raises(UserMistake) as mistake:
        read(directory, toml, **environment)
    message = str(mistake.value)
    assert len(message) < 8_000
    assert message.replace("\n", " ").isprintable()
    return message


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("a = " + "[" * 5_000 + "]" * 5_000 + "\n", "nested too deeply"),
        ("a = " + "9" * 5_000 + "\n", "thousands of digits"),
        (f"{CHAIN}confirmations = 0x{'f' * 20_000}\n{CONTRACT}", "not a number of 80000 bits"),
        (CHAIN + CONTRACT.replace("a.json", "a" * 5_000), "there is no file 'aaaa"),
        (CHAIN + CONTRACT.replace("a.json", "a\\u0000\\u001b[2J"), "there is no file 'a\\x00\\x1b[2J'"),
        (CHAIN + CONTRACT.replace("0x5f", "x" * 100_000), "not an address: 'xxx"),
        (CHAIN + CONTRACT + '"\\u001b[2J" = 1\n', "'\\x1b[2J': is not a known setting"),
        (CHAIN + CONTRACT + '"' + "x" * 100_000 + '" = 1\n', "is not a known setting"),
        (CHAIN + CONTRACT + "".join(f"k{at} = 1\n" for at in range(5_000)), "… and 4950 more"),
        (
            CHAIN.replace("rpc", "proof = '" + "x" * 100_000 + "'\nrpc") + CONTRACT,
            'must be "receipts" or "linked"',
        ),
        (CHAIN + "poll_seconds = nan\n" + CONTRACT, "must be a number from 0.01"),
        ("\x00", "not valid TOML"),
    ],
    ids=str.split("depth digits bits path nul address escape key many choice nan zero"),
)
def test_a_mistake_of_any_size_is_told_shortly(tmp_path: Path, toml: str, words: str) -> None:
    assert words in told(tmp_path, toml)


def test_a_port_of_thousands_of_digits_is_a_mistake(tmp_path: Path) -> None:
    digits = "9" * 5_000
    assert "must be host:port" in told(tmp_path, CHAIN + CONTRACT, INDEXER_HTTP=f"127.0.0.1:{digits}")
    assert "its port" in told(tmp_path, CHAIN + CONTRACT, RPC_URL=f"http://127.0.0.1:{digits}")


def event(name: object = "E", *inputs: object) -> dict[str, object]:
    return {"type": "event", "name": name, "inputs": list(inputs)}


def argument(type_: str, name: str = "a", **more: object) -> dict[str, object]:
    return {"type": type_, "name": name, **more}


def nested(depth: int) -> dict[str, object]:
    return argument("tuple", components=[nested(depth - 1)]) if depth else argument("uint8")


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'[{"type": "event", "name": "\xff"}]', "not JSON"),
        (b'[{"type": "event", "name": "\\ud800"}]', "not JSON"),
        (json.dumps([event("x" * 3_000_000)]).encode(), "3000000 characters, the most is 1000"),
        (json.dumps([event("E", argument("uint8" + "[]" * 100_000))]).encode(), "unknown type 'uint8[]"),
        (json.dumps([event("E", argument("x" * 100_000))]).encode(), "unknown type 'xxx"),
        (json.dumps([event("E", *[argument("bool")] * 301)]).encode(), "301 arguments"),
        (json.dumps([event("E", *[argument("bool", indexed=True)] * 300)]).encode(), "too many indexed"),
        (json.dumps([event("E", *[argument("bool")] * 20_000)]).encode(), "20000 types"),
        (json.dumps([event("E", nested(90))]).encode(), "nested 33 deep"),
        (json.dumps([event("E", nested(300))]).encode(), "more than 100 deep"),
        (json.dumps([event("\u202egnp.exe")]).encode(), "must be an identifier"),
    ],
    ids=str.split("depth utf8 surrogate name array type arguments topics types tuples deeper direction"),
)
def test_an_abi_that_cannot_be_meant_is_refused_shortly(tmp_path: Path, contents: bytes, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(contents)
    with pytest.raises(UserMistake) as mistake:
        read_abi(path)
    message = str(mistake.value)
    assert words in message
    assert len(message) < 2_000
    assert message.isprintable()


def test_hundreds_of_arguments_of_one_name_are_told_apart() -> None:
    (wide,) = events_of_abi(
        [event("Wide", *[argument("uint8", "same")] * 298, argument("bool", "same_7"), argument("bool"))]
    )
    names = wide.argument_names
    assert len(set(names)) == 300
    assert names[:3] == ("same", "same_2", "same_3")
    assert names[298] == "same_7_2"
    (table,) = tables_of_contract("C", [wide])
    assert len(set(table.column_names)) == 306


def test_no_table_is_named_like_the_index_of_another() -> None:
    tables = tables_of_contract(
        "C", events_of_abi([event("Foo"), event("FooPkey"), event("foo_pkey1"), event("FooHex")])
    )
    assert [table.name for table in tables] == ["foo", "foo_pkey_event", "foo_pkey1_event", "foo_hex_event"]
    assert plain_table_name("Pkey") == "pkey"


def test_a_backslash_in_a_literal_means_the_same_whatever_the_server_is_set_to() -> None:
    assert text_literal("\\'; drop") == "E'\\\\''; drop'"
    (table,) = tables_of_contract("C", events_of_abi([event("\\';drop")]))
    assert "is E'\\\\'';drop()';" in table_ddl(table)


def test_many_byte_strings_that_share_their_octets_are_not_unfolded() -> None:
    def shared(count: int) -> tuple[list[bytes], bytes]:
        octets = bytes(100_000)
        size = len(octets).to_bytes(32, "big")
        return [], (32 * count).to_bytes(32, "big") * count + size + octets

    def codec_of(count: int) -> EventCodec:
        return codec_for(
            event_spec("Wide", tuple(Param(f"b{at}", Bytes(), False) for at in range(count)), anonymous=True)
        )

    assert len(codec_of(16).columns(*shared(16))[0]) > 1_600_000
    with pytest.raises(Malformed, match="amplified"):
        codec_of(60).columns(*shared(60))
