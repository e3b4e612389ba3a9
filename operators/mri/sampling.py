"""Sampling masks of Cartesian k-space, and the acceleration that they really have.

All masks are bool tensors that `MRI` takes, true where k-space is sampled, with the origin in the middle,
``N // 2``. Lines are returned as ``(W,)``: one entry for each, along all other axes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from invgen.errors import ParameterError, ShapeError

__all__ = ["acceleration", "equispaced_lines", "gaussian", "poisson_disc", "random_lines"]

#: Relative distance from the number of samples asked for at which the search for a Poisson disc ends.
_CLOSE = 0.005
_TRIALS = 20


def acceleration(mask: Any) -> float:
    """The true acceleration: how many samples there could be for each that is taken.

    Parameters
    ----------
    mask : bool or float tensor
        What is zero is not sampled. Axes that a mask of lines leaves out change nothing.
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

    By default the lines are truly equispaced, as parallel imaging wants them: fastMRI's present
    ``EquispacedMaskFunc``. The middle comes on top, so that the true acceleration, ``acceleration(mask)``, is
    below the nominal one: 3.2 for R = 4 and 640 lines with 8 % of them in the middle.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image; the last axis is the one across the lines.
    acceleration : number
        R, at least one; a whole number unless `adjusted`.
    center_fraction : float
        Part of all lines that the middle has, rounded to a number of lines.
    offset : int, optional
        First line, below R; by default drawn with the seed.
    adjusted : bool
        Widen the spacing so that the middle is paid for, and the acceleration is R but for rounding: the mask
        of the fastMRI challenge, ``EquispacedMaskFractionFunc``. The spacing is no whole number then, and the
        lines are equispaced to the nearest line only.
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
            raise _too_many(f"The {low} lines in the middle", width / acceleration, "lines")
        spacing = acceleration * (low - width) / (low * acceleration - width)
    elif acceleration != int(acceleration):
        raise ParameterError(
            f"Every {acceleration}th line is no whole number of lines; give one, or adjusted=True."
        )
    choices = max(1, min(round(spacing), width))
    if offset is None:
        offset = int(torch.randint(choices, (), generator=_generator(seed)))
    elif not 0 <= offset < choices:
        raise ParameterError(f"offset is a line from 0 to {choices - 1}; got {offset}.")
    mask = _center((width,), (low,))
    # NumPy's rounding, to the even neighbor, as in fastMRI, whose last line is never drawn when adjusted
    lines = np.around(np.arange(offset, width - 1 if adjusted and width > 1 else width, spacing))
    mask[torch.from_numpy(lines.astype(np.int64))] = True
    return mask


def random_lines(
    shape: tuple[int, ...], acceleration: float, center_fraction: float = 0.08, *, seed: int = 0
) -> torch.Tensor:
    """Lines at random, each with the same probability, and all lines of a calibration region in the middle.

    fastMRI's ``RandomMaskFunc``: the probability is ``(W / R - low) / (W - low)``, so that the number of
    lines is W / R on average; that of one mask varies, ``acceleration(mask)`` tells.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image; the last axis is the one across the lines.
    acceleration : number
        R, at least one.
    center_fraction : float
        Part of all lines that the middle has, rounded to a number of lines.
    seed : int

    Returns
    -------
    bool tensor, shape (W,)
    """
    width, low = _lines(shape, acceleration, center_fraction)
    if low > width / acceleration:
        raise _too_many(f"The {low} lines in the middle", width / acceleration, "lines")
    probability = (width / acceleration - low) / (width - low) if low < width else 1.0
    mask = torch.rand(width, generator=_generator(seed), dtype=torch.float64) < probability
    mask |= _center((width,), (low,))
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
        Part of each axis that the fully sampled middle covers, rounded to a number of entries.
    sigma : float
        Standard deviation of the density, as a part of half of each axis: 1 is the edge of k-space.
    seed : int

    Returns
    -------
    bool tensor of the shape
    """
    sizes = _sizes(shape, acceleration)
    if not (sigma > 0 and math.isfinite(sigma)):
        raise ParameterError(f"sigma is a positive number; got {sigma}.")
    center = _center(sizes, tuple(_low(n, center_fraction) for n in sizes))
    total = max(1, round(center.numel() / acceleration))
    if int(center.sum()) > total:
        raise _too_many(f"The {int(center.sum())} points in the middle", total, "points")
    # the largest of log density + Gumbel noise are a draw without replacement
    uniform = torch.rand(sizes, generator=_generator(seed), dtype=torch.float64)
    keys = -_radius(sizes).square() / (2 * sigma**2) - torch.log(-torch.log(uniform.clamp(1e-300)))
    keys[center] = torch.inf
    mask = torch.zeros(sizes, dtype=torch.bool)
    mask.view(-1)[keys.flatten().topk(total).indices] = True
    return mask


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
    sizes = _sizes(shape, acceleration)
    if len(sizes) != 2:
        raise ShapeError(f"poisson_disc makes masks of shape (H, W); got shape={tuple(shape)}.")
    if len(calibration) != 2 or any(not 0 <= c <= n for c, n in zip(calibration, sizes, strict=True)):
        raise ParameterError(f"calibration is a size of at most {sizes}; got {tuple(calibration)}.")
    center, rho = _center(sizes, tuple(calibration)).numpy(), _radius(sizes).numpy()
    allowed = ~center & (rho < 1) if crop_corners else ~center
    target = center.size / acceleration
    if center.sum() > target + 0.5:
        raise _too_many(f"The {int(center.sum())} points of the calibration region", target, "points")
    if center.sum() + allowed.sum() < target - 0.5:
        raise ParameterError(
            f"Without its corners k-space has fewer than 1 / {acceleration} of its points; "
            f"accelerate more, or set crop_corners=False."
        )
    order = torch.randperm(center.size, generator=_generator(seed)).numpy()
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


def _radius(shape: tuple[int, ...]) -> torch.Tensor:
    """Distance from the middle, in halves of each axis."""
    axes = [(torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()


def _center(shape: tuple[int, ...], sizes: tuple[int, ...]) -> torch.Tensor:
    """True in a rectangle around the middle, where fastMRI places it."""
    mask = torch.zeros(shape, dtype=torch.bool)
    starts = [(n - low + 1) // 2 for n, low in zip(shape, sizes, strict=True)]
    mask[tuple(slice(start, start + low) for start, low in zip(starts, sizes, strict=True))] = True
    return mask


def _lines(shape: tuple[int, ...], acceleration: float, center_fraction: float) -> tuple[int, int]:
    """Number of lines, and of those in the middle."""
    width = _sizes(shape, acceleration)[-1]
    return width, _low(width, center_fraction)


def _low(n: int, center_fraction: float) -> int:
    if not 0 <= center_fraction <= 1:
        raise ParameterError(f"center_fraction is a part, from 0 to 1; got {center_fraction}.")
    return round(n * center_fraction)


def _sizes(shape: tuple[int, ...], acceleration: float) -> tuple[int, ...]:
    sizes = tuple(int(n) for n in shape)
    if not sizes or any(n < 1 for n in sizes):
        raise ShapeError(f"A mask needs positive sizes; got the shape {sizes}.")
    if not (acceleration >= 1 and math.isfinite(acceleration)):
        raise ParameterError(f"acceleration is a number of at least 1; got {acceleration}.")
    return sizes


def _too_many(what: str, wanted: float, unit: str) -> ParameterError:
    return ParameterError(
        f"{what} are more than the {wanted:.4g} {unit} that this acceleration leaves; "
        f"make the middle smaller, or accelerate less."
    )


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
