"""Variable-density Poisson discs."""

from __future__ import annotations

import math

import numpy as np
import torch

from invgen.core.checks import is_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.operators.mri.grid import center_box, checked_sizes, radius, too_many

__all__ = ["poisson_disc"]

#: Relative error of the number of samples at which the search for the slope ends.
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
    """Variable-density Poisson disc: random points with a minimal distance that grows outwards.

    The minimal distance at a point is ``slope rho`` pixels, with the distance rho from the middle in units of
    half of each axis. Where it is at most one, all points are sampled; from there outwards the density falls
    as 1 / rho^2. The slope is searched so that the acceleration is R to about a percent. (A minimal distance
    above one pixel everywhere would be at least sqrt(2) on the grid, which excludes 1.3 < R < 3.5.) The
    distance of two points outside of the calibration region is at least the smaller of their minimal ones.

    Parameters
    ----------
    shape : (int, int)
        The two phase-encoded axes: (H, W).
    acceleration : number
        R, at least one; counted over the whole rectangle, its corners included.
    calibration : (int, int)
        Size of the fully sampled rectangle in the middle.
    crop_corners : bool
        Sample nothing outside of the ellipse ``rho = 1``.
    seed : int

    Returns
    -------
    bool tensor, shape (H, W)

    Raises
    ------
    ParameterError
        If the acceleration cannot be reached: the calibration region alone has more points, or the ellipse
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
    """Take pixels in this order, but for those within the minimal distance of one taken before."""
    height, width = distance.shape
    distance = np.minimum(distance, math.hypot(height, width))
    squares = np.ceil(distance**2 - 1e-9).astype(np.int64)  # |d|^2 is an integer: < r^2 is < its ceiling
    pad = math.ceil(distance.max())
    stride = width + 2 * pad
    # single bytes of a bytearray are read as fast as those of a list; the array shares its memory
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
