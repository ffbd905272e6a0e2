"""The sample contracts as compiled, and the calls that can be made to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from eth_abi.abi import encode

from indexer.dev.checkout import CONTRACTS

#: In the order in which they are deployed.
SAMPLES = ("SkillProfile", "SkillClaim", "Endorsement", "VerifierRegistry", "Token", "Oddities")

#: A transaction as `eth_sendTransaction` takes it: hex text by field name.
TransactionRequest = dict[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One compiled contract."""

    name: str
    abi: tuple[Mapping[str, Any], ...]
    bytecode: str  # 0x hex; no sample takes constructor arguments
    #: Selector (0x hex) and parameter types of each function by its name; samples overload no function.
    functions: Mapping[str, tuple[str, tuple[str, ...]]]

    def call_data(self, function: str, *arguments: object) -> str:
        """The input of a transaction that calls the function, as 0x hex.

        Raises:
            KeyError: the contract has no such function.
            eth_abi.exceptions.EncodingError: the arguments do not fit its parameters.
        """
        selector, types = self.functions[function]
        return selector + encode(types, arguments).hex()


@cache
def sample(name: str) -> Sample:
    """The committed artifact of the sample of that name."""
    artifact = msgspec.json.decode((CONTRACTS / f"{name}.json").read_bytes())
    functions: dict[str, tuple[str, tuple[str, ...]]] = {}
    for signature, selector in artifact["selectors"].items():
        function, _, rest = signature.partition("(")
        types = tuple(rest.removesuffix(")").split(",")) if rest != ")" else ()
        functions[function] = (selector, types)
    return Sample(name, tuple(artifact["abi"]), artifact["bytecode"], functions)
