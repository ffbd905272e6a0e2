"""The rules of the house that no linter knows, held over every file of the repository."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ("indexer/", "bench/", "dashboards/", "scripts/")
LONGEST_FUNCTION_LINES = 60
LONGEST_MODULE_LINES = 400
#: What is this short may speak for itself.
SELF_EVIDENT_LINES = 30
#: Names that say nothing about what is inside, and names that shadow the standard library.
SAYS_NOTHING = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "base",
    "manager",
    "service",
    "handler",
    "context",
}
SHADOWS = {"io", "types", "logging"}
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")
#: Home directories and work trees: a path that only one machine has.
ONE_MACHINE = re.compile(r"(?<![\w.])/(?:home|Users|work|root)/[\w.]+/[\w.]+")


@cache
def files() -> tuple[str, ...]:
    """What is committed or would be: paths relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    if listed.returncode:
        pytest.skip(f"not a git checkout: {listed.stderr.strip()}")
    return tuple(sorted(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()))


@cache
def text(name: str) -> str:
    """The file's contents; empty when it is not text."""
    contents = (ROOT / name).read_bytes()
    return "" if b"\0" in contents else contents.decode("utf-8", errors="replace")


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Every Python file, parsed."""
    names = [
        name for name in files() if name.endswith(".py") or text(name).startswith("#!/usr/bin/env python3")
    ]
    return tuple((name, ast.parse(text(name), name)) for name in names)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, also those inside of others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def too_long(name: str, tree: ast.Module) -> Iterator[str]:
    """The functions over the limit without a word on why, in or just above them."""
    lines = text(name).splitlines()
    for function in functions(tree):
        last = function.end_lineno or function.lineno
        length = last - function.lineno + 1
        around = "\n".join(lines[max(0, function.lineno - 4) : last])
        if length > LONGEST_FUNCTION_LINES and not re.search(
            r"(#|\"\"\")[^\n]*\blong\b", around, re.IGNORECASE
        ):
            yield f"{name}:{function.lineno} {function.name}: {length} lines and no word on why it is long"


def test_no_function_is_long_without_a_reason() -> None:
    assert not list(chain.from_iterable(too_long(name, tree) for name, tree in modules()))


def test_no_module_of_the_program_is_overlong() -> None:
    lengths = {name: text(name).count("\n") for name, _ in modules() if name.startswith(PROGRAM)}
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE_LINES}


def test_every_module_says_what_it_is_for_in_its_first_line() -> None:
    silent = [name for name, tree in modules() if tree.body and not ast.get_docstring(tree)]
    assert not silent


def test_what_the_program_offers_is_described() -> None:
    silent = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in modules()
        if name.startswith(PROGRAM)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if not node.name.startswith("_") and not ast.get_docstring(node)
        if (node.end_lineno or 0) - node.lineno > SELF_EVIDENT_LINES
    ]
    assert not silent


def test_names_of_modules_say_what_is_inside() -> None:
    parts = {name: set(Path(name).with_suffix("").parts) for name in files() if name.endswith(".py")}
    assert not {name: bad for name, words in parts.items() if (bad := words & SAYS_NOTHING)}
    assert not [name for name in parts if name.startswith(PROGRAM) and Path(name).stem in SHADOWS]


def test_nothing_is_left_unfinished() -> None:
    found = [
        f"{name}: {match.group()}"
        for name in files()
        if not name.endswith("-lock.json")
        for match in [UNFINISHED.search(text(name))]
        if match
    ]
    assert not found


def test_no_path_of_one_machine_is_written_down() -> None:
    found = [
        f"{name}: {match.group()}"
        for name in files()
        if not name.endswith((".json", ".txt"))
        for match in [ONE_MACHINE.search(text(name))]
        if match
    ]
    assert not found


def test_lock_files_name_no_index() -> None:
    locks = [
        name for name in files() if name.startswith("requirements/") or name.endswith("package-lock.json")
    ]
    assert locks
    assert not [name for name in locks if "://" in re.sub(r'"(?:url|homepage)": "[^"]*"', "", text(name))]


def test_the_lock_files_agree_with_each_other() -> None:
    pins = {
        name: dict(re.findall(r"^([\w.-]+)==(\S+)", text(name), re.MULTILINE))
        for name in files()
        if name.startswith("requirements/") and name.endswith(".txt")
    }
    everything = pins.pop("requirements/development.txt")
    assert {"requirements/runtime.txt", "requirements/embedded.txt", "requirements/install.txt"} <= set(pins)
    for part in ("requirements/runtime.txt", "requirements/embedded.txt"):
        assert set(pins[part].items()) <= set(everything.items())


@pytest.mark.parametrize("kept_out", [".venv/", ".indexer/", "node_modules/", ".env"])
def test_what_machines_make_is_not_committed(kept_out: str) -> None:
    assert not [name for name in files() if name.startswith(kept_out) and not name.endswith(".example")]
