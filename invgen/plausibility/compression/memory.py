"""How many images, and lines of them, are in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

__all__ = ["images_at_once", "parts"]

#: Frequencies that are kept for a chunk, of 4 bytes, and that are computed at once, of several times 8.
_KEPT, _COMPUTED = 2**25, 2**22

#: Values of a network take at least as much memory as frequencies of so many symbols.
_LEAST = 256


def images_at_once(shape: tuple[int, ...], symbols: int) -> int:
    """Images in a chunk, of so many symbols for each pixel: a part of the format of files."""
    return max(1, _KEPT // (math.prod(shape) * max(symbols, _LEAST)))


def parts(count: int, pixels: int, symbols: int) -> Iterator[slice]:
    """Parts of a number of images or lines, of so many pixels each, to be computed at once."""
    step = max(1, _COMPUTED // (pixels * max(symbols, _LEAST)))
    return (slice(first, min(count, first + step)) for first in range(0, count, step))
