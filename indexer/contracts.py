"""From configured contracts and their ABI files to what is watched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from indexer.core.abi import EventSpec, events_of_abi
from indexer.core.declaredindex import declarations
from indexer.core.errors import UserMistake
from indexer.core.schema import tables_of_contract
from indexer.core.watched import WatchedContract
from indexer.settings import ContractSettings, Settings

#: Of the names that a message lists.
_SHOWN_NAMES = 50
_SHOWN_CHARACTERS = 200


def load_watched(settings: Settings) -> tuple[WatchedContract, ...]:
    """What the configuration asks to watch, with the tables that it makes.

    Raises: UserMistake naming every file that cannot be read and every event that an ABI does not have.
    """
    watched: list[WatchedContract] = []
    mistakes: list[str] = []
    for contract in settings.contracts:
        try:
            tables = tables_of_contract(contract.name, chosen_events(contract))
            watched.append(
                WatchedContract(
                    name=contract.name,
                    addresses=contract.addresses,
                    tables=tables,
                    start_block=contract.start_block,
                    transactions=settings.chain.transactions != "off",
                    indexes=declarations(contract.name, tables, dict(contract.indexes)),
                )
            )
        except UserMistake as mistake:
            mistakes.append(str(mistake))
    if mistakes:
        raise UserMistake("\n".join(mistakes))
    return tuple(watched)


def chosen_events(contract: ContractSettings) -> tuple[EventSpec, ...]:
    """The events of the contract's ABI that are to be indexed."""
    events = read_abi(contract.abi)
    if contract.events is None:
        return events
    by_name = {name for event in events for name in (event.name, event.signature)}
    unknown = [name for name in contract.events if name not in by_name]
    if unknown:
        raise UserMistake(
            f"contract {contract.name}: {contract.abi} has no event {_listed(unknown)}; "
            f"it has {_listed(sorted(event.signature for event in events))}"
        )
    return tuple(e for e in events if e.name in contract.events or e.signature in contract.events)


def _listed(names: Sequence[str]) -> str:
    """The names, with the end left out where they are many or long."""
    shown = [name if len(name) <= _SHOWN_CHARACTERS else name[:_SHOWN_CHARACTERS] + "…" for name in names]
    more = [f"… ({len(names)} in all)"] if len(names) > _SHOWN_NAMES else []
    return ", ".join([*shown[:_SHOWN_NAMES], *more])


def read_abi(path: Path) -> tuple[EventSpec, ...]:
    """The events of an ABI file: a JSON array, or an artifact with an "abi" key.

    Raises: UserMistake naming the file and what is wrong in it.
    """
    try:
        abi = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise UserMistake(f"{path}: cannot be read: {error.strerror}; is the path right?") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserMistake(f"{path}: not JSON: {error}; give an ABI file or a compiler artifact") from error
    except RecursionError as error:
        raise UserMistake(f"{path}: its lists and objects are nested too deeply for an ABI") from error
    try:
        events = events_of_abi(abi)
    except UserMistake as mistake:
        raise UserMistake(f"{path}: {mistake}") from mistake
    if not events:
        raise UserMistake(f"{path}: it has no events, so there is nothing to index; is it the right file?")
    return events
