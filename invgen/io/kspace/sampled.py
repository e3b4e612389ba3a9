"""How much of k-space was sampled, and how much of its middle without a gap."""

from __future__ import annotations

import math

import torch

from invgen.io.kspace.contents import KSpace
from invgen.operators.mri import sampling


def acceleration(kspace: KSpace) -> float:
    """Pixels for each sample of a coil: on a grid, how many samples there could be for each that is taken."""
    if kspace.mask is not None:
        return sampling.acceleration(kspace.mask.expand(kspace.image_shape))
    return math.prod(kspace.image_shape) / math.prod(kspace.data.shape[1:])


def calibrated(mask: torch.Tensor) -> tuple[int, ...]:
    """Size of the largest box around the origin that has no gap, as coil maps are made of; zeros without one.

    A box of width w begins at ``N // 2 - w // 2``.
    """
    gaps = ~mask
    for axis, n in enumerate(mask.shape):
        # outwards, so that the first w entries are the box of width w
        place = torch.arange(n) - n // 2
        order = torch.where(place < 0, -2 * place - 1, 2 * place).argsort()
        gaps = gaps.index_select(axis, order).cummax(axis).values
    widths = torch.meshgrid(*(torch.arange(1, n + 1) for n in mask.shape), indexing="ij")
    sizes = torch.where(gaps, 0, math.prod(widths))
    largest = torch.unravel_index(sizes.argmax(), sizes.shape)
    return tuple(int(i) + 1 for i in largest) if bool(sizes.any()) else (0,) * mask.ndim
