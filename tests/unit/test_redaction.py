"""Secrets do not get through, in whatever spelling; ordinary text does."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from indexer.core.redaction import Redactor, redact

KEY = "a1B2-c3D4_e5F6g7H8"


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        (f"https://node.example/v2/{KEY}", KEY),
        (f"https://node.example/v2/{KEY}/", KEY),
        (f"https://node.example/?apikey={KEY}", KEY),
        ("https://node.example/?k=short7", "short7"),
        (f"wss://{KEY}@node.example/", KEY),
        ("https://user:pa%2Fss%40word@node.example", "pa/ss@word"),
        ("https://user:pa%2Fss%40word@node.example", "pa%2fss%40word"),
        ("https://user:pa+ss%20word@node.example", quote("pa+ss word", safe="")),
        ("https://a1b2c3d4e5f6a7b8c9d0.node.example/", "a1b2c3d4e5f6a7b8c9d0"),
        ("postgresql://indexer:hunter2@db:5432/events", "hunter2"),
        ("postgresql://indexer@db/events?password=hunter2", "hunter2"),
        ("postgresql://indexer:a%22b%5Cc%0Ad@db/events", 'a"b\\c\nd'),
        ("postgresql://indexer:a%22b%5Cc%0Ad@db/events", 'a\\"b\\\\c\\nd'),
        ("plainsecret", "plainsecret"),
    ],
)
def test_the_secret_of_a_url_is_hidden_wherever_it_turns_up(url: str, secret: str) -> None:
    hide = Redactor([url])
    for text in (
        f"failed: {secret}",
        f"<{secret}>",
        f"at {url}: no",
        secret.upper() if "\\" not in secret else "",
    ):
        hidden = hide(text)
        assert secret.lower() not in hidden.lower()
        assert "***" in hidden or not text


def test_basic_credentials_are_hidden_as_a_header_carries_them() -> None:
    header = base64.b64encode(b"user:pass/word").decode()
    assert header not in redact(f"sent {header}", ["https://user:pass%2Fword@node.example"])
    assert redact("Authorization: Bearer abcdefgh1234", []) == "Authorization: Bearer ***"


def test_credentials_in_unknown_urls_are_hidden_too() -> None:
    assert redact("via http://me:hush@proxy:3128/x", []) == "via http://***@proxy:3128/x"
    assert redact("GET /?api_key=abc&x=1", []) == "GET /?api_key=***&x=1"


@pytest.mark.parametrize(
    "text",
    [
        "listening on http://127.0.0.1:9464/metrics",
        "block 17 is not a child of 16",
        "postgres is starting; indexer waits; sslmode=require",
        "0x5fbdb2315678afecb367f032d93f642f64180aa3",
    ],
)
def test_ordinary_text_comes_back_unchanged(text: str) -> None:
    secrets = [
        "http://127.0.0.1:8545",
        "postgresql://postgres:a@localhost/postgres?sslmode=require",
        f"https://node.example/v2/{KEY}",
    ]
    assert redact(text, secrets) == text


def test_a_short_password_is_hidden_as_a_word_and_not_inside_of_others() -> None:
    url = "postgresql://indexer:post@db/x"
    assert redact("password post refused by postgres", [url]) == "password *** refused by postgres"


def test_the_whole_url_goes_before_its_parts() -> None:
    url = f"https://node.example/v2/{KEY}"
    assert redact(f"cannot connect to {url}", [url]) == "cannot connect to ***"


def test_a_redactor_shows_nothing_of_what_it_knows() -> None:
    hide = Redactor([f"https://node.example/{KEY}"])
    hide.add("")
    assert KEY not in repr(hide)
    assert hide("") == ""


def test_what_is_no_url_is_hidden_as_a_whole() -> None:
    assert redact("x http://[half y", ["http://[half"]) == "x *** y"


def test_the_user_of_a_database_without_a_password_is_no_secret() -> None:
    assert (
        Redactor(["postgresql://postgres@/indexer"])("PostgreSQL 18, user postgres")
        == "PostgreSQL 18, user postgres"
    )
