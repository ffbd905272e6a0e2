"""The errors of the program, named by what is to be done about them.

::

    IndexerError              exit 75 (EX_TEMPFAIL): whoever started us should start us again
     ├ Unavailable            try later: no answer, rate limit, connection lost
     ├ Inconsistent           ask again: the node contradicted itself, or us
     ├ TooMuch                ask for less: fewer blocks, or fewer addresses
     └ Fatal                  stop: a person must look, exit 70
        ├ UserMistake         a wrong configuration or option, exit 2
        ├ WrongChain          the database belongs to another chain, exit 2
        ├ BelowFinality       the chain changed below what it had called final
        │  └ TooDeep          or deeper than the configuration allows
        └ LostLeadership      another process writes for this chain now, exit 75

Messages carry the numbers, what is wrong, where, and the way out; never a URL with a key.
"""

from __future__ import annotations


class IndexerError(Exception):
    """Anything that this program foresees going wrong."""

    exit_code = 75


class Unavailable(IndexerError):
    """No answer for now: the same request may well succeed later."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        #: Seconds that the other side asked us to wait, if it said so.
        self.retry_after = retry_after


class Inconsistent(IndexerError):
    """The node contradicted itself or what we hold; the answer was thrown away."""


class TooMuch(IndexerError):
    """The request asked for more than the endpoint gives in one answer."""

    def __init__(
        self,
        message: str,
        *,
        blocks: int | None = None,
        addresses: bool = False,
        is_cap: bool = False,
        logs: int | None = None,
    ) -> None:
        super().__init__(message)
        #: How many blocks the endpoint says it would take, if it said so.
        self.blocks = blocks
        #: Whether it takes no more blocks than that wherever they are, however few logs they have.
        self.is_cap = is_cap
        #: How many logs the endpoint says it gives in one answer, if it said so.
        self.logs = logs
        #: True where fewer addresses or topics are wanted, not fewer blocks.
        self.addresses = addresses


class Fatal(IndexerError):
    """A person must look; going on could make wrong data."""

    exit_code = 70


class UserMistake(Fatal):
    """A wrong configuration or option; the message names the place and the remedy."""

    exit_code = 2


class WrongChain(Fatal):
    """The node's chain is not the one in the database or the configuration."""

    exit_code = 2


class BelowFinality(Fatal):
    """A block that the chain had called final is no longer part of it."""


class TooDeep(BelowFinality):
    """A reorg above finality that is deeper than the configured limit."""


class LostLeadership(Fatal):
    """Another process took over writing; nothing of the refused transaction was kept."""

    exit_code = 75
