"""One table of a TOML file, read key by key; every mistake is collected with its place and its remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

Choice = TypeVar("Choice", bound=str)

#: How much of a wrong value is shown.
_SHOWN = 60
#: How many mistakes are shown: a file of another kind is all mistakes.
_MOST_SHOWN = 50
#: Bits of the largest number that is shown; Python refuses to write out much larger ones.
_SHOWN_BITS = 256


class Mistakes:
    """What is wrong with the configuration, in the order in which it was found."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, place: str, problem: str) -> None:
        self._lines.append(f"{place}: {problem}")

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __str__(self) -> str:
        count = len(self._lines)
        head = "a mistake in the configuration" if count == 1 else f"{count} mistakes in the configuration"
        shown = self._lines[:_MOST_SHOWN]
        more = [f"… and {count - len(shown)} more"] if len(shown) < count else []
        return "\n  ".join([f"{head}:", *shown, *more])


class TomlTable:
    """The keys of a table; whoever has read all keys it knows calls `done`, which reports the others.

    Each reader gives the default for a missing key, and also for a wrong one, after having noted the
    mistake: so one run finds all of them.
    """

    def __init__(self, values: Mapping[str, object], place: str, mistakes: Mistakes, *, root: str) -> None:
        self._values = values
        self._place = place
        self._root = root
        self.mistakes = mistakes
        self._known: set[str] = set()

    def place(self, key: str) -> str:
        """Where a key stands, as `indexer.toml: chain.id`."""
        key = bare(key)
        return f"{self._root}: {self._place}.{key}" if self._place else f"{self._root}: {key}"

    def wrong(self, key: str, problem: str) -> None:
        self.mistakes.add(self.place(key), problem)

    def has(self, key: str) -> bool:
        self._known.add(key)
        return key in self._values

    def raw(self, key: str) -> object:
        """The value as TOML gives it, None where the key is missing."""
        self._known.add(key)
        return self._values.get(key)

    def integer(self, key: str, default: int, least: int, most: int = 2**63 - 1) -> int:
        found = self.optional_integer(key, least, most)
        return default if found is None else found

    def optional_integer(self, key: str, least: int, most: int = 2**63 - 1) -> int | None:
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            limits = f"from {least}" + ("" if most == 2**63 - 1 else f" to {most}")
            self.wrong(key, f"must be a whole number {limits}, not {shown(value)}")
            return None
        return value

    def seconds(self, key: str, default: float, least: float = 0.001) -> float:
        found = self.number(key, least)
        return default if found is None else found

    def number(self, key: str, least: float, most: float = 1e9) -> float | None:
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            self.wrong(key, f"must be a number from {least:g} to {most:g}, not {shown(value)}")
            return None
        return float(value)

    def boolean(self, key: str, default: bool) -> bool:
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(key, f"must be true or false, not {shown(value)}")
            return default
        return value

    def text(self, key: str) -> str | None:
        """The text, None where it is missing, empty or not a text; the last two are mistakes."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            self.wrong(key, f"must be a text that is not empty, not {shown(value)}")
            return None
        return value.strip()

    def secret(self, key: str) -> str | None:
        """Like `text`, for a value that no message may show."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            self.wrong(key, f"must be a text that is not empty, not {kind(value)}")
            return None
        return value.strip()

    def choice(self, key: str, default: Choice, choices: Sequence[Choice]) -> Choice:
        value = self.raw(key)
        if value is None:
            return default
        for each in choices:
            if value == each:
                return each
        self.wrong(key, f"must be {alternatives(choices)}, not {shown(value)}{did_you_mean(value, choices)}")
        return default

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts, or one alone; None where it is missing or wrong."""
        value = self.raw(key)
        if value is None:
            return None
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(item, str) and item.strip() for item in items):
            self.wrong(key, f"must be a text or a list of texts, not {shown(value)}")
            return None
        return tuple(str(item).strip() for item in items)

    def table(self, key: str) -> TomlTable:
        """The table under a key, an empty one where it is missing or not a table."""
        value = self.raw(key)
        if value is not None and not isinstance(value, dict):
            self.wrong(key, f"must be a table, written [{key}], not {kind(value)}")
        return self.inner(key, value if isinstance(value, dict) else {})

    def tables(self, key: str) -> list[TomlTable]:
        """The tables under a key, counted from 1 in their places."""
        value = self.raw(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.wrong(key, f"must be tables, each written [[{key}]], not {kind(value)}")
            return []
        return [self.inner(f"{key}[{number}]", item) for number, item in enumerate(value, 1)]

    def inner(self, key: str, values: Mapping[str, object]) -> TomlTable:
        """A table below this one, whose place is told by the given words."""
        place = f"{self._place}.{key}" if self._place else key
        return TomlTable(values, place, self.mistakes, root=self._root)

    def done(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._values:
            if key not in self._known:
                hint = did_you_mean(key, self._known) or f"; known are {', '.join(sorted(self._known))}"
                self.wrong(key, f"is not a known setting{hint}")


def shown(value: object) -> str:
    """A wrong value as the message shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, str):
        # Before it is quoted, which makes a character into as many as ten.
        value = value[: _SHOWN + 1]
    return cut(repr(value) if isinstance(value, str | int | float) else kind(value))


def bare(text: str) -> str:
    """The text as it is where it is short and plain, else quoted and cut."""
    return text if len(text) <= _SHOWN and text.isprintable() else shown(text)


def cut(text: str) -> str:
    """The text, or its beginning where it is long."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def kind(value: object) -> str:
    """What sort of value it is, in TOML's words."""
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


def alternatives(choices: Sequence[str]) -> str:
    quoted = [f'"{choice}"' for choice in choices]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]


def did_you_mean(value: object, known: Iterable[str]) -> str:
    """`; did you mean …?` where something known is spelled much like it, else nothing."""
    if not isinstance(value, str) or len(value) > _SHOWN:
        return ""
    close = difflib.get_close_matches(value, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
