"""Makes the fixtures of every module in tests/fixtures known to all tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"

# They import each other: told before the first import, pytest shows what their assertions compared.
pytest.register_assert_rewrite("tests.fixtures")
pytest_plugins = sorted(f"tests.fixtures.{path.stem}" for path in FIXTURES.glob("[a-z]*.py"))

#: As the program has it, which is Python's own.
RECURSION_LIMIT = 1_000


def pytest_collection_finish() -> None:
    """Undo what importing a library of the tests does: py_ecc raises the limit so far that the stack may burst."""
    sys.setrecursionlimit(RECURSION_LIMIT)
