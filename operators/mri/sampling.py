"""Sampling masks of Cartesian k-space, and their true acceleration.

All masks are bool tensors that `MRI` takes, true where k-space is sampled, with the origin in the middle,
``N // 2``. Masks of lines have the shape ``(W,)``, one entry for each line.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError
from invgen.operators.mri.grid import center_box, checked_sizes, radius, too_many
from invgen.operators.mri.poisson import poisson_disc

__all__ = ["acceleration", "equispaced_lines", "gaussian", "poisson_disc", "random_lines"]


def acceleration(mask: Any) -> float:
    """The true acceleration: the number of points of k-space over the number of samples.

    Parameters
    ----------
    mask : bool or float tensor
        Zero where k-space is not sampled. The axes that a mask of lines leaves out have no influence.
    """
    mask = torch.as_tensor(mask)
    count = int(torch.count_nonzero(mask))
    if not count:
        raise ParameterError("The mask samples nothing: it is zero everywhere.")
    return mask.numel() / count


def equispaced_lines(
    shape: tuple[int, ...],
    acceleration: float,
    center_fraction: float = 0.08,
    *,
    offset: int | None = None,
    adjusted: bool = False,
    seed: int = 0,
) -> torch.Tensor:
    """Every R-th line, and all lines of a calibration region in the middle.

    By default the lines are exactly equispaced, as parallel imaging needs: fastMRI's present
    ``EquispacedMaskFunc``. The lines in the middle are additional, so that the true acceleration,
    ``acceleration(mask)``, is below the nominal one: 3.2 for R = 4 and 640 lines with 8 % in the middle.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image; the last axis is the one across the lines.
    acceleration : number
        R, at least one; a whole number unless `adjusted`.
    center_fraction : float
        Fraction of all lines that are in the middle, rounded to a number of lines.
    offset : int, optional
        First line, below R; by default drawn with the seed.
    adjusted : bool
        Widen the spacing to compensate for the lines in the middle, so that the true acceleration is R up to
        rounding: the mask of the fastMRI challenge, ``EquispacedMaskFractionFunc``. The spacing is then not a
        whole number, and the lines are equispaced up to rounding.
    seed : int

    Returns
    -------
    bool tensor, shape (W,)

    References
    ----------
    Zbontar et al. (2018), fastMRI: an open dataset and benchmarks for accelerated MRI; on the
    spacing github.com/facebookresearch/fastMRI, issue 54.
    """
    width, low = _lines(shape, acceleration, center_fraction)
    spacing = float(acceleration)
    if adjusted:
        if low * acceleration >= width:
            raise too_many(f"The {low} lines in the middle", width / acceleration, "lines")
        spacing = acceleration * (low - width) / (low * acceleration - width)
    elif acceleration != int(acceleration):
        raise ParameterError(
            f"acceleration={acceleration} is not a whole number of lines; give one, or adjusted=True."
        )
    choices = max(1, min(round(spacing), width))
    if offset is None:
        offset = int(torch.randint(choices, (), generator=torch.Generator().manual_seed(seed)))
    offset = as_count(offset, "offset, the first line,", least=0, most=choices - 1)
    mask = center_box((width,), (low,))
    # NumPy's rounding, to the even neighbor, as in fastMRI, whose last line is never drawn when adjusted
    lines = np.around(np.arange(offset, width - 1 if adjusted and width > 1 else width, spacing))
    mask[torch.from_numpy(lines.astype(np.int64))] = True
    return mask


def random_lines(
    shape: tuple[int, ...], acceleration: float, center_fraction: float = 0.08, *, seed: int = 0
) -> torch.Tensor:
    """Lines at random, each with the same probability, and all lines of a calibration region in the middle.

    fastMRI's ``RandomMaskFunc``: the probability is ``(W / R - low) / (W - low)``, so that the number of
    lines is W / R on average; ``acceleration(mask)`` returns that of a mask.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image; the last axis is the one across the lines.
    acceleration : number
        R, at least one.
    center_fraction : float
        Fraction of all lines that are in the middle, rounded to a number of lines.
    seed : int

    Returns
    -------
    bool tensor, shape (W,)
    """
    width, low = _lines(shape, acceleration, center_fraction)
    if low > width / acceleration:
        raise too_many(f"The {low} lines in the middle", width / acceleration, "lines")
    probability = (width / acceleration - low) / (width - low) if low < width else 1.0
    mask = torch.rand(width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) < probability
    mask |= center_box((width,), (low,))
    if not bool(mask.any()):  # few lines and no middle
        mask[width // 2] = True
    return mask


def gaussian(
    shape: tuple[int, ...],
    acceleration: float,
    center_fraction: float = 0.08,
    *,
    sigma: float = 0.35,
    seed: int = 0,
) -> torch.Tensor:
    """Points at random, drawn without replacement from a Gaussian density around the middle.

    Exactly ``round(N / R)`` points of N are sampled, those in the middle among them.

    Parameters
    ----------
    shape : tuple of int
        Shape of the mask: (H, W) for points, (W,) for lines.
    acceleration : number
        R, at least one.
    center_fraction : float
        Fraction of each axis that the fully sampled middle covers, rounded to a number of entries.
    sigma : float
        Standard deviation of the density, relative to half of each axis: 1 is the edge of k-space.
    seed : int

    Returns
    -------
    bool tensor of the shape
    """
    sizes = checked_sizes(shape, acceleration)
    if not (sigma > 0 and math.isfinite(sigma)):
        raise ParameterError(f"sigma is a positive number; got {sigma}.")
    center = center_box(sizes, tuple(_low(n, center_fraction) for n in sizes))
    total = max(1, round(center.numel() / acceleration))
    if int(center.sum()) > total:
        raise too_many(f"The {int(center.sum())} points in the middle", total, "points")
    # the largest of log density + Gumbel noise are a draw without replacement
    uniform = torch.rand(sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    keys = -radius(sizes).square() / (2 * sigma**2) - torch.log(-torch.log(uniform.clamp(1e-300)))
    keys[center] = torch.inf
    mask = torch.zeros(sizes, dtype=torch.bool)
    mask.view(-1)[keys.flatten().topk(total).indices] = True
    return mask


def _lines(shape: tuple[int, ...], acceleration: float, center_fraction: float) -> tuple[int, int]:
    """Number of lines, and of those in the middle."""
    width = checked_sizes(shape, acceleration)[-1]
    return width, _low(width, center_fraction)


def _low(n: int, center_fraction: float) -> int:
    if not 0 <= center_fraction <= 1:
        raise ParameterError(f"center_fraction is a number from 0 to 1; got {center_fraction}.")
    return round(n * center_fraction)
