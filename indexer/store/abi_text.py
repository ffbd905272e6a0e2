"""An event as an entry of a JSON ABI: kept with its source, so that a table is understood without a file."""

from __future__ import annotations

import json

from indexer.core.abi import EventSpec, events_of_abi
from indexer.core.abitype import AbiType, Array, Tuple


def abi_text(event: EventSpec) -> str:
    """The event as JSON; `event_of` reads it back."""
    inputs = [{**_typed(param.name, param.type), "indexed": param.indexed} for param in event.params]
    return json.dumps({
        "type": "event",
        "name": event.name,
        "anonymous": event.anonymous,
        "inputs": inputs,
    })  # fmt: skip


def event_of(text: str) -> EventSpec:
    """The event that `abi_text` wrote down."""
    (event,) = events_of_abi([json.loads(text)])
    return event


def _typed(name: str, type_: AbiType) -> dict[str, object]:
    suffix, item = "", type_
    while isinstance(item, Array):
        # The outermost dimension is written last.
        suffix = f"[{'' if item.length is None else item.length}]" + suffix
        item = item.item
    if not isinstance(item, Tuple):
        return {"name": name, "type": item.canonical() + suffix}
    components = [_typed(component.name, component.type) for component in item.components]
    return {"name": name, "type": "tuple" + suffix, "components": components}
