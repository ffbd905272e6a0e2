"""The ABIs that come with the project: which events they have, and their topics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from indexer.core.abi import events_of_abi
from indexer.core.schema import tables_of_contract

PROJECT = Path(__file__).resolve().parents[2]
ABIS = sorted((PROJECT / "abis").glob("*.json"))

#: By contract, the topic of each of its events; the events written as `Transfer(address indexed,uint256)`.
TOPICS: dict[str, dict[str, str]] = json.loads((PROJECT / "tests/data/event_topics.json").read_text("utf-8"))


def described(event: dict[str, Any]) -> str:
    """The event as the keys of TOPICS write it."""
    inputs = (one["type"] + (" indexed" if one["indexed"] else "") for one in event["inputs"])
    return f"{event['name']}({','.join(inputs)})"


def topic(event: dict[str, Any]) -> str:
    signature = f"{event['name']}({','.join(one['type'] for one in event['inputs'])})"
    return "0x" + keccak(signature.encode()).hex()


def test_every_contract_has_an_abi() -> None:
    assert [path.stem for path in ABIS] == sorted(TOPICS)
    assert len(ABIS) == 17


@pytest.mark.parametrize("path", ABIS, ids=lambda path: path.stem)
def test_an_abi_has_exactly_the_known_events_with_their_topics(path: Path) -> None:
    events = json.loads(path.read_text("utf-8"))
    assert {entry["type"] for entry in events} == {"event"}
    assert {described(event): topic(event) for event in events} == TOPICS[path.stem]
    assert len(events) == len(TOPICS[path.stem])
    assert not any(event["anonymous"] for event in events)
    assert all(one["name"] for event in events for one in event["inputs"])


@pytest.mark.parametrize("path", ABIS, ids=lambda path: path.stem)
def test_the_indexer_reads_the_abi_and_gives_each_event_a_table(path: Path) -> None:
    events = events_of_abi(json.loads(path.read_bytes()))
    assert {"0x" + (event.topic0 or b"").hex() for event in events} == set(TOPICS[path.stem].values())
    tables = tables_of_contract(path.stem, events)
    assert len({(table.schema, table.name) for table in tables}) == len(TOPICS[path.stem])


def test_both_versions_of_profile_created_are_told_apart_by_their_topics() -> None:
    versions = {
        key: value for key, value in TOPICS["SkillProfile"].items() if key.startswith("ProfileCreated(")
    }
    assert len(versions) == 2
    assert len(set(versions.values())) == 2


def test_the_two_kinds_of_transfer_share_a_topic_and_differ_in_the_number_of_topics() -> None:
    erc721 = "Transfer(address indexed,address indexed,uint256 indexed)"
    erc20 = "Transfer(address indexed,address indexed,uint256)"
    assert TOPICS["SkillProfile"][erc721] == TOPICS["AureusToken"][erc20]
