"""Events from an ABI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from indexer.core.abi import events_of_abi
from indexer.core.abitype import Array, Component, Int, String, Tuple, Uint
from indexer.core.errors import UserMistake

PROJECT = Path(__file__).resolve().parents[2]

#: By contract, the topic of each event; computed apart from this project.
TOPICS: dict[str, dict[str, str]] = json.loads((PROJECT / "tests/data/event_topics.json").read_text("utf-8"))


def entry(name: str, *inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An event in an ABI."""
    return {"type": "event", "name": name, "inputs": list(inputs), **more}


def arg(type_: str, name: str = "", indexed: bool = False, **more: Any) -> dict[str, Any]:
    """An argument in an ABI."""
    return {"name": name, "type": type_, "indexed": indexed, **more}


ERC20 = entry("Transfer", arg("address", "from", True), arg("address", "to", True), arg("uint256", "value"))
ERC721 = entry(
    "Transfer", arg("address", "from", True), arg("address", "to", True), arg("uint256", "tokenId", True)
)


def test_an_event_knows_its_signature_and_topics() -> None:
    (event,) = events_of_abi([ERC20])
    assert event.signature == "Transfer(address,address,uint256)"
    assert event.topic0 is not None
    assert event.topic0.hex() == "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    assert event.topic_count == 3
    assert event.argument_names == ("from", "to", "value")


@pytest.mark.parametrize("contract", TOPICS)
def test_the_events_of_a_known_contract_have_their_known_topics(contract: str) -> None:
    abi = json.loads((PROJECT / "abis" / f"{contract}.json").read_text("utf-8"))
    made = {}
    for event in events_of_abi(abi):
        types = [param.type.canonical() + " indexed" * param.indexed for param in event.params]
        made[f"{event.name}({','.join(types)})"] = event.topic0
    assert made == {event: bytes.fromhex(topic[2:]) for event, topic in TOPICS[contract].items()}


def test_only_events_are_taken_and_their_order_is_kept() -> None:
    abi = [{"type": "constructor"}, entry("B"), {"type": "function", "name": "f"}, entry("A")]
    assert [event.name for event in events_of_abi(abi)] == ["B", "A"]


def test_an_artifact_is_as_good_as_its_abi() -> None:
    assert events_of_abi({"contractName": "Token", "abi": [ERC20]}) == events_of_abi([ERC20])


def test_an_anonymous_event_has_no_topic_of_its_own() -> None:
    (event,) = events_of_abi(
        [entry("Note", arg("bytes4", "sig", True), arg("bytes", "data"), anonymous=True)]
    )
    assert event.topic0 is None
    assert event.topic_count == 1


def test_types_nest_as_the_abi_says() -> None:
    point = [arg("uint8", "x"), arg("int", "y")]
    (event,) = events_of_abi(
        [entry("E", arg("tuple[2][]", "path", components=[*point, arg("string[]", "tags")]))]
    )
    assert event.signature == "E((uint8,int256,string[])[2][])"
    tags = Array(String(), None)
    made = Tuple((Component("x", Uint(8)), Component("y", Int(256)), Component("tags", tags)))
    assert event.params[0].type == Array(Array(made, 2), None)


def test_sizes_follow_the_specification() -> None:
    pair = [arg("uint8", "x"), arg("address", "y")]
    inputs = [
        arg("tuple[3]", components=pair),
        arg("string[2]"),
        arg("uint256[2][3]"),
        arg("bytes"),
        arg("bool"),
    ]
    (event,) = events_of_abi([entry("E", *inputs)])
    assert [param.type.head_size for param in event.params] == [192, 32, 192, 32, 32]
    assert [param.type.is_dynamic for param in event.params] == [False, True, False, True, False]


def test_unnamed_and_repeated_arguments_get_names_of_their_own() -> None:
    inputs = [
        arg("bool"),
        arg("bool", "a"),
        arg("bool", "a"),
        arg("bool"),
        arg("bool", "arg0"),
        arg("bool", "a_2"),
    ]
    (event,) = events_of_abi([entry("E", *inputs)])
    assert event.argument_names == ("arg0", "a", "a_2", "arg3", "arg0_2", "a_2_2")


def test_repeated_declarations_are_one_event() -> None:
    assert len(events_of_abi([ERC20, ERC20, ERC721])) == 2


def test_of_declarations_that_differ_in_names_the_same_one_is_kept_whatever_their_order() -> None:
    unnamed = entry("Transfer", arg("address", "", True), arg("address", "to", True), arg("uint256", "value"))
    other = entry(
        "Transfer", arg("address", "_from", True), arg("address", "_to", True), arg("uint256", "_value")
    )
    one, two = events_of_abi([unnamed, other, ERC20]), events_of_abi([ERC20, other, unnamed])
    assert one == two
    assert one[0].argument_names == ("_from", "_to", "_value")


def test_the_digest_tells_apart_what_shapes_rows_and_nothing_else() -> None:
    def digest(*inputs: dict[str, Any], **more: Any) -> bytes:
        return events_of_abi([entry("E", *inputs, **more)])[0].digest

    pair, riap = [arg("uint8", "x"), arg("uint8", "y")], [arg("uint8", "y"), arg("uint8", "x")]
    different = [
        digest(arg("uint8", "a")),
        digest(arg("uint8", "b")),
        digest(arg("uint16", "a")),
        digest(arg("uint8", "a", True)),
        digest(arg("uint8", "a"), anonymous=True),
        digest(arg("tuple", "a", components=pair)),
        digest(arg("tuple", "a", components=riap)),
        digest(arg("tuple[2]", "a", components=pair)),
    ]
    assert len(set(different)) == len(different)
    assert digest(arg("uint", "a", internalType="Money")) == digest(arg("uint256", "a"))
    # Stored in databases: must stay as it is for ever, or every event is indexed anew.
    assert different[0].hex() == "2336ab92d7ff69ea6f4f8d29bd50c59f18019c4f811f2b20844ee257b3697152"


@pytest.mark.parametrize(
    ("abi", "message"),
    [
        ("[]", "not the text '\\[\\]'"),
        ({"bytecode": "0x"}, "not an object"),
        ([7], "ABI entry 0 is a number"),
        ([{"type": "event"}], "event 0: 'name' must be an identifier, not nothing"),
        ([entry("E"), entry("a b")], "event 1 'a b': 'name' must be an identifier"),
        ([entry("E", anonymous="yes")], "event 0 'E': 'anonymous' must be true or false"),
        ([{"type": "event", "name": "E"}], "event 0 'E', 'inputs' must be a list, not nothing"),
        ([entry("E", arg("bool"), arg("uint7"))], "event 0 'E', input 1: unknown type uint7"),
        ([entry("E", arg("uint264"))], "unknown type uint264"),
        ([entry("E", arg("uint08"))], "unknown type uint08"),
        ([entry("E", arg("bytes33"))], "unknown type bytes33"),
        ([entry("E", arg("fixed128x18"))], "unknown type 'fixed128x18'"),
        ([entry("E", arg("uint8[0]"))], "array length 0"),
        ([entry("E", arg("uint8[999999999]"))], "larger than 16777216 bytes"),
        ([entry("E", arg("uint8[9999][9999]"))], "larger than 16777216 bytes"),
        ([entry("E", arg("bool" + "[]" * 32))], "nested 33 deep"),
        ([entry("E", arg("tuple"))], "input 0: 'components' must be a list, not nothing"),
        ([entry("E", arg("tuple", components=[]))], "a tuple without components"),
        ([entry("E", arg("tuple", components=[arg("no")]))], "input 0, component 0: unknown type no"),
        ([entry("E", arg("bool", "a\0"))], "'name' must be an identifier or empty"),
        ([entry("E", {"name": "a", "type": "bool", "indexed": 1})], "'indexed' must be true or false"),
        ([entry("E", {"name": "a"})], "'type' must be text, not nothing"),
        ([entry("E", "bool")], "input 0: must be an object"),  # type: ignore[arg-type]
        ([entry("E", *[arg("bool", indexed=True)] * 4)], "too many indexed arguments"),
    ],
)
def test_a_mistake_in_an_abi_is_named_with_its_place(abi: object, message: str) -> None:
    with pytest.raises(UserMistake, match=message):
        events_of_abi(abi)


def test_components_nested_without_end_are_a_mistake_and_no_crash() -> None:
    inner = arg("bool")
    for _ in range(300):
        inner = arg("tuple", components=[inner])
    with pytest.raises(UserMistake, match="more than 100 deep"):
        events_of_abi([entry("E", inner)])
