"""One thing that `indexer check` looked at, and what it found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is well, and what to do if it is not."""

    #: What was looked at, e.g. ``database version``.
    subject: str
    #: None: it could not be told, or it is a remark that nobody has to act on.
    ok: bool | None
    #: What was found, with numbers; never a secret.
    message: str
    #: What to do about it; empty where there is nothing to do.
    remedy: str = ""
