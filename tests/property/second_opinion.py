"""What eth-abi makes of a log, whether our codec agrees with it, and ways to break a log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from indexer.core.abi import EventSpec
from indexer.core.abitype import (
    AbiType,
    Address,
    Array,
    Bytes,
    FixedBytes,
    FunctionPointer,
    Int,
    String,
    Tuple,
    Uint,
)
from indexer.core.codec import EventCodec
from indexer.core.schema import columns_of
from tests.property.copy_reader import fields_of, value_of
from tests.property.random_abi import wire_name


def as_text(octets: bytes) -> str:
    return octets.decode(errors="replace").replace("\0", "\ufffd")


def ours(type_: AbiType, value: Any) -> object:
    """A value from eth-abi (texts as bytes) the way that our codec gives it."""
    match type_:
        case Address():
            return bytes.fromhex(value[2:])
        case String():
            return as_text(value)
        case Array(item=item):
            return [ours(item, each) for each in value]
        case Tuple(components=components):
            return tuple(ours(part.type, each) for part, each in zip(components, value, strict=True))
    return value


def as_json(type_: AbiType, value: Any) -> object:
    """A value of ours the way that it stands in JSON."""
    match type_:
        case Uint(bits=bits) | Int(bits=bits):
            return value if bits <= 53 else str(value)
        case Address() | FixedBytes() | FunctionPointer() | Bytes():
            return "0x" + value.hex()
        case Array(item=item):
            return [as_json(item, each) for each in value]
        case Tuple(components=components):
            parts = [as_json(part.type, each) for part, each in zip(components, value, strict=True)]
            names = [part.name for part in components]
            named = "" not in names and len(set(names)) == len(names)
            return dict(zip(names, parts, strict=True)) if named else parts
    return value


def has_bad_text(type_: AbiType, value: Any) -> bool:
    match type_:
        case String():
            return bool(as_text(value).encode() != value)
        case Array(item=item):
            return any(has_bad_text(item, each) for each in value)
        case Tuple(components=components):
            return any(has_bad_text(part.type, each) for part, each in zip(components, value, strict=True))
    return False


def eth_abi_reads(event: EventSpec, topics: Sequence[bytes], data: bytes) -> tuple[list[object], bool] | None:
    """The values (ours in kind) and whether a text is bad; None: eth-abi refuses the log."""
    in_data = [param.type for param in event.params if not param.indexed]
    try:
        from_data = iter(decode([wire_name(type_, "bytes") for type_ in in_data], data))
        rest = iter(topics if event.anonymous else topics[1:])
        values: list[object] = []
        bad = False
        for param in event.params:
            if param.is_hashed:
                values.append(next(rest))
                continue
            raw = decode([wire_name(param.type)], next(rest))[0] if param.indexed else next(from_data)
            values.append(ours(param.type, raw))
            bad = bad or has_bad_text(param.type, raw)
    except (DecodingError, OverflowError):
        return None
    return values, bad


def check_agreement(
    codec: EventCodec, topics: Sequence[bytes], data: bytes, values: list[object], bad: bool
) -> None:
    """All three functions of the codec give these values."""
    event = codec.event
    assert codec.decode(topics, data) == tuple(values)
    in_json = {
        name: "0x" + value.hex()
        if param.is_hashed and isinstance(value, bytes)
        else as_json(param.type, value)
        for name, param, value in zip(event.argument_names, event.params, values, strict=True)
    }
    assert codec.args(topics, data) == in_json
    octets, lossy = codec.columns(topics, data)
    assert lossy == bad
    columns = columns_of(event)
    stored = [
        value_of(column.pg_type, field) for column, field in zip(columns, fields_of(octets), strict=True)
    ]
    expected = [
        list(in_json.values())[column.param] if column.pg_type == "jsonb" else values[column.param]
        for column in columns
    ]
    assert stored == expected


def flip_a_bit(octets: bytes, random: Random) -> bytes:
    place = random.randrange(len(octets))
    return octets[:place] + bytes([octets[place] ^ 1 << random.randrange(8)]) + octets[place + 1 :]


def cut(octets: bytes, random: Random) -> bytes:
    return octets[: random.randrange(len(octets))]


def drop_a_word(octets: bytes, random: Random) -> bytes:
    place = random.randrange(0, len(octets), 32)
    return octets[:place] + octets[place + 32 :]


def append(octets: bytes, random: Random) -> bytes:
    return octets + random.randbytes(random.choice([1, 31, 32, 64]))


def replace_a_word(octets: bytes, random: Random) -> bytes:
    """Put a number in the place of a word: likely ones for an offset or a length, and impossible ones."""
    place = random.randrange(0, len(octets), 32)
    near = [32 * random.randrange(len(octets) // 32 + 2), random.randrange(len(octets) + 33)]
    far = [0, 1, 2, 2**31, 2**63, 2**64, 2**255, 2**256 - 1, 2**256 - 32]
    return octets[:place] + random.choice([*near, *near, *far]).to_bytes(32, "big") + octets[place + 32 :]


def move_a_word(octets: bytes, random: Random) -> bytes:
    source, goal = (random.randrange(0, len(octets), 32) for _ in range(2))
    return octets[:goal] + octets[source : source + 32] + octets[goal + 32 :]


CHANGES: list[Callable[[bytes, Random], bytes]] = [
    *[flip_a_bit, cut, drop_a_word, append],
    *[replace_a_word, replace_a_word, move_a_word],
]


def broken(event: EventSpec, topics: list[bytes], data: bytes, random: Random) -> tuple[list[bytes], bytes]:
    """The log with one to three things changed."""
    arguments = range(not event.anonymous, len(topics))
    for _ in range(random.choice([1, 1, 2, 3])):
        if arguments and (not data or random.random() < 0.2):
            place = random.choice(arguments)
            topics = [*topics[:place], flip_a_bit(topics[place], random), *topics[place + 1 :]]
        elif data:
            data = random.choice(CHANGES)(data, random)
    return topics, data


def head_is_miscounted(types: Sequence[AbiType]) -> bool:
    """Whether eth-abi takes a head for shorter than it is, and so accepts offsets that point into it.

    It counts a fixed tuple, and each item of the outermost fixed array, as one word, whatever their sizes.
    """
    here = any(type_.is_dynamic for type_ in types) and any(
        isinstance(type_, Tuple) or (isinstance(type_, Array) and not type_.item.is_value)
        for type_ in types
        if not type_.is_dynamic
    )
    parts = [[part.type for part in type_.components] for type_ in types if isinstance(type_, Tuple)]
    items = [[type_.item] for type_ in types if isinstance(type_, Array)]
    return here or any(head_is_miscounted(inner) for inner in parts + items)
