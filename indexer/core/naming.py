"""Names in the database for the names in an ABI: one deterministic rule, told to users in docs/schema.md."""

from __future__ import annotations

import re
from collections.abc import Collection

from indexer.core.keccak import keccak256

#: Bytes of an identifier. Source: PostgreSQL, NAMEDATALEN.
LONGEST_NAME = 63

#: Ends the name of the view that shows a table's addresses and hashes as text; no table ends with it.
HEX_VIEW_SUFFIX = "_hex"

# PostgreSQL names a primary key's index after its table, and an index may not be named like a table.
_INDEX_NAME = re.compile(r"_pkey[0-9]*\Z")

#: Columns that each event table has before those of the arguments, in this order.
FIXED_COLUMNS = (
    "block_number",
    "log_index",
    "block_time",
    "transaction_hash",
    "transaction_index",
    "address",
)

# Names that PostgreSQL keeps for itself in every table.
_SYSTEM_COLUMNS = frozenset(("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"))
_RESERVED_SCHEMAS = frozenset(("indexer", "public", "information_schema"))


def schema_name(contract: str) -> str:
    """The schema of a contract: ``SkillProfile`` → ``skill_profile``; two contracts may come out the same."""
    name = snake_case(contract) or "contract"
    if name in _RESERVED_SCHEMAS:
        name += "_contract"
    if name.startswith("pg_"):
        name = "contract_" + name
    return shortened(name, LONGEST_NAME)


def plain_table_name(event: str) -> str:
    """The table of an event that shares its name with no other: ``ProfileCreated`` → ``profile_created``."""
    name = snake_case(event) or "event"
    if name.endswith(HEX_VIEW_SUFFIX) or _INDEX_NAME.search(name):
        name += "_event"
    return shortened(name, LONGEST_NAME - len(HEX_VIEW_SUFFIX))


def overload_table_name(event: str, digest: bytes) -> str:
    """The table of an event whose plain name belongs to another one: with 8 digits of its digest in hex."""
    suffix = f"_{digest[:4].hex()}"
    return shortened(snake_case(event) or "event", LONGEST_NAME - len(HEX_VIEW_SUFFIX) - len(suffix)) + suffix


def column_name(parameter: str, position: int, hashed: bool, taken: Collection[str]) -> str:
    """The column of an argument, different from those taken, from the fixed and from PostgreSQL's own ones.

    An argument that is only there as its hash gets ``_hash`` at the end.
    """
    wanted = snake_case(parameter) or f"arg{position}"
    if hashed:
        wanted += "_hash"
    if wanted in FIXED_COLUMNS or wanted in _SYSTEM_COLUMNS:
        wanted += "_"
    name, number = shortened(wanted, LONGEST_NAME), 1
    while name in taken:
        number += 1
        suffix = f"_{number}"
        name = shortened(wanted, LONGEST_NAME - len(suffix)) + suffix
    return name


def snake_case(name: str) -> str:
    """Lower case, ``_`` between words: ``ERC20Transfer`` → ``erc20_transfer``, ``tokenURI`` → ``token_uri``.

    A word begins at a capital after a small letter or digit, and at the last capital of several before a
    small letter. Whatever is no letter or digit (of any alphabet) becomes ``_``; of several ``_``
    in a row one stays, and none at the ends. Empty when nothing is left.
    """
    made: list[str] = []
    for place, character in enumerate(name):
        before, after = name[place - 1 : place], name[place + 1 : place + 2]
        if character.isupper() and before.isalnum() and (not before.isupper() or after.islower()):
            made.append("_")
        made.append(character.lower() if character.isalnum() else "_")
    # Lower-casing can split one letter into a letter and a mark, which is no letter of its own.
    letters = [character if character.isalnum() else "_" for character in "".join(made)]
    return "_".join(word for word in "".join(letters).split("_") if word)


def shortened(name: str, longest: int) -> str:
    """The name, or as much of its beginning as fits together with ``_`` and 8 hexadecimal digits of its hash.

    Args:
        longest: bytes in UTF-8.
    """
    octets = name.encode()
    if len(octets) <= longest:
        return name
    suffix = f"_{keccak256(octets)[:4].hex()}"
    return octets[: longest - len(suffix)].decode(errors="ignore") + suffix


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """The text as an SQL literal, whatever `standard_conforming_strings` says."""
    literal = "'" + text.replace("'", "''") + "'"
    return "E" + literal.replace("\\", "\\\\") if "\\" in text else literal
