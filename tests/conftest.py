"""Makes the fixtures of every module in tests/fixtures known to all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"

# They import each other: told before the first import, pytest shows what their assertions compared.
pytest.register_assert_rewrite("tests.fixtures")
pytest_plugins = sorted(f"tests.fixtures.{path.stem}" for path in FIXTURES.glob("[a-z]*.py"))
