"""The types of the Solidity ABI as values.

Source: Solidity documentation, "Contract ABI Specification".
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

WORD = 32  # bytes

#: Types nested deeper are refused: no compiler makes them, and the readers of them call each other.
DEEPEST_NESTING = 32

#: Bytes in the head of one value. No log is as large; a longer fixed array is a mistake or an attack.
LARGEST_HEAD = 1 << 24

#: Characters of the text of a type: a name, and brackets for each dimension.
LONGEST_TYPE = 400


class AbiType(ABC):
    """A type of the ABI: compared by value, usable as a key."""

    __slots__ = ()

    @abstractmethod
    def canonical(self) -> str:
        """The type as it stands in a signature: ``uint256``, ``(address,string)[3]``."""

    @property
    def is_dynamic(self) -> bool:
        """Whether its value stands in the tail of the encoding, with an offset in the head."""
        return False

    @property
    def is_value(self) -> bool:
        """Whether it fits a topic; an indexed argument of any other type is only there as its hash."""
        return True

    @property
    def head_size(self) -> int:
        """Bytes it takes in the head of the tuple that holds it."""
        return WORD

    @property
    def depth(self) -> int:
        """How many types are nested in each other, itself included."""
        return 1


@dataclass(frozen=True, slots=True)
class Uint(AbiType):
    bits: int

    def canonical(self) -> str:
        return f"uint{self.bits}"


@dataclass(frozen=True, slots=True)
class Int(AbiType):
    bits: int

    def canonical(self) -> str:
        return f"int{self.bits}"


@dataclass(frozen=True, slots=True)
class Address(AbiType):
    def canonical(self) -> str:
        return "address"


@dataclass(frozen=True, slots=True)
class Bool(AbiType):
    def canonical(self) -> str:
        return "bool"


@dataclass(frozen=True, slots=True)
class FixedBytes(AbiType):
    size: int

    def canonical(self) -> str:
        return f"bytes{self.size}"


@dataclass(frozen=True, slots=True)
class FunctionPointer(AbiType):
    """An address and a selector, encoded as ``bytes24``."""

    size: int = 24

    def canonical(self) -> str:
        return "function"


@dataclass(frozen=True, slots=True)
class Bytes(AbiType):
    def canonical(self) -> str:
        return "bytes"

    @property
    def is_dynamic(self) -> bool:
        return True

    @property
    def is_value(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class String(AbiType):
    def canonical(self) -> str:
        return "string"

    @property
    def is_dynamic(self) -> bool:
        return True

    @property
    def is_value(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Array(AbiType):
    item: AbiType
    #: None: its length is part of the value.
    length: int | None

    def canonical(self) -> str:
        return f"{self.item.canonical()}[{'' if self.length is None else self.length}]"

    @property
    def is_dynamic(self) -> bool:
        return self.length is None or self.item.is_dynamic

    @property
    def is_value(self) -> bool:
        return False

    @property
    def items_size(self) -> int:
        """Bytes that the heads of all items take; of one item where the length is part of the value."""
        return self.item.head_size * (1 if self.length is None else self.length)

    @property
    def head_size(self) -> int:
        return WORD if self.is_dynamic else self.items_size

    @property
    def depth(self) -> int:
        return 1 + self.item.depth


@dataclass(frozen=True, slots=True)
class Component:
    name: str
    type: AbiType


@dataclass(frozen=True, slots=True)
class Tuple(AbiType):
    """A struct: components in order, named or not. Source: Solidity ABI specification, "Types"."""

    components: tuple[Component, ...]

    def canonical(self) -> str:
        return f"({','.join(component.type.canonical() for component in self.components)})"

    @property
    def is_dynamic(self) -> bool:
        return any(component.type.is_dynamic for component in self.components)

    @property
    def is_value(self) -> bool:
        return False

    @property
    def components_size(self) -> int:
        """Bytes that the heads of all components take."""
        return sum(component.type.head_size for component in self.components)

    @property
    def head_size(self) -> int:
        return WORD if self.is_dynamic else self.components_size

    @property
    def depth(self) -> int:
        return 1 + max(component.type.depth for component in self.components)

    @property
    def keys(self) -> tuple[str, ...] | None:
        """The components' names where each has its own, else None: the value is then a list in JSON."""
        names = tuple(component.name for component in self.components)
        return names if all(names) and len(set(names)) == len(names) else None


_TYPE = re.compile(r"([a-z]+)([0-9]*)((?:\[[0-9]*\])*)")
_BRACKETS = re.compile(r"\[([0-9]*)\]")
_PLAIN: dict[str, AbiType] = {
    "address": Address(),
    "bool": Bool(),
    "bytes": Bytes(),
    "string": String(),
    "function": FunctionPointer(),
    # Names that a person may write for a canonical type; compilers write the canonical one.
    "uint": Uint(256),
    "int": Int(256),
    "byte": FixedBytes(1),
}


def parse_type(text: str, components: tuple[Component, ...] | None = None) -> AbiType:
    """The type that the ``type`` of an ABI entry names; components belong to the types made of ``tuple``.

    Raises:
        ValueError: there is no such type, or it is too large or nested too deeply.
    """
    match = _TYPE.fullmatch(text) if len(text) <= LONGEST_TYPE else None
    if match is None:
        raise ValueError(f"unknown type {text[:40]!r}")
    base, digits, brackets = match.groups()
    made = _element(base, digits, components)
    for length in _BRACKETS.findall(brackets):
        if length and (length.startswith("0") or len(length) > 9):
            raise ValueError(
                f"array length {length} in {text!r} is not from 1 to 999999999 without leading zeros"
            )
        made = Array(made, int(length) if length else None)
    if made.depth > DEEPEST_NESTING:
        raise ValueError(f"types are nested {made.depth} deep, the most is {DEEPEST_NESTING}")
    if any(size > LARGEST_HEAD for size in _sizes(made)):
        raise ValueError(f"a value of {text!r} is larger than {LARGEST_HEAD} bytes, which no log can hold")
    return made


def _element(base: str, digits: str, components: tuple[Component, ...] | None) -> AbiType:
    name = base + digits
    if name == "tuple":
        if not components:
            raise ValueError("a tuple without components")
        return Tuple(components)
    if name in _PLAIN:
        return _PLAIN[name]
    number = int(digits) if digits and not digits.startswith("0") and len(digits) < 4 else 0
    if base in ("uint", "int") and number % 8 == 0 and 8 <= number <= 256:
        return Uint(number) if base == "uint" else Int(number)
    if base == "bytes" and 1 <= number <= 32:
        return FixedBytes(number)
    raise ValueError(f"unknown type {name}")


def _sizes(made: AbiType) -> Iterator[int]:
    if isinstance(made, Array):
        yield made.items_size
        yield from _sizes(made.item)
    elif isinstance(made, Tuple):
        yield made.components_size
