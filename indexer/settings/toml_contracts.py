"""The contracts to watch: the tables of `[[contracts]]`."""

from __future__ import annotations

import re
from pathlib import Path

from indexer.core.address import checksum_address, parse_address
from indexer.settings.model import ContractSettings
from indexer.settings.toml_table import TomlTable, bare, shown

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ .-]{0,62}")


def read_contracts(root: TomlTable, directory: Path) -> tuple[ContractSettings, ...]:
    """The contracts, their ABI paths relative to the directory of the configuration file."""
    tables = root.tables("contracts")
    if not tables and not (root.has("contracts") and root.raw("contracts") != []):
        root.wrong("contracts", "no contract is named; add a [[contracts]] table with name, address and abi")
    found: list[ContractSettings] = []
    for table in tables:
        contract = _contract(table, directory)
        if contract is not None:
            _note_clashes(table, contract, found)
            found.append(contract)
    return tuple(found)


def _contract(table: TomlTable, directory: Path) -> ContractSettings | None:
    name = _name(table)
    addresses = _addresses(table)
    abi = _abi(table, directory)
    start_block = table.integer("start_block", 0, 0)
    events = table.texts("events")
    if events is not None and len(set(events)) != len(events):
        table.wrong("events", "names an event twice")
    indexes = _indexes(table)
    table.done()
    if name is None or abi is None:
        return None
    return ContractSettings(name, addresses, abi, start_block, events, indexes)


def _indexes(table: TomlTable) -> tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]:
    """Lists of columns by event; whether there are such events and columns is for the ABI to say."""
    found: list[tuple[str, tuple[tuple[str, ...], ...]]] = []
    given = table.raw("indexes")
    if given is not None and not isinstance(given, dict):
        table.wrong("indexes", f"must be a table of events with lists of columns, not {shown(given)}")
        return ()
    for event, lists in (given or {}).items():
        columns = [_columns(each) for each in lists] if isinstance(lists, list) else []
        sound = [each for each in columns if each]
        if not sound or len(sound) < len(columns):
            table.wrong(
                f"indexes.{event}",
                'must be a list of columns, or of lists of columns, such as ["user", ["name", "block_number"]]',
            )
        found.append((event, tuple(sound)))
    return tuple(found)


def _columns(value: object) -> tuple[str, ...]:
    """The columns of one index; empty where it is none."""
    names: list[object] = value if isinstance(value, list) else [value]
    texts = [name for name in names if isinstance(name, str) and name]
    return tuple(texts) if len(texts) == len(names) else ()


def _name(table: TomlTable) -> str | None:
    name = table.text("name")
    if not table.has("name"):
        table.wrong("name", "is missing; it names the schema of the contract's tables")
    if name is not None and not _NAME.fullmatch(name):
        table.wrong(
            "name", "must be at most 63 letters, digits, blanks or any of _ . - and begin with a letter"
        )
        return None
    return name


def _addresses(table: TomlTable) -> tuple[bytes, ...]:
    if not table.has("address"):
        table.wrong("address", "is missing; give 0x and 40 hexadecimal digits, or a list of such")
    found: list[bytes] = []
    for text in table.texts("address") or ():
        try:
            address = parse_address(text)
        except ValueError as error:
            table.wrong("address", str(error))
            continue
        if address in found:
            table.wrong("address", f"names {checksum_address(address)} twice")
        found.append(address)
    return tuple(found)


def _abi(table: TomlTable, directory: Path) -> Path | None:
    text = table.text("abi")
    if not table.has("abi"):
        table.wrong("abi", "is missing; name the JSON file with the contract's ABI")
    if text is None:
        return None
    path = directory / text
    try:
        found = path.is_file()
    except OSError:
        # A name that is too long, or a directory that may not be looked into.
        found = False
    if not found:
        table.wrong("abi", f"there is no file {bare(text)}; paths are relative to the configuration file")
    return path


def _note_clashes(table: TomlTable, contract: ContractSettings, others: list[ContractSettings]) -> None:
    if contract.name.lower() in {other.name.lower() for other in others}:
        table.wrong(
            "name",
            f"{contract.name!r} is another contract's name already; "
            "several addresses of one contract go into one list",
        )
    owners = {address: other.name for other in reversed(others) for address in other.addresses}
    for address in contract.addresses:
        if address in owners:
            table.wrong(
                "address",
                f"{checksum_address(address)} belongs to {owners[address]!r} already; "
                "put the events of both into one ABI file",
            )
