"""The committed artifacts of the sample contracts: up to date, and true to the ABIs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from indexer.dev.checkout import CONTRACTS, PROJECT
from indexer.dev.compile import artifact_text, compile_samples, compiler_is_installed
from indexer.dev.samples import SAMPLES, sample

pytestmark = pytest.mark.integration


def shape(event: dict[str, Any]) -> tuple[str, tuple[tuple[str, str, bool], ...]]:
    return event["name"], tuple((one["name"], one["type"], one["indexed"]) for one in event["inputs"])


def events_of(path: Path) -> set[tuple[str, tuple[tuple[str, str, bool], ...]]]:
    document = json.loads(path.read_text("utf-8"))
    entries = document["abi"] if isinstance(document, dict) else document
    return {shape(entry) for entry in entries if entry["type"] == "event"}


def test_compiling_again_gives_the_committed_artifacts() -> None:
    if not compiler_is_installed():
        pytest.skip("Node.js or the npm package solc is missing (run `npm ci`)")
    made = compile_samples()
    assert sorted(made) == sorted(SAMPLES)
    for name, artifact in made.items():
        committed = (CONTRACTS / f"{name}.json").read_text("utf-8")
        assert json.loads(committed)["bytecode"] == artifact["bytecode"], name
        assert committed == artifact_text(artifact), name


@pytest.mark.parametrize("name", ["SkillProfile", "SkillClaim", "Endorsement", "VerifierRegistry"])
def test_a_sample_emits_only_events_of_the_full_abi(name: str) -> None:
    own, full = events_of(CONTRACTS / f"{name}.json"), events_of(PROJECT / "abis" / f"{name}.json")
    assert own <= full
    assert {event for event, _ in full - own} <= {"RoleAdminChanged", "BatchMetadataUpdate"}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_selectors_are_those_of_the_functions(name: str) -> None:
    functions = sample(name).functions
    assert {"refuse", "burnGas", "emitMany"} <= functions.keys()
    for function, (selector, types) in functions.items():
        assert selector == "0x" + keccak(f"{function}({','.join(types)})".encode()).hex()[:8]
