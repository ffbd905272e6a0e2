"""The levels of proof in the configuration: what goes together, and what cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.core.errors import UserMistake
from indexer.settings import Settings, load_settings


def load(directory: Path, chain: str = "", backfill: str = "") -> Settings:
    (directory / "Token.json").write_text("[]")
    path = directory / "indexer.toml"
    path.write_text(f"""
[chain]
rpc = "http://127.0.0.1:8545"
{chain}

[backfill]
{backfill}

[[contracts]]
name = "Token"
address = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
abi = "Token.json"
""")
    return load_settings({}, path)


def test_followed_blocks_are_proved_and_ranges_are_not_unless_it_is_wanted(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.chain.proof, settings.chain.logs_bloom, settings.backfill.proof) == (
        "receipts",
        True,
        "linked",
    )


@pytest.mark.parametrize("proof", ["linked", "bloom", "receipts"])
def test_ranges_can_be_proved_at_every_level(tmp_path: Path, proof: str) -> None:
    assert load(tmp_path, backfill=f'proof = "{proof}"').backfill.proof == proof


@pytest.mark.parametrize(
    ("chain", "backfill", "remedy"),
    [
        ('proof = "linked"', 'proof = "receipts"', 'use "bloom" or "linked"'),
        ("logs_bloom = false", 'proof = "bloom"', 'use "receipts" or "linked"'),
    ],
)
def test_levels_that_cannot_go_together_are_a_mistake_with_its_remedy(
    tmp_path: Path, chain: str, backfill: str, remedy: str
) -> None:
    with pytest.raises(UserMistake, match=r"indexer\.toml: backfill\.proof") as caught:
        load(tmp_path, chain, backfill)
    assert remedy in str(caught.value)


def test_filters_of_a_chain_that_hashes_its_blocks_otherwise_can_be_used(tmp_path: Path) -> None:
    settings = load(tmp_path, 'proof = "linked"', 'proof = "bloom"')
    assert (settings.chain.proof, settings.backfill.proof) == ("linked", "bloom")
