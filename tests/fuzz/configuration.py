"""Fuzzes what an operator writes: settings come of it, or mistakes that are told without any secret."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from indexer.contracts import load_watched
from indexer.core.codec import EventCodec
from indexer.core.ddl import event_view_ddl, hex_view_ddl, table_ddl
from indexer.core.errors import UserMistake
from indexer.core.naming import FIXED_COLUMNS, LONGEST_NAME
from indexer.core.watched import WatchedContract
from indexer.settings import Settings, load_settings
from tests.fuzz.choices import Choices

NAME = "configuration"

Json = Any

KEY = "k3y5ecret0fTheProvider1234567890"
#: Characters of all mistakes together.
LONGEST_MESSAGE = 60_000
#: Stands in hostile names; outside of quotes it would be run.
PLANTED = "planted"
HOSTILE_NAMES = (
    *(f'";drop/**/table/**/{PLANTED};--', f"';drop/**/table/**/{PLANTED};--", f"\\';{PLANTED};--"),
    *(f"$grant$;{PLANTED};$grant$", f"*/{PLANTED}/*", f"--{PLANTED}", f'"""{PLANTED}', f"'''+{PLANTED}+'''"),
    *(
        f"{{{PLANTED}}}",
        "%s",
        "%(a)s",
        "$1",
        "\\",
        "'",
        '"',
        "``",
        "\u202egnp.exe",
        "a\u0300",
        "\u0130",
        "\u00df",
    ),
    *(
        "x" * 64,
        "x" * 999,
        "x" * 1_001,
        "\u540d" * 40,
        "\U0001f984",
        "select",
        "user",
        "ctid",
        "address",
        "Address",
    ),
    *(
        "fooHex",
        "FooPkey",
        "foo_pkey1",
        "_",
        "__",
        "",
        "0",
        "a b",
        "a\nb",
        "a\0b",
        "\ud800",
        "indexer",
        "pg_catalog",
    ),
)
TYPES = (
    *(
        "uint256",
        "int8",
        "address",
        "bool",
        "string",
        "bytes",
        "bytes32",
        "tuple",
        "tuple[]",
        "uint",
        "function",
    ),
    *(
        "uint7",
        "fixed128x18",
        "string[][2][]",
        "uint8[0]",
        "uint8[" + "9" * 30 + "]",
        "uint256[99999][99999]",
    ),
    *(
        "[]",
        "tuple[",
        "uint\u0662",
        "\u00b2",
        "bytes33",
        "uint8" + "[]" * 40,
        "uint8" + "[]" * 5_000,
        "",
        " uint8",
    ),
)
#: Values that no key expects all of, as TOML.
VALUES = (
    *(
        "1",
        "0",
        "-1",
        "1.5",
        "nan",
        "inf",
        "-inf",
        "true",
        '""',
        '" "',
        '"x"',
        "[]",
        "{}",
        "[[]]",
        "[1, 'a']",
        "1e400",
    ),
    *(
        "9" * 30,
        "9" * 5_000,
        "0x" + "f" * 5_000,
        "1979-05-27",
        "07:32:00",
        "1979-05-27T07:32:00Z",
        '"\\u0000"',
    ),
    *(
        '"\\U0001f984"',
        '"' + "a" * 5_000 + '"',
        "{a = {b = 1}}",
        '["receipts"]',
        '"halt"',
        '"linked"',
        '"127.0.0.1:0"',
    ),
    *(
        '":99999"',
        '"[::1]:1"',
        "[" * 400 + "]" * 400,
        '"' + HOSTILE_NAMES[0].replace('"', '\\"') + '"',
        '"..\\\\.."',
    ),
)
#: Where a secret may stand, well written or not.
URLS = (
    *(f"https://node.example/v3/{KEY}", f"https://user:{KEY}@node.example", f"ws://{KEY}.example:8546"),
    *(
        f"http://node.example:99999/{KEY}",
        f"node.example/{KEY}",
        f"https://[{KEY}",
        f"http:///{KEY}",
        f"ftp://{KEY}",
    ),
    *(
        f"http://a b/{KEY}",
        f"http://u:p#/{KEY}@h",
        f"https://x/{KEY},,https://y",
        f"https://\u2100.example/{KEY}",
    ),
    *(
        f"https://h:{KEY}/",
        f"https://h/?key={KEY}",
        f"\x1b]0;{KEY}",
        f"postgresql://u:{KEY}@h/db",
        f"postgres://{KEY}",
    ),
    *(
        f"postgresql://u:{KEY}@h:x/db",
        f"postgresql://u:p/{KEY}@h",
        f"postgresql://u:p@h1:1,h2:2/db?password={KEY}",
    ),
)
GOOD_DATABASE = f"postgresql://u:{KEY}@h/db"
KEYS: Mapping[str, tuple[str, ...]] = {
    "chain": (
        *("id", "name", "confirmations", "poll_seconds", "transactions", "max_reorg_depth", "below_finality"),
        *("proof", "logs_bloom", "unknown", '"\\u001b[2J"', "rpc.url"),
    ),
    "database": ("connections", "unknown"),
    "http": ("listen",),
    "health": ("stalled_seconds", "silent_chain_seconds", "probe_seconds"),
    "backfill": ("parallel", "max_range_blocks", "proof"),
    "timeouts": ("connect_seconds", "request_seconds", "statement_seconds"),
    "journal": ("format", "level"),
    "logs": ("logstash", "slow_query_seconds"),
    "contracts": ("name", "address", "abi", "start_block", "events"),
    "unknown": ("a",),
}
SQL_TEXT = re.compile(r"""E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*\"""", re.DOTALL)


class Target:
    """Reads a configuration file, an environment and an ABI file."""

    def __init__(self) -> None:
        # Kept here, so that it lives as long as the target.
        self._own = tempfile.TemporaryDirectory(
            prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None
        )
        self._directory = Path(self._own.name)
        (self._directory / "secret").write_text(URLS[0])

    def __call__(self, octets: bytes) -> str:
        choices = Choices(octets)
        environment = self._environment(choices)
        (self._directory / "abi.json").write_bytes(_abi(choices))
        path = self._directory / "indexer.toml"
        path.write_bytes(_toml(choices))
        try:
            settings = load_settings(environment, path)
            assert KEY not in repr(settings)
            watched = load_watched(settings)
        except UserMistake as mistake:
            return self._told(str(mistake))
        return self._right(settings, watched, choices)

    def _told(self, message: str) -> str:
        assert len(message) <= LONGEST_MESSAGE, f"{len(message)} characters: {message[:300]}"
        assert KEY not in message, f"a secret is shown: {message}"
        assert message.replace("\n", " ").isprintable(), f"not printable: {message!r}"
        last = message.rpartition("\n")[2].replace(str(self._directory), "")
        return f"mistake: {re.sub('[^a-z ]', '', last)[-40:]!r}"

    def _right(self, settings: Settings, watched: tuple[WatchedContract, ...], choices: Choices) -> str:
        assert settings.chain.rpc
        assert all(each.addresses for each in settings.contracts)
        tables = [(contract.name, table) for contract in watched for table in contract.tables]
        ddl = "".join(table_ddl(table) + hex_view_ddl(table) for _, table in tables) + event_view_ddl(tables)
        assert PLANTED not in SQL_TEXT.sub("", ddl), "a name stands outside of quotes"
        names = {(table.schema, table.name) for _, table in tables}
        assert len(names) == len(tables) or len({table.schema for _, table in tables}) < len(watched)
        for _, table in tables:
            assert all(
                len(each.encode()) <= LONGEST_NAME for each in (table.schema, table.name, *table.column_names)
            )
            assert len({*table.column_names, *FIXED_COLUMNS}) == len(table.column_names)
            if choices.below(16) == 1:
                EventCodec(table.event)
        return f"{len(watched)} contracts with {min(len(tables), 3)} tables"

    def _environment(self, choices: Choices) -> dict[str, str]:
        environment = {}
        for name in ("RPC_URL", "DATABASE_URL"):
            match choices.below(30):
                case 1:
                    environment[name] = choices.pick(URLS)
                case 2:
                    environment[f"{name}_FILE"] = str(
                        self._directory / choices.pick(("secret", "none", "", "\0"))
                    )
                case 3:
                    environment[f"{name}_FILE"] = choices.pick(URLS)
        if choices.below(20) == 1:
            environment["INDEXER_HTTP"] = choices.pick(
                (":1", "x", ":" + "9" * 5_000, "\udcff:1", "[::]:0", "a b:1")
            )
        if choices.below(20) == 1:
            environment[choices.pick(("INDEXER_HTP", "INDEXER_JOURNAL", "INDEXER_CONFIGG"))] = choices.pick(
                HOSTILE_NAMES
            )
        return environment


def _toml(choices: Choices) -> bytes:
    """A file that is right in most places."""
    rpc = json.dumps(choices.pick((*["http://127.0.0.1:8545"] * 60, *URLS)))
    lines = [
        "[chain]",
        choices.pick((f"rpc = [{rpc}]", f"rpc = {rpc}", f"rpc = [{{ url = {rpc} }}, {rpc}]", "")),
    ]
    lines += _keys("chain", choices)
    for section in choices.pick(
        ((), ("database",), ("http", "journal"), ("health", "timeouts"), ("backfill", "unknown"))
    ):
        lines += [f"[{section}]", *_keys(section, choices)]
        if section == "database":
            lines.append(f"url = {json.dumps(choices.pick((*[GOOD_DATABASE] * 40, *URLS)))}")
    for number in range(choices.pick((1, 1, 1, 2, 3, 0))):
        name = choices.pick(
            (f"Contract{number}", "Same Name", "same_name", "indexer", "public", "pg_catalog")
        )
        lines += ["[[contracts]]", f'name = "{name}"', f'address = "0x{number + 1:040x}"', 'abi = "abi.json"']
        lines += _keys("contracts", choices) if choices.below(4) == 1 else []
    text = "\n".join(lines).encode()
    for _ in range(choices.pick((*[0] * 9, 1, 2))):
        at, piece = choices.number(2) % (len(text) + 1), choices.octets(choices.below(5))
        text = text[:at] + piece + text[at + choices.below(4) :]
    return text


def _keys(section: str, choices: Choices) -> list[str]:
    return [
        f"{choices.pick(KEYS[section])} = {choices.pick(VALUES)}"
        for _ in range(choices.pick((*[0] * 9, 1, 2)))
    ]


def _abi(choices: Choices) -> bytes:
    """An ABI file with odd names, odd types, and at times odd bytes."""
    entries: Json = [_event(choices) for _ in range(choices.pick((1, 1, 2, 4, 0)))]
    if choices.below(4) == 1:
        entries.append(
            choices.pick((None, 1, "a", [], {}, {"type": "event"}, {"type": 1}, {"type": "function"}))
        )
    found: Json = choices.pick((entries, entries, {"abi": entries}, {"abi": None}, {}))
    text = json.dumps(found).encode()
    for _ in range(choices.pick((0, 0, 0, 1, 2))):
        at, piece = choices.number(2) % (len(text) + 1), choices.octets(choices.below(5))
        text = text[:at] + piece + text[at + choices.below(4) :]
    return choices.pick((*[text] * 40, b"[" * 50_000, b"\xff", b"\xef\xbb\xbf" + text, b""))


def _event(choices: Choices) -> Json:
    return {
        "type": "event",
        "name": choices.pick(("Transfer", "Transfer", "A", "a", *HOSTILE_NAMES)),
        "inputs": [_input(choices, 0) for _ in range(choices.pick((0, 1, 2, 3, 5, 8)))],
        **choices.pick(({}, {"anonymous": True}, {"anonymous": False}, {"anonymous": 1})),
    }


def _input(choices: Choices, depth: int) -> Json:
    type_ = choices.pick(TYPES[: choices.pick((*[11] * 20, len(TYPES)))])
    found: Json = {"type": type_, "name": choices.pick(("from", "a", "", *HOSTILE_NAMES))}
    if choices.below(4) == 1:
        found["indexed"] = choices.pick((True, True, True, False, "yes", None))
    if type_.startswith("tuple"):
        found["components"] = (
            [_input(choices, depth + 1) for _ in range(choices.below(3))] if depth < 40 else []
        )
    return found
