"""Many hexadecimal texts to bytes at once.

Joining the texts and converting them in one call costs a few nanoseconds each; one by one they would cost
more than everything else that is done with a log.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence

import numpy as np

from indexer.core.arrays import Bytes, Integers
from indexer.core.errors import Inconsistent

_ZERO, _X = b"0x"
_PREFIX = int.from_bytes(b"0x", "little")
_SEPARATOR = "\n"  # any character that is no hexadecimal digit
_SHOWN = 80  # characters of a wrong value in a message


def fixed_octets(texts: Sequence[str], length: int, what: str) -> Bytes:
    """The bytes of `0x…` texts that all have this length in bytes, one row each.

    Raises:
        Inconsistent: one of them is not hexadecimal, or of another length.
    """
    width = 2 * length + 3
    try:
        joined = np.frombuffer((_SEPARATOR.join(texts) + _SEPARATOR).encode("ascii"), dtype=np.uint8)
        if len(joined) == width * len(texts):
            characters = joined.reshape(len(texts), width)
            # A text of another length would move its separator among the digits or the prefixes.
            if (characters[:, 0] == _ZERO).all() and (characters[:, 1] == _X).all():
                octets = unhexlify(characters[:, 2:-1].tobytes())
                return np.frombuffer(octets, dtype=np.uint8).reshape(len(texts), length)
    except ValueError:
        pass  # not ASCII or not hexadecimal: named below
    raise Inconsistent(_complaint(texts, what, length))


def joined_octets(texts: Sequence[str], what: str) -> tuple[bytes, Integers]:
    """The bytes of `0x…` texts of any lengths one after another, and where each begins, with the end as last.

    Raises:
        Inconsistent: one of them is not hexadecimal.
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(np.maximum(lengths - 2, 0) >> 1, out=starts[1:])
    if len(texts) and not (lengths & 1).any() and lengths.min() == lengths.max() >= 2:
        return fixed_octets(texts, int(lengths[0] - 2) >> 1, what).tobytes(), starts
    joined = "".join(texts)
    try:
        # Each prefix becomes one byte, dropped afterwards; an `x` elsewhere is refused as no digit.
        octets = np.frombuffer(unhexlify(joined.replace("0x", "00")), dtype=np.uint8)
        characters = np.frombuffer(joined.encode("ascii"), dtype="<u2")
    except ValueError as error:
        raise Inconsistent(_complaint(texts, what, None)) from error
    prefixes = starts[:-1] + np.arange(len(texts))
    if (lengths & 1).any() or (lengths < 2).any() or joined.count("0x") != len(texts):
        raise Inconsistent(_complaint(texts, what, None))
    if (characters[prefixes] != _PREFIX).any():
        raise Inconsistent(_complaint(texts, what, None))
    return np.delete(octets, prefixes).tobytes(), starts


def _complaint(texts: Sequence[str], what: str, length: int | None) -> str:
    """What is wrong with the first wrong text."""
    for text in texts:
        try:
            if not text.startswith("0x"):
                return f"{what}: does not begin with 0x: {text[:_SHOWN]!r}"
            octets = unhexlify(text[2:])
        except ValueError:
            return f"{what}: not hexadecimal: {text[:_SHOWN]!r}"
        if length is not None and len(octets) != length:
            return f"{what}: {len(octets)} bytes instead of {length}"
    return f"{what}: hexadecimal texts that do not fit together"
