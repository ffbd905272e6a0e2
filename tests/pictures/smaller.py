"""Makes a picture a third as large: a palette of 256 colours is enough for lines and letters."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Bytes = NDArray[np.uint8]


def shrink(picture: Path) -> None:
    """Write the PNG, which has 8 bits a channel and no transparency that matters, anew with a palette.

    Source: PNG specification, third edition, "Filtering" and "Chunk specifications".
    """
    pixels = _pixels(picture.read_bytes())
    # Neighbouring shades become one, so that few colours remain to be counted.
    coarse = np.minimum((pixels.astype(np.uint16) + 4) // 8 * 8, 255).astype(np.uint8)
    colours, at, counts = np.unique(coarse.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    kept = np.sort(np.argsort(counts)[::-1][:256])
    distance = (colours.astype(int)[:, None, :] - colours[kept].astype(int)[None, :, :]) ** 2
    nearest = distance.sum(axis=2).argmin(axis=1).astype(np.uint8)
    height, width, _ = pixels.shape
    indexed = nearest[at.reshape(-1)].reshape(height, width)
    lines = np.zeros((height, width + 1), np.uint8)  # each begins with the number of its filter: none
    lines[:, 1:] = indexed
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = [
        (b"IHDR", header),
        (b"PLTE", colours[kept].tobytes()),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    ]
    picture.write_bytes(SIGNATURE + b"".join(_chunk(name, body) for name, body in chunks))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _pixels(png: bytes) -> Bytes:
    """The colours, by line and column."""
    assert png.startswith(SIGNATURE)
    at, packed, width, height, channels = len(SIGNATURE), b"", 0, 0, 0
    while at < len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + length]
        at += 12 + length
        if name == b"IHDR":
            width, height, bits, colour, *_ = struct.unpack(">IIBBBBB", body)
            assert bits == 8
            channels = {2: 3, 6: 4}[colour]
        elif name == b"IDAT":
            packed += body
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, width * channels + 1)
    above = np.zeros(width * channels, np.uint8)
    found = np.empty((height, width * channels), np.uint8)
    for row, line in enumerate(lines):
        above = found[row] = _unfiltered(int(line[0]), line[1:], above, channels)
    return found.reshape(height, width, channels)[:, :, :3]


def _unfiltered(kind: int, line: Bytes, above: Bytes, channels: int) -> Bytes:
    """The line's bytes, which are stored as differences from those to the left and above."""
    if kind == 0:
        return line
    if kind == 1:
        return np.cumsum(line.reshape(-1, channels), axis=0, dtype=np.uint8).reshape(-1)
    if kind == 2:
        return line + above
    stored, over = line.tolist(), above.tolist()
    out = [0] * channels + stored
    for x, value in enumerate(stored):
        left, up, corner = out[x], over[x], over[x - channels] if x >= channels else 0
        out[x + channels] = (value + ((left + up) // 2 if kind == 3 else _paeth(left, up, corner))) & 255
    return np.array(out[channels:], np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    """Whichever of the three is closest to left + up - corner, in this order."""
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))
