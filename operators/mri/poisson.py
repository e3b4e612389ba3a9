"""Variable-density Poisson discs."""

from __future__ import annotations

import math

import numpy as np
import torch

from invgen.core.checks import is_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.operators.mri.grid import center_box, checked_sizes, radius, too_many

__all__ = ["poisson_disc"]

#: Relative distance from the number of samples asked for at which the search for a Poisson disc ends.
_CLOSE = 0.005
_TRIALS = 20


def poisson_disc(
    shape: tuple[int, int],
    acceleration: float,
    calibration: tuple[int, int] = (0, 0),
    *,
    crop_corners: bool = True,
    seed: int = 0,
) -> torch.Tensor:
    """Variable-density Poisson disc: points at random that keep their distance, which grows outwards.

    The distance is ``slope rho`` pixels, rho being the distance from the middle in halves of each axis: where
    that is at most one, all is sampled, and from there outwards the density falls as 1 / rho^2. The slope is
    searched for, so that the acceleration is R to about a percent. (A distance that starts above one pixel
    everywhere would have to be sqrt(2), on a grid, and could not give 1.3 < R < 3.5.) Of two points outside
    of the calibration region, the distance is at least the smaller of theirs.

    Parameters
    ----------
    shape : (int, int)
        The two phase-encoded axes: (H, W).
    acceleration : number
        R, at least one; counted over the whole rectangle, its corners included.
    calibration : (int, int)
        Size of the fully sampled rectangle in the middle.
    crop_corners : bool
        Leave out what lies outside of the ellipse ``rho = 1``.
    seed : int

    Returns
    -------
    bool tensor, shape (H, W)

    Raises
    ------
    ParameterError
        If no slope gives that acceleration: the calibration region alone has more points, or the ellipse
        fewer.

    References
    ----------
    Vasanawala et al. (2011), Practical parallel imaging compressed sensing MRI: summary of two years of
    experience in accelerating body MRI of pediatric patients. Points are taken in random order, as in Cook
    (1986), Stochastic sampling in computer graphics.
    """
    sizes = checked_sizes(shape, acceleration)
    if len(sizes) != 2:
        raise ShapeError(f"poisson_disc makes masks of shape (H, W); got shape={tuple(shape)}.")
    if len(calibration) != 2 or not all(
        is_count(c, n, least=0) for c, n in zip(calibration, sizes, strict=True)
    ):
        raise ParameterError(f"calibration is a size of at most {sizes}; got {tuple(calibration)}.")
    center, rho = center_box(sizes, tuple(calibration)).numpy(), radius(sizes).numpy()
    allowed = ~center & (rho < 1) if crop_corners else ~center
    target = center.size / acceleration
    if center.sum() > target + 0.5:
        raise too_many(f"The {int(center.sum())} points of the calibration region", target, "points")
    if center.sum() + allowed.sum() < target - 0.5:
        raise ParameterError(
            f"Without its corners k-space has fewer than 1 / {acceleration} of its points; "
            f"accelerate more, or set crop_corners=False."
        )
    order = torch.randperm(center.size, generator=torch.Generator().manual_seed(seed)).numpy()
    order = order[allowed.reshape(-1)[order]]
    slope, low, high, best = 1.0, 0.0, None, None
    for _ in range(_TRIALS):
        mask = center | _throw(order, slope * rho)
        count = int(mask.sum())
        if best is None or abs(count - target) < abs(int(best.sum()) - target):
            best = mask
        if abs(count - target) <= max(0.5, _CLOSE * target):
            break
        if count > target:
            low = slope
            slope = (low + high) / 2 if high is not None else 2 * slope
        else:
            high = slope
            slope = (low + high) / 2
    return torch.from_numpy(best)


def _throw(order: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Take the pixels in this order, leaving out those nearer to one taken before than its distance."""
    height, width = distance.shape
    distance = np.minimum(distance, math.hypot(height, width))
    squares = np.ceil(distance**2 - 1e-9).astype(np.int64)  # |d|^2 is whole: below r^2 is below its ceiling
    pad = math.ceil(distance.max())
    stride = width + 2 * pad
    # bytes are read one by one, at the speed of a list; the array is the same memory
    blocked = bytearray((height + 2 * pad) * stride)
    field = np.frombuffer(blocked, dtype=np.uint8).reshape(height + 2 * pad, stride)
    taken = np.zeros((height, width), dtype=bool)
    discs: dict[int, tuple[int, np.ndarray]] = {}
    rows, columns = np.divmod(order, width)
    places = (rows + pad) * stride + columns + pad
    for i, j, place, square in zip(
        rows.tolist(), columns.tolist(), places.tolist(), squares[rows, columns].tolist(), strict=True
    ):
        if blocked[place]:
            continue
        taken[i, j] = True
        if square <= 1:
            continue
        if square not in discs:
            reach = math.isqrt(square - 1)
            offsets = np.arange(-reach, reach + 1) ** 2
            discs[square] = reach, (offsets[:, None] + offsets < square).astype(np.uint8)
        reach, disc = discs[square]
        part = field[i + pad - reach : i + pad + reach + 1, j + pad - reach : j + pad + reach + 1]
        np.bitwise_or(part, disc, out=part)
    return taken
