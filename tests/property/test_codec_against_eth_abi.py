"""The generated codecs agree with eth-abi in verdict and value, for honest logs and for broken ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

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
from indexer.core.malformed import REASONS, Malformed
from indexer.core.schema import columns_of
from tests.property.copy_reader import fields_of, value_of
from tests.property.random_abi import events, log_of, random_value, wire_name

EVENTS = 600
HONEST_LOGS = 50  # per event
BROKEN_LOGS = 40  # per event
LEAST_CASES = 20_000  # different ones, honest and broken ones each

SETTINGS = settings(
    max_examples=EVENTS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    # Each example is many logs, so that shrinking would take minutes; the events are small as they are.
    phases=[Phase.explicit, Phase.generate],
)


def _as_text(octets: bytes) -> str:
    return octets.decode(errors="replace").replace("\0", "\ufffd")


def _ours(type_: AbiType, value: Any) -> object:
    """A value from eth-abi (texts as bytes) the way that our codec gives it."""
    match type_:
        case Address():
            return bytes.fromhex(value[2:])
        case String():
            return _as_text(value)
        case Array(item=item):
            return [_ours(item, each) for each in value]
        case Tuple(components=components):
            return tuple(_ours(part.type, each) for part, each in zip(components, value, strict=True))
    return value


def _as_json(type_: AbiType, value: Any) -> object:
    """A value of ours the way that it stands in JSON."""
    match type_:
        case Uint(bits=bits) | Int(bits=bits):
            return value if bits <= 53 else str(value)
        case Address() | FixedBytes() | FunctionPointer() | Bytes():
            return "0x" + value.hex()
        case Array(item=item):
            return [_as_json(item, each) for each in value]
        case Tuple(components=components):
            parts = [_as_json(part.type, each) for part, each in zip(components, value, strict=True)]
            names = [part.name for part in components]
            named = "" not in names and len(set(names)) == len(names)
            return dict(zip(names, parts, strict=True)) if named else parts
    return value


def _has_bad_text(type_: AbiType, value: Any) -> bool:
    match type_:
        case String():
            return bool(_as_text(value).encode() != value)
        case Array(item=item):
            return any(_has_bad_text(item, each) for each in value)
        case Tuple(components=components):
            return any(_has_bad_text(part.type, each) for part, each in zip(components, value, strict=True))
    return False


def _eth_abi_reads(
    event: EventSpec, topics: Sequence[bytes], data: bytes
) -> tuple[list[object], bool] | None:
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
            values.append(_ours(param.type, raw))
            bad = bad or _has_bad_text(param.type, raw)
    except (DecodingError, OverflowError):
        return None
    return values, bad


def _check_agreement(
    codec: EventCodec, topics: Sequence[bytes], data: bytes, values: list[object], bad: bool
) -> None:
    """All three functions of the codec give these values."""
    event = codec.event
    assert codec.decode(topics, data) == tuple(values)
    as_json = {
        name: "0x" + value.hex()
        if param.is_hashed and isinstance(value, bytes)
        else _as_json(param.type, value)
        for name, param, value in zip(event.argument_names, event.params, values, strict=True)
    }
    assert codec.args(topics, data) == as_json
    octets, lossy = codec.columns(topics, data)
    assert lossy == bad
    columns = columns_of(event)
    stored = [
        value_of(column.pg_type, field) for column, field in zip(columns, fields_of(octets), strict=True)
    ]
    expected = [
        list(as_json.values())[column.param] if column.pg_type == "jsonb" else values[column.param]
        for column in columns
    ]
    assert stored == expected


def test_every_honest_log_is_read_as_eth_abi_reads_it() -> None:
    cases: set[int] = set()

    @SETTINGS
    @given(event=events(), seed=st.integers(0, 2**64))
    def check(event: EventSpec, seed: int) -> None:
        random, codec = Random(seed), EventCodec(event)
        for _ in range(HONEST_LOGS):
            topics, data = log_of(event, [random_value(param.type, random) for param in event.params])
            answer = _eth_abi_reads(event, topics, data)
            assert answer is not None
            _check_agreement(codec, topics, data, *answer)
            cases.add(hash((event.digest, *topics, data)))

    check()
    assert len(cases) >= LEAST_CASES


def _flip_a_bit(octets: bytes, random: Random) -> bytes:
    place = random.randrange(len(octets))
    return octets[:place] + bytes([octets[place] ^ 1 << random.randrange(8)]) + octets[place + 1 :]


def _cut(octets: bytes, random: Random) -> bytes:
    return octets[: random.randrange(len(octets))]


def _drop_a_word(octets: bytes, random: Random) -> bytes:
    place = random.randrange(0, len(octets), 32)
    return octets[:place] + octets[place + 32 :]


def _append(octets: bytes, random: Random) -> bytes:
    return octets + random.randbytes(random.choice([1, 31, 32, 64]))


def _replace_a_word(octets: bytes, random: Random) -> bytes:
    """Put a number in the place of a word: likely ones for an offset or a length, and impossible ones."""
    place = random.randrange(0, len(octets), 32)
    near = [32 * random.randrange(len(octets) // 32 + 2), random.randrange(len(octets) + 33)]
    far = [0, 1, 2, 2**31, 2**63, 2**64, 2**255, 2**256 - 1, 2**256 - 32]
    return octets[:place] + random.choice([*near, *near, *far]).to_bytes(32, "big") + octets[place + 32 :]


def _move_a_word(octets: bytes, random: Random) -> bytes:
    source, goal = (random.randrange(0, len(octets), 32) for _ in range(2))
    return octets[:goal] + octets[source : source + 32] + octets[goal + 32 :]


CHANGES: list[Callable[[bytes, Random], bytes]] = [
    *[_flip_a_bit, _cut, _drop_a_word, _append],
    *[_replace_a_word, _replace_a_word, _move_a_word],
]


def _broken(event: EventSpec, topics: list[bytes], data: bytes, random: Random) -> tuple[list[bytes], bytes]:
    """The log with one to three things changed."""
    arguments = range(not event.anonymous, len(topics))
    for _ in range(random.choice([1, 1, 2, 3])):
        if arguments and (not data or random.random() < 0.2):
            place = random.choice(arguments)
            topics = [*topics[:place], _flip_a_bit(topics[place], random), *topics[place + 1 :]]
        elif data:
            data = random.choice(CHANGES)(data, random)
    return topics, data


def _head_is_miscounted(types: Sequence[AbiType]) -> bool:
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
    return here or any(_head_is_miscounted(inner) for inner in parts + items)


def test_a_broken_log_is_refused_exactly_when_eth_abi_refuses_it() -> None:
    cases: set[int] = set()
    verdicts: Counter[str] = Counter()

    @SETTINGS
    @given(event=events().filter(lambda event: event.params), seed=st.integers(0, 2**64))
    def check(event: EventSpec, seed: int) -> None:
        random, codec = Random(seed), EventCodec(event)
        miscounted = _head_is_miscounted([param.type for param in event.params if not param.indexed])
        for _ in range(BROKEN_LOGS):
            honest = log_of(event, [random_value(param.type, random) for param in event.params])
            topics, data = _broken(event, *honest, random)
            answer = _eth_abi_reads(event, topics, data)
            cases.add(hash((event.digest, *topics, data)))
            try:
                codec.columns(topics, data)
            except Malformed as refusal:
                verdicts[refusal.reason] += 1
                excused = refusal.reason == "offset_out_of_range" and miscounted
                assert answer is None or excused
                for function in (codec.decode, codec.args):
                    _check_refusal(function, topics, data, refusal.reason)
            else:
                verdicts["accepted"] += 1
                assert answer is not None
                _check_agreement(codec, topics, data, *answer)

    check()
    assert len(cases) >= LEAST_CASES
    # The changes reach every kind of refusal that is about data.
    assert set(verdicts) >= REASONS - {"topic_count", "topic_size", "topic0", "amplified", "lossy_text"}
    assert verdicts["accepted"] > LEAST_CASES / 20


def _check_refusal(
    function: Callable[[Sequence[bytes], bytes], object], topics: Sequence[bytes], data: bytes, reason: str
) -> None:
    with pytest.raises(Malformed) as refusal:
        function(topics, data)
    assert refusal.value.reason == reason
