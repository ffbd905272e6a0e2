"""Compiles the sample contracts; ``python -m indexer.dev.compile`` renews the committed artifacts.

The artifacts are committed so that running the samples needs no compiler. The compiler's metadata hash is
left out of the bytecode: a changed comment changes no artifact.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from indexer.core.errors import Fatal, UserMistake
from indexer.dev.checkout import CONTRACTS, PROJECT, program

#: One contract as committed: `abi`, `bytecode` (0x hex of the deployment code), `selectors` by signature.
Artifact = dict[str, Any]

COMPILE_SECONDS = 300.0


def compiler_is_installed() -> bool:
    """Whether node and the npm package solc are there."""
    return program("node") is not None and (PROJECT / "node_modules" / "solc").is_dir()


def compile_samples() -> dict[str, Artifact]:
    """Every sample that can be deployed, by name.

    Raises:
        UserMistake: the compiler is not installed.
        Fatal: the compiler did not accept a source; its messages are in the error's.
    """
    node = program("node")
    if node is None or not compiler_is_installed():
        raise UserMistake(
            "the Solidity compiler is missing: install Node.js, then run `npm ci` in the checkout"
        )
    sources = {path.name: {"content": path.read_text("utf-8")} for path in sorted(CONTRACTS.glob("*.sol"))}
    finished = subprocess.run(
        [node, CONTRACTS / "compile.js"],
        input=json.dumps(_request(sources)),
        capture_output=True,
        text=True,
        timeout=COMPILE_SECONDS,
        check=False,
    )
    if finished.returncode != 0:
        raise Fatal(f"the Solidity compiler ended with {finished.returncode}: {finished.stderr.strip()}")
    return _artifacts(json.loads(finished.stdout))


def _request(sources: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {
        "language": "Solidity",
        "sources": sources,
        "settings": {
            "evmVersion": "cancun",
            "optimizer": {"enabled": True, "runs": 200},
            "metadata": {"bytecodeHash": "none"},
            "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.methodIdentifiers"]}},
        },
    }


def _artifacts(answer: dict[str, Any]) -> dict[str, Artifact]:
    """The deployable contracts of solc's answer; any warning is an error."""
    complaints = [error["formattedMessage"] for error in answer.get("errors", [])]
    if complaints:
        raise Fatal("the Solidity compiler complains:\n" + "\n".join(complaints))
    return {
        name: {
            "abi": made["abi"],
            "bytecode": "0x" + made["evm"]["bytecode"]["object"],
            "selectors": {
                signature: "0x" + hexed for signature, hexed in made["evm"]["methodIdentifiers"].items()
            },
        }
        for contracts in answer["contracts"].values()
        for name, made in contracts.items()
        if made["evm"]["bytecode"]["object"]
    }


def artifact_text(artifact: Artifact) -> str:
    """The artifact as it is committed: one line for each entry of the ABI."""
    entries = ",\n".join("    " + json.dumps(entry) for entry in artifact["abi"])
    selectors = json.dumps(artifact["selectors"], indent=2).replace("\n", "\n  ")
    code = json.dumps(artifact["bytecode"])
    return f'{{\n  "abi": [\n{entries}\n  ],\n  "selectors": {selectors},\n  "bytecode": {code}\n}}\n'


def main() -> None:
    """Write the artifacts beside their sources."""
    for name, artifact in compile_samples().items():
        (CONTRACTS / f"{name}.json").write_text(artifact_text(artifact), "utf-8")


if __name__ == "__main__":
    main()
