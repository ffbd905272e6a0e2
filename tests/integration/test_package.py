"""What is built to be installed elsewhere has everything that the program reads at run time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("indexer", "migrations", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
BUILD = """
import sys
from setuptools import build_meta
target = sys.argv[1]  # the builds change what stands there
build_meta.build_sdist(target)
build_meta.build_wheel(target)
"""


def test_the_wheel_and_the_source_package_carry_the_migrations(tmp_path: Path) -> None:
    copy, built = tmp_path / "checkout", tmp_path / "built"
    copy.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, copy / part)
    subprocess.run([sys.executable, "-c", BUILD, str(built)], cwd=copy, check=True, capture_output=True)
    wanted = {path.name for path in (ROOT / "migrations").glob("*.sql")}
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    in_wheel = {
        Path(name).name
        for name in zipfile.ZipFile(wheel).namelist()
        if name.startswith("indexer/migrations/")
    }
    with tarfile.open(source) as archive:
        in_source = {Path(name).name for name in archive.getnames() if Path(name).parent.name == "migrations"}
    assert in_wheel == wanted
    assert in_source == wanted
