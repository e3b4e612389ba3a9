"""Contexts of pixels: neighbors that come before them, row by row, quantized."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError

__all__ = ["REACH", "Context", "Near", "checked", "neighbors", "number"]

#: Neighbors (rows down, columns to the right), each with its number of bins.
Context = Sequence[tuple[int, int, int]]

#: Values of the neighbors of some pixels, by rows down and columns to the right.
Near = Callable[[int, int], Tensor]

#: Rows and columns that neighbors are away, at most; beyond the image they have the lowest level.
REACH = 2


def checked(contexts: Sequence[Context], levels: int) -> tuple[Context, ...]:
    """The contexts as tuples.

    Raises
    ------
    ParameterError
        Where they do not begin with an empty one, or neighbors come later or are too far or too fine.
    """
    found = tuple(tuple((int(a), int(b), as_count(m, "bins")) for a, b, m in each) for each in contexts)
    if not found or found[0]:
        raise ParameterError("Contexts begin with an empty one.")
    for context in found:
        if math.prod(m for _, _, m in context) * levels >= 2**63:
            raise ParameterError(f"These neighbors have too many bins to be counted: {context}.")
        for down, right, _ in context:
            earlier = down < 0 or (down == 0 and right < 0)
            if not earlier or max(-down, abs(right)) > REACH:
                raise ParameterError(
                    f"Neighbors come before the pixel, at most {REACH} away; got {(down, right)}."
                )
    return found


def neighbors(values: Tensor) -> Near:
    """Of all pixels of images (n, H, W), in their shape."""
    height, width = values.shape[1:]
    padded = F.pad(values, (REACH, REACH, REACH, 0))

    def near(down: int, right: int) -> Tensor:
        top, left = REACH + down, REACH + right
        return padded[:, top : top + height, left : left + width]

    return near


def number(context: Context, bins: Mapping[int, Tensor], near: Near) -> Tensor:
    """One number for the bins of all neighbors in a context."""
    found = torch.zeros_like(near(0, 0))
    for down, right, m in context:
        found = found * m + bins[m][near(down, right)]
    return found
