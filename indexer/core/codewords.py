"""Lines of generated Python that check one 32-byte word and make a value of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from indexer.core.abitype import AbiType, Address, Bool, FixedBytes, FunctionPointer, Int, Uint
from indexer.core.ddl import WIDEST_JSON_NUMBER


class Form(Enum):
    """What a generated function makes of an argument."""

    #: A Python value: bytes for addresses and byte strings, int, bool, str, list, tuple.
    VALUE = auto()
    #: What `json.dumps` takes: ``0x`` text for bytes, text for integers that a JSON number may not carry.
    JSON = auto()
    #: Fields of PostgreSQL's binary COPY: expressions, separated by commas, of bytes to be joined.
    FIELD = auto()


@dataclass(frozen=True, slots=True)
class Word:
    """How a word is read."""

    #: Of `struct`, 32 bytes in all.
    format: str
    #: Variables for the parts of the format.
    names: tuple[str, ...]
    #: Lines that check them.
    checks: tuple[str, ...]
    #: An expression (for fields: several).
    result: str


def word_of(type_: AbiType, form: Form, name: str, argument: str) -> Word:
    """How a value of a type that fits one word is read into a variable.

    Args:
        name: of the variable.
        argument: an expression for the argument's name, which a complaint carries.
    """
    match type_:
        case Address():
            return _octets(20, True, form, name, argument)
        case FixedBytes(size=size) | FunctionPointer(size=size):
            return _octets(size, False, form, name, argument)
        case Uint(bits=bits):
            return _unsigned(bits, form, name, argument)
        case Int(bits=bits):
            return _signed(bits, form, name, argument)
        case Bool():
            values = "BOOL_FIELDS" if form is Form.FIELD else "BOOLS"
            checks = (
                f"{name} = {values}.get({name}_word)",
                *_refusal(f"{name} is None", "not_bool", argument),
            )
            return Word("32s", (f"{name}_word",), checks, name)
    raise AssertionError(f"{type_.canonical()} does not fit a word")


def field_length(size: int) -> str:
    """The literal for the length in front of a field."""
    return repr(size.to_bytes(4, "big"))


def _octets(size: int, at_end: bool, form: Form, name: str, argument: str) -> Word:
    result = {
        Form.VALUE: name,
        Form.JSON: f"'0x' + {name}.hex()",
        Form.FIELD: f"{field_length(size)}, {name}",
    }[form]
    return _padded(size, at_end, name, argument, result)


def _unsigned(bits: int, form: Form, name: str, argument: str) -> Word:
    size = bits // 8
    number = f"from_bytes({name})"
    result = {
        Form.VALUE: number,
        Form.JSON: number if bits <= WIDEST_JSON_NUMBER else f"str({number})",
        # The bytes of a narrower number become those of an int8 with zeros in front.
        Form.FIELD: f"{(8).to_bytes(4, 'big') + bytes(8 - size)!r}, {name}"
        if bits < 64
        else f"numeric_field({number})",
    }[form]
    return _padded(size, True, name, argument, result)


def _signed(bits: int, form: Form, name: str, argument: str) -> Word:
    word = f"{name}_word"
    bound = 1 << (bits - 1)
    checks = [f"{name} = from_bytes({word}, 'big', signed=True)"]
    if bits < 256:
        checks += _refusal(f"not -{bound} <= {name} < {bound}", "dirty_padding", argument)
    result = {
        Form.VALUE: name,
        Form.JSON: name if bits <= WIDEST_JSON_NUMBER else f"str({name})",
        # The word is the number with its sign extended, so its end is the int8.
        Form.FIELD: f"{field_length(8)}, {word}[24:]" if bits <= 64 else f"numeric_field({name})",
    }[form]
    return Word("32s", (word,), tuple(checks), result)


def _padded(size: int, at_end: bool, name: str, argument: str, result: str) -> Word:
    """A word whose meaning is its first or last bytes, with zeros elsewhere."""
    unused = 32 - size
    if not unused:
        return Word("32s", (name,), (), result)
    padding = f"{name}_padding"
    checks = _refusal(f"{padding} != b'\\0' * {unused}", "dirty_padding", argument)
    if at_end:
        return Word(f"{unused}s{size}s", (padding, name), checks, result)
    return Word(f"{size}s{unused}s", (name, padding), checks, result)


def _refusal(condition: str, reason: str, argument: str) -> tuple[str, str]:
    return f"if {condition}:", f"    raise Malformed({reason!r}, {argument})"
