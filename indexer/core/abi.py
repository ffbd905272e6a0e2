"""The events that a contract's ABI declares.

Source: Solidity documentation, "Contract ABI Specification", sections "Events" and "JSON".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from indexer.core.abitype import AbiType, Array, Component, Tuple, parse_type
from indexer.core.errors import UserMistake
from indexer.core.keccak import keccak256

#: Topics of one log. Source: Ethereum Yellow Paper, LOG0 to LOG4.
MOST_TOPICS = 4

#: Arguments of an event. A row has to fit a page of PostgreSQL, where an argument takes up to 24 bytes even
#: when all that is longer is stored apart.
MOST_ARGUMENTS = 300

#: Types in the declaration of an event, all components counted.
MOST_TYPES = 5_000

#: Characters of a name in an ABI.
LONGEST_NAME = 1_000

_SHOWN = 40  # characters of a wrong value in a message

#: Changes when the same ABI would be given other columns or other values than before.
DIGEST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Param:
    """An argument of an event, as the ABI declares it; the name may be empty."""

    name: str
    type: AbiType
    indexed: bool

    @property
    def is_hashed(self) -> bool:
        """Whether a log holds only the keccak-256 of its value, in a topic."""
        return self.indexed and not self.type.is_value


@dataclass(frozen=True, slots=True)
class EventSpec:
    """An event: how its logs are recognised and read. Made by `event_spec`."""

    name: str
    params: tuple[Param, ...]
    anonymous: bool
    #: As it is hashed: ``Transfer(address,address,uint256)``.
    signature: str
    #: keccak-256 of the signature; None: anonymous, no topic says which event it is.
    topic0: bytes | None
    #: Topics that each log of it carries, topic0 included.
    topic_count: int
    #: 32 bytes over everything that shapes the table and the values: names, types, which are indexed.
    digest: bytes

    @property
    def argument_names(self) -> tuple[str, ...]:
        """A name of its own for each argument, as used in JSON.

        The name in the ABI; ``arg0`` (by position) for one without a name; a name that was there before gets
        ``_2``, ``_3`` and so on.
        """
        return _argument_names(tuple(param.name for param in self.params))


@lru_cache(maxsize=1024)
def _argument_names(names: tuple[str, ...]) -> tuple[str, ...]:
    # Each name that is taken leads to the number that was its last one: hundreds may be the same.
    taken: dict[str, int] = {}
    for position, declared in enumerate(names):
        wanted = name = declared or f"arg{position}"
        number = taken.get(wanted, 1)
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken[wanted] = number
        taken.setdefault(name, 1)
    return tuple(name for name in taken)


def event_spec(name: str, params: tuple[Param, ...], anonymous: bool = False) -> EventSpec:
    """The event with everything that follows from its declaration.

    Raises:
        ValueError: more arguments are indexed than a log has topics, or there are too many for a row.
    """
    topic_count = sum(param.indexed for param in params) + (not anonymous)
    if topic_count > MOST_TOPICS:
        raise ValueError(
            f"{topic_count} topics: too many indexed arguments, a log carries {MOST_TOPICS} topics"
        )
    if len(params) > MOST_ARGUMENTS:
        raise ValueError(f"{len(params)} arguments: no row holds more than {MOST_ARGUMENTS}")
    signature = f"{name}({','.join(param.type.canonical() for param in params)})"
    topic0 = None if anonymous else keccak256(signature.encode())
    shape = [DIGEST_VERSION, name, anonymous, [[p.name, _shape(p.type), p.indexed] for p in params]]
    digest = keccak256(json.dumps(shape, separators=(",", ":")).encode())
    return EventSpec(name, params, anonymous, signature, topic0, topic_count, digest)


def _shape(type_: AbiType) -> object:
    """The type with the names of components, which the canonical text leaves out."""
    if isinstance(type_, Tuple):
        return [[component.name, _shape(component.type)] for component in type_.components]
    if isinstance(type_, Array):
        return {"length": type_.length, "item": _shape(type_.item)}
    return type_.canonical()


def events_of_abi(abi: object) -> tuple[EventSpec, ...]:
    """The events of a parsed ABI (a list, or an artifact with one under ``abi``), in its order.

    An event that is declared more than once is there once. Declarations that differ only in the names of
    arguments cannot be told apart in a log: of these, the one with the most names is kept, then the one whose
    names sort first, whatever their order.

    Raises:
        UserMistake: the ABI is not understood; the message names the event and the argument.
    """
    if isinstance(abi, dict) and "abi" in abi:
        abi = abi["abi"]
    if not isinstance(abi, list):
        raise UserMistake(f"an ABI is a list of entries, or an object with one under 'abi', not {_kind(abi)}")
    kept: dict[tuple[object, ...], EventSpec] = {}
    for place, entry in enumerate(abi):
        if not isinstance(entry, dict):
            raise UserMistake(f"ABI entry {place} is {_kind(entry)}, not an object")
        if entry.get("type") == "event":
            event = _event(entry, place)
            key = (event.signature, event.anonymous, tuple(param.indexed for param in event.params))
            kept[key] = min(kept.get(key, event), event, key=_preference)
    return tuple(kept.values())


def _preference(event: EventSpec) -> tuple[int, str]:
    shape = [[param.name, _shape(param.type)] for param in event.params]
    return sum(not param.name for param in event.params), json.dumps(shape)


def _event(entry: dict[str, object], place: int) -> EventSpec:
    name = entry.get("name")
    where = f"event {place}" + (f" {name[:_SHOWN]!r}" if isinstance(name, str) else "")
    if not isinstance(name, str) or not _is_identifier(name):
        raise UserMistake(f"{where}: 'name' must be an identifier, not {_kind(name)}")
    anonymous = entry.get("anonymous", False)
    if not isinstance(anonymous, bool):
        raise UserMistake(f"{where}: 'anonymous' must be true or false, not {_kind(anonymous)}")
    try:
        if (types := _type_count(entry)) > MOST_TYPES:
            raise ValueError(f"{types} types: an event may be made of at most {MOST_TYPES}")  # noqa: TRY301
        params = tuple(
            Param(*_named_type(item, f"input {number}"), indexed=_indexed(item, f"input {number}"))
            for number, item in enumerate(_list(entry.get("inputs"), "'inputs'"))
        )
        return event_spec(name, params, anonymous)
    except ValueError as error:
        raise UserMistake(f"{where}, {error}") from error


def _indexed(item: object, where: str) -> bool:
    indexed = item.get("indexed", False) if isinstance(item, dict) else None
    if not isinstance(indexed, bool):
        raise ValueError(f"{where}: 'indexed' must be true or false, not {_kind(indexed)}")  # noqa: TRY004 - as below
    return indexed


def _named_type(item: object, where: str, depth: int = 1) -> tuple[str, AbiType]:
    if not isinstance(item, dict):
        raise ValueError(f"{where}: must be an object, not {_kind(item)}")  # noqa: TRY004 - as below
    # Deep enough for every type that `parse_type` accepts, and stopped before Python's recursion limit.
    if depth > 100:
        raise ValueError(f"{where[:60]}…: components are nested more than 100 deep")
    name, text = item.get("name", ""), item.get("type")
    if not isinstance(name, str) or (name and not _is_identifier(name)):
        raise ValueError(f"{where}: 'name' must be an identifier or empty, not {_kind(name)}")
    if not isinstance(text, str):
        raise ValueError(f"{where}: 'type' must be text, not {_kind(text)}")  # noqa: TRY004 - as below
    components = None
    if text.startswith("tuple"):
        entries = _list(item.get("components"), f"{where}: 'components'")
        components = tuple(
            Component(*_named_type(entry, f"{where}, component {number}", depth + 1))
            for number, entry in enumerate(entries)
        )
    try:
        return name, parse_type(text, components)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _type_count(entry: dict[str, object]) -> int:
    """How many types the inputs of an event are made of, all components counted; not recursive."""
    count, left = 0, [entry.get("inputs")]
    while left:
        level = left.pop()
        if isinstance(level, list):
            count += len(level)
            left += [each.get("components") for each in level if isinstance(each, dict)]
    return count


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list, not {_kind(value)}")  # noqa: TRY004 - joins the caller's message
    return value


def _is_identifier(name: str) -> bool:
    """Whether a name can stand in a signature and in JSON; languages differ in what else they allow."""
    return (
        0 < len(name) <= LONGEST_NAME
        and name.isprintable()
        and not any(character.isspace() or character in "()," for character in name)
    )


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str):
        more = f"… ({len(value)} characters, the most is {LONGEST_NAME})" if len(value) > LONGEST_NAME else ""
        return f"the text {value[:_SHOWN]!r}{more}"
    return {dict: "an object", list: "a list", bool: "true or false"}.get(type(value), "a number")
