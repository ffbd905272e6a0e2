"""Events of every kind, values for them, and logs that eth-abi makes of these."""

from __future__ import annotations

from random import Random
from typing import Any

from eth_abi.abi import encode
from hypothesis import strategies as st

from indexer.core.abi import MOST_TOPICS, EventSpec, Param, event_spec
from indexer.core.abitype import (
    AbiType,
    Address,
    Array,
    Bool,
    Bytes,
    Component,
    FixedBytes,
    FunctionPointer,
    Int,
    String,
    Tuple,
    Uint,
)
from indexer.core.keccak import keccak256

WIDTHS = range(8, 257, 8)
NAMES = st.sampled_from(
    ["", "a", "b", "from", "tokenId", "_value", "address", "blockNumber", "naïve", "x" * 70]
)

_SIMPLE: st.SearchStrategy[AbiType] = st.one_of(
    st.sampled_from([Uint(256), Address(), String(), Bytes(), Bool(), FixedBytes(32), FunctionPointer()]),
    st.sampled_from([8, 48, 56, 64, 72, 256, *WIDTHS]).map(Uint),
    st.sampled_from([8, 48, 56, 64, 72, 256, *WIDTHS]).map(Int),
    st.integers(1, 32).map(FixedBytes),
)


def _compound(inner: st.SearchStrategy[AbiType]) -> st.SearchStrategy[AbiType]:
    components = st.lists(st.builds(Component, NAMES, inner), min_size=1, max_size=3)
    return st.one_of(
        st.builds(Array, inner, st.none() | st.integers(1, 3)),
        components.map(tuple).map(Tuple),
    )


TYPES = st.recursive(_SIMPLE, _compound, max_leaves=4)


@st.composite
def events(draw: st.DrawFn) -> EventSpec:
    """Any event that a contract may declare."""
    anonymous = draw(st.booleans())
    params = draw(st.lists(st.builds(Param, NAMES, TYPES, st.booleans()), max_size=5))
    spare = MOST_TOPICS - (not anonymous)
    kept = []
    for param in params:
        spare -= param.indexed
        kept.append(Param(param.name, param.type, param.indexed and spare >= 0))
    return event_spec(draw(st.sampled_from(["Transfer", "E", "_"])), tuple(kept), anonymous)


def random_value(type_: AbiType, random: Random) -> Any:
    """A value as eth-abi encodes it; the extreme ones are as likely as all the others."""
    match type_:
        case Uint(bits=bits):
            return _number(random, 0, (1 << bits) - 1)
        case Int(bits=bits):
            return _number(random, -(1 << bits - 1), (1 << bits - 1) - 1)
        case Address():
            return random.choice([bytes(20), b"\xff" * 20, random.randbytes(20)])
        case Bool():
            return random.random() < 0.5
        case FixedBytes(size=size) | FunctionPointer(size=size):
            return random.choice([bytes(size), b"\xff" * size, random.randbytes(size)])
        case Bytes():
            return random.randbytes(random.choice([0, 1, 31, 32, 33, 64, 100]))
        case String():
            size = random.choice([0, 1, 10, 31, 32, 33, 100])
            letters = random.choice(["abc ", "ab\\\"'\t\n\x01\x7f", "aé€😀\ufffd\u2028", "a\0"])
            return "".join(random.choices(letters, k=size))
        case Array(item=item, length=length):
            count = random.choice([0, 1, 2, 3]) if length is None else length
            return [random_value(item, random) for _ in range(count)]
        case Tuple(components=components):
            return tuple(random_value(component.type, random) for component in components)
    raise AssertionError(type_)


def _number(random: Random, least: int, most: int) -> int:
    edges = [least, most, 0, 1, most // 2, 9_999, 10_000, 10**8, 10**18, 2**53, 2**63, 2**64]
    number = random.choice([*edges, random.randint(least, most), random.getrandbits(random.randint(1, 256))])
    return min(max(number, least), most)


def wire_name(type_: AbiType, text_as: str = "string") -> str:
    """The type's name for eth-abi; texts may be called bytes, which are encoded alike and never refused."""
    match type_:
        case FunctionPointer():
            return "bytes24"
        case String():
            return text_as
        case Array(item=item, length=length):
            return f"{wire_name(item, text_as)}[{'' if length is None else length}]"
        case Tuple(components=components):
            return f"({','.join(wire_name(component.type, text_as) for component in components)})"
    return type_.canonical()


def log_of(event: EventSpec, values: list[Any]) -> tuple[list[bytes], bytes]:
    """The topics and data that a contract emits for the values.

    The hash of an indexed argument that does not fit a topic is one of its encoding: which one is of no
    matter here, for nobody can read it back.
    """
    topics = [] if event.topic0 is None else [event.topic0]
    data_types, data_values = [], []
    for param, value in zip(event.params, values, strict=True):
        name = wire_name(param.type)
        if not param.indexed:
            data_types.append(name)
            data_values.append(value)
        else:
            encoded = encode([name], [value])
            topics.append(keccak256(encoded) if param.is_hashed else encoded)
    return topics, encode(data_types, data_values)
