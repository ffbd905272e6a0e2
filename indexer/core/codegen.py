"""Python source that reads the logs of one event.

The source is a module with three functions, `decode`, `args` and `columns`, and a reader for each type that
holds others. Straight lines with the positions and checks worked out beforehand are several times as quick as
walking the types for each log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from indexer.core.abi import EventSpec, Param
from indexer.core.abireading import AMPLIFICATION
from indexer.core.abitype import WORD, AbiType, Array, Bytes, FixedBytes, String, Tuple
from indexer.core.codewords import Form, word_of

_IMPORTS = """\
from struct import Struct

from indexer.core.abireading import BOOL_FIELDS, BOOLS, Reading, byte_string, json_column, target, text_of
from indexer.core.malformed import Malformed
from indexer.core.pgbinary import bytea_field, numeric_field, storable_octets

from_bytes = int.from_bytes
join = b"".join
"""

_Lines = list[str]


def source_of(event: EventSpec) -> str:
    """The module's source."""
    writer = _Writer()
    functions = [
        _function(writer, event, "decode", Form.VALUE),
        _function(writer, event, "args", Form.JSON),
        _function(writer, event, "columns", Form.FIELD),
    ]
    structs = [f'{name} = Struct(">{format_}")' for format_, name in writer.structs.items()]
    head = f"# {event.signature!a}\n{_IMPORTS}TOPIC0 = {event.topic0!r}\n" + "\n".join(structs)
    blocks = ["\n".join(lines) for lines in [*writer.readers, *functions]]
    return "\n\n\n".join([head, *blocks]) + "\n"


def _function(writer: _Writer, event: EventSpec, name: str, form: Form) -> _Lines:
    """The lines of one of the three functions."""
    results: dict[int, str] = {}
    body = _topics(writer, event, form, results)
    in_data = [(number, param) for number, param in enumerate(event.params) if not param.indexed]
    slots = [(f"a{number}", param.type, repr(_argument(event, number))) for number, param in in_data]
    if slots:
        size = sum(type_.head_size for _, type_, _ in slots)
        body += [f"if len(data) < {size}:", "    raise Malformed('data_too_short')"]
        writer.counts_all = sum(isinstance(type_, String | Bytes) for _, type_, _ in slots) > AMPLIFICATION
        if writer.counts_all or any(_holds_others(type_) for _, type_, _ in slots):
            body.append("reading = Reading(data)")
        unpack, values = writer.head(slots, form, "data", None, size)
        body += unpack
        results |= {number: value for (number, _), value in zip(in_data, values, strict=True)}
    ordered = [results[number] for number in range(len(event.params))]
    body.append(f"return {_returned(event, form, ordered)}")
    return [f"def {name}(topics, data):", *_indented(body)]


def _topics(writer: _Writer, event: EventSpec, form: Form, results: dict[int, str]) -> _Lines:
    """Lines that read the indexed arguments; their results are added by position."""
    lines = [f"if len(topics) != {event.topic_count}:", "    raise Malformed('topic_count')"]
    if not event.topic_count:
        return lines
    lines += ["words = join(topics)", f"if len(words) != {WORD * event.topic_count}:"]
    lines.append("    raise Malformed('topic_size')")
    formats, names, checks = [], [], []
    if not event.anonymous:
        formats, names = ["32s"], ["topic0"]
        checks = ["if topic0 != TOPIC0:", "    raise Malformed('topic0')"]
    for number, param in enumerate(event.params):
        if param.indexed:
            word = word_of(_in_topic(param), form, f"a{number}", repr(_argument(event, number)))
            formats.append(word.format)
            names += word.names
            checks += word.checks
            results[number] = word.result
    return [*lines, f"{_unpacked(names)} = {writer.struct(formats)}.unpack(words)", *checks]


def _returned(event: EventSpec, form: Form, results: Sequence[str]) -> str:
    if form is Form.VALUE:
        return _tuple(results)
    if form is Form.JSON:
        return _dict(event.argument_names, results)
    texts = [
        f"a{number}_text is not a{number}"
        for number, param in enumerate(event.params)
        if isinstance(param.type, String) and not param.indexed
    ]
    if any(_holds_text(param.type) for param in event.params if not param.indexed):
        texts.append("reading.lossy")
    return f"join({_tuple(results)}), {' or '.join(texts) or 'False'}"


class _Writer:
    """Collects what the functions share: the struct formats, and a reader for each type that holds others."""

    def __init__(self) -> None:
        self.structs: dict[str, str] = {}
        self.readers: list[_Lines] = []
        self._names: dict[tuple[AbiType, Form], str] = {}
        #: Whether there are so many byte strings side by side that they could share too much of the data.
        self.counts_all = False

    def struct(self, formats: Iterable[str]) -> str:
        """The name of the Struct that has these formats one after another."""
        return self.structs.setdefault("".join(formats), f"S{len(self.structs)}")

    def head(
        self, slots: Sequence[tuple[str, AbiType, str]], form: Form, data: str, at: str | None, size: int
    ) -> tuple[_Lines, list[str]]:
        """Lines that read the values whose heads stand one after another, and an expression for each.

        Args:
            slots: for each value the variable, the type, and an expression for the argument's name.
            at: an expression for the position of the first; None: the data begins with it.
            size: bytes of all heads.
        """
        formats: list[str] = []
        names: list[str] = []
        lines: _Lines = []
        values: list[str] = []
        place = 0
        for name, type_, argument in slots:
            if type_.is_value:
                word = word_of(type_, form, name, argument)
                formats.append(word.format)
                names += word.names
                lines += word.checks
                values.append(word.result)
            else:
                if type_.is_dynamic:
                    formats.append("32s")
                    names.append(f"{name}_offset")
                    offset = f"from_bytes({name}_offset)"
                    position = f"target({data}, {at or 0}, {size}, {offset}, {argument})"
                else:
                    formats.append(f"{type_.head_size}x")
                    position = f"{at} + {place}" if at else f"{place}"
                more, value = self._compound(name, type_, form, position, argument, nested=at is not None)
                lines += more
                values.append(value)
            place += type_.head_size
        if names:
            start = f", {at}" if at else ""
            lines.insert(0, f"{_unpacked(names)} = {self.struct(formats)}.unpack_from({data}{start})")
        return lines, values

    def _compound(
        self, name: str, type_: AbiType, form: Form, position: str, argument: str, *, nested: bool
    ) -> tuple[_Lines, str]:
        """Lines that put a value that does not fit a word into a variable, and its expression."""
        if nested:
            return [f"{name} = {self._read(type_, form, position, argument)}"], name
        if not isinstance(type_, String | Bytes):
            lines = [f"{name} = {self._read(type_, form, position, argument)}"]
            return lines, f"json_column({name}, {argument})" if form is Form.FIELD else name
        read = "reading.byte_string(" if self.counts_all else "byte_string(data, "
        lines = [f"{name} = {read}{position}, {argument})"]
        if isinstance(type_, Bytes):
            return lines, {Form.VALUE: name, Form.JSON: f"'0x' + {name}.hex()"}.get(
                form, f"bytea_field({name})"
            )
        if form is not Form.FIELD:
            return lines, f"text_of({name})"
        return [*lines, f"{name}_text = storable_octets({name})"], f"bytea_field({name}_text)"

    def _read(self, type_: AbiType, form: Form, position: str, argument: str) -> str:
        """An expression that reads a value at a position, in a place where `reading` is known."""
        if isinstance(type_, String):
            return f"reading.text({position}, {argument})"
        if isinstance(type_, Bytes):
            octets = f"reading.byte_string({position}, {argument})"
            return f"'0x' + {octets}.hex()" if form is Form.JSON else octets
        return f"{self._reader(type_, form)}(reading, {position}, {argument})"

    def _reader(self, type_: AbiType, form: Form) -> str:
        """The name of the function that reads an array or a tuple."""
        # Within a jsonb column values are as in JSON.
        form = Form.JSON if form is Form.FIELD else form
        if (type_, form) not in self._names:
            if isinstance(type_, Array):
                body = self._array(type_, form)
            else:
                assert isinstance(type_, Tuple)
                body = self._tuple(type_, form)
            name = f"read_{form.name.lower()}_{len(self._names)}"
            self._names[type_, form] = name
            head = f"def {name}(reading, at, argument):"
            self.readers.append([head, f"    # {type_.canonical()}", *_indented(body)])
        return self._names[type_, form]

    def _tuple(self, type_: Tuple, form: Form) -> _Lines:
        size = type_.components_size
        lines = [f"reading.head(at, {size}, argument)"] if type_.is_dynamic else []
        slots = [(f"c{i}", component.type, "argument") for i, component in enumerate(type_.components)]
        unpack, values = self.head(slots, form, "reading.data", "at", size)
        if form is Form.VALUE:
            made = _tuple(values)
        else:
            made = _dict(type_.keys, values) if type_.keys else f"[{', '.join(values)}]"
        return [*lines, *unpack, f"return {made}"]

    def _array(self, type_: Array, form: Form) -> _Lines:
        item = type_.item
        if type_.length is None:
            lines = [f"count = reading.item_count(at, {item.head_size}, argument)", "at += 32"]
        else:
            lines = [f"reading.head(at, {type_.items_size}, argument)"] if type_.is_dynamic else []
            lines.append(f"count = {type_.length}")
        if not item.is_value and not item.is_dynamic:
            size = item.head_size
            read = self._read(item, form, "position", "argument")
            return [*lines, f"return [{read} for position in range(at, at + count * {size}, {size})]"]
        if item.is_value:
            word = word_of(item, form, "item", "argument")
            formats, names, checks, result = word.format, word.names, list(word.checks), word.result
        else:
            formats, names, checks = "32s", ("offset",), []
            position = "target(reading.data, at, count * 32, from_bytes(offset), argument)"
            result = self._read(item, form, position, "argument")
        words = f"{self.struct([formats])}.iter_unpack(reading.data[at : at + count * 32])"
        if not checks:
            return [*lines, f"return [{result} for {_unpacked(names)} in {words}]"]
        loop = [f"for {_unpacked(names)} in {words}:", *_indented([*checks, f"items.append({result})"])]
        return [*lines, "items = []", *loop, "return items"]


def _in_topic(param: Param) -> AbiType:
    return FixedBytes(32) if param.is_hashed else param.type


def _argument(event: EventSpec, number: int) -> str:
    return event.argument_names[number]


def _holds_others(type_: AbiType) -> bool:
    return isinstance(type_, Array | Tuple)


def _holds_text(type_: AbiType) -> bool:
    """Whether a string is somewhere inside an array or a tuple."""
    if isinstance(type_, Array):
        return isinstance(type_.item, String) or _holds_text(type_.item)
    if isinstance(type_, Tuple):
        return any(isinstance(part.type, String) or _holds_text(part.type) for part in type_.components)
    return False


def _unpacked(names: Sequence[str]) -> str:
    return f"({', '.join(names)},)"


def _tuple(values: Sequence[str]) -> str:
    return f"({', '.join(values)},)" if values else "()"


def _dict(keys: Sequence[str], values: Sequence[str]) -> str:
    return "{" + ", ".join(f"{key!r}: {value}" for key, value in zip(keys, values, strict=True)) + "}"


def _indented(lines: Iterable[str]) -> _Lines:
    return [f"    {line}" for line in lines]
