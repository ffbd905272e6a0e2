"""Puts the schema's SQL files, which stand at the top level of the checkout, into the built package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithMigrations(build_py):
    """Copies `migrations/` beside the code that applies them; an editable install reads them where they are."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "indexer", "migrations")
        self.mkpath(str(target))
        for source in sorted(Path("migrations").glob("*.sql")):
            self.copy_file(str(source), str(target / source.name))


setup(cmdclass={"build_py": BuildWithMigrations})
