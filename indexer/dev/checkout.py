"""Where the checkout keeps what the development chain is made of."""

from __future__ import annotations

import shutil
from pathlib import Path

#: The folder that holds `indexer/`, `abis/` and `node_modules/`.
PROJECT = Path(__file__).resolve().parents[2]

#: The sample contracts: Solidity, and the JSON compiled from it beside each.
CONTRACTS = Path(__file__).resolve().parent / "contracts"


def abi_path(contract: str) -> Path:
    """The file with the contract's ABI.

    A checkout has the full ABIs; for samples of our own, and in an installed package, the compiled artifact
    has the events that the sample can emit.
    """
    full = PROJECT / "abis" / f"{contract}.json"
    return full if full.exists() else CONTRACTS / f"{contract}.json"


def program(name: str) -> Path | None:
    """The executable of that name on PATH, or None."""
    found = shutil.which(name)
    return Path(found) if found else None
