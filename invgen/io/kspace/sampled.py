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
    """Size of a box in the middle of the mask that has no gap.

    It is widened by one entry on each side of all axes at a time, each axis as far as that goes.
    """
    low = [n // 2 for n in mask.shape]
    high = [c + 1 for c in low]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    if not bool(mask[box].all()):
        return (0,) * mask.ndim
    growing = {(axis, side) for axis in range(mask.ndim) for side in (0, 1)}
    while growing:
        for axis, side in sorted(growing):
            a, b = (low[axis] - 1, low[axis]) if side == 0 else (high[axis], high[axis] + 1)
            box = tuple(slice(*ends) for ends in zip(low, high, strict=True))
            face = (*box[:axis], slice(a, b), *box[axis + 1 :])
            if a < 0 or b > mask.shape[axis] or not bool(mask[face].all()):
                growing.remove((axis, side))
            elif side == 0:
                low[axis] = a
            else:
                high[axis] = b
    return tuple(b - a for a, b in zip(low, high, strict=True))
