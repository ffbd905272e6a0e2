"""URLs of nodes and databases: what is wrong with one, told without showing any of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

NODE_SCHEMES = ("http", "https", "ws", "wss")
#: So many characters are not guessed over a network.
SHORTEST_TOKEN = 16
DATABASE_SCHEMES = ("postgresql", "postgres")


def problem_with(url: str, schemes: Sequence[str], *, host_needed: bool) -> str | None:
    """What is wrong with the URL and how it should look, None when nothing is."""
    wanted = ", ".join(f"{scheme}://" for scheme in schemes)
    if any(character.isspace() or not character.isprintable() for character in url):
        return "holds a blank or an unprintable character; percent-encode it in user names and passwords"
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.hostname
    except ValueError:
        return "is not a URL; special characters in user names and passwords must be percent-encoded"
    if scheme not in schemes or not url[len(scheme) :].startswith("://"):
        return f"must begin with {wanted}"
    if host_needed and not host:
        return f"names no host; it should look like {schemes[0]}://host:port/path"
    if scheme in DATABASE_SCHEMES and "," in parts.netloc:
        # Several hosts, each with a port of its own: the database driver's to read.
        return None
    try:
        port = parts.port
    except ValueError:
        # The usual cause, told apart from a mere slip because its remedy is another one.
        return "its port is no number up to 65535 (is a special character of a password not percent-encoded?)"
    return "its port must not be 0" if port == 0 else None


def problem_with_token(token: str) -> str | None:
    """Why nobody should rely on this token, None where nothing is wrong with it."""
    if not token.isascii() or not token.isprintable() or " " in token:
        return "holds a blank or a character that is no printable ASCII"
    return f"has fewer than {SHORTEST_TOKEN} characters" if len(token) < SHORTEST_TOKEN else None


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A name and not an address.
        return False


def parse_listen(text: str) -> tuple[str, int] | None:
    """Host and port of `127.0.0.1:9464`, `[::1]:9464` or `:9464` (all addresses); None when it is neither."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    if any(character.isspace() or character in "/@" for character in host):
        return None
    return host or "0.0.0.0", int(port)  # noqa: S104


def parse_target(text: str) -> tuple[str, int] | None:
    """Host and port of `logstash:5000` or `[::1]:5000`, to connect to; None when it is neither."""
    parsed = parse_listen(text)
    return None if parsed is None or text.startswith(":") or parsed[1] == 0 else parsed
