"""uv is given what pip is configured with, and nothing of it on a command line."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "uv_as_pip"


@pytest.fixture(scope="module")
def uv_as_pip() -> ModuleType:
    loader = SourceFileLoader("uv_as_pip", str(SCRIPT))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return module


def test_a_mirror_in_the_configuration_becomes_the_default_index(uv_as_pip: ModuleType) -> None:
    options = uv_as_pip.options_of_pip(
        [
            "global.index-url='https://user:word@mirror.example/simple'",
            "global.extra-index-url='https://a.example/simple\\nfile:///srv/b'",
            "global.find-links='/srv/one /srv/two'",
            "global.cert='/etc/ssl/mine.pem'",
            ":env:.default-timeout='180'",
        ]
    )
    environment = uv_as_pip.environment_for_uv(options, {"HOME": "/home/me"})
    assert environment == {
        "HOME": "/home/me",
        "UV_DEFAULT_INDEX": "https://user:word@mirror.example/simple",
        "UV_INDEX": "https://a.example/simple file:///srv/b",
        "UV_FIND_LINKS": "/srv/one,/srv/two",
        "SSL_CERT_FILE": "/etc/ssl/mine.pem",
        "UV_HTTP_TIMEOUT": "180",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_NO_CONFIG": "1",
    }


@pytest.mark.parametrize("backwards", [False, True])
def test_the_environment_wins_over_the_files_in_whatever_order_they_are_told(
    uv_as_pip: ModuleType, backwards: bool
) -> None:
    lines = [
        "global.index-url='one'",
        "install.index-url='two'",
        ":env:.index-url='three'",
        "list.index-url='no'",
    ]
    assert uv_as_pip.options_of_pip(lines[::-1] if backwards else lines) == {"index-url": "three"}


def test_a_variable_of_uv_that_is_set_already_stays(uv_as_pip: ModuleType) -> None:
    environment = uv_as_pip.environment_for_uv({"index-url": "from-pip"}, {"UV_DEFAULT_INDEX": "mine"})
    assert environment["UV_DEFAULT_INDEX"] == "mine"
