"""Kernels of blurs, in float64 and of sum one."""

from __future__ import annotations

import math

import torch

from invgen.errors import ParameterError

__all__ = ["gaussian_kernel", "motion_kernel"]


def gaussian_kernel(
    sigma: float | tuple[float, ...], ndim: int | None = None, truncate: float = 4.0
) -> torch.Tensor:
    """Gaussian at the centers of pixels, as in ``scipy.ndimage.gaussian_filter``.

    Parameters
    ----------
    sigma : float or tuple of float
        Standard deviation in pixels, or one for each axis.
    ndim : int, optional
        Number of axes; by default that of `sigma` if it is a tuple, else 2.
    truncate : float
        Half of the width, in standard deviations.

    Returns
    -------
    tensor of float64, odd sizes, exactly symmetric along each axis
    """
    if isinstance(sigma, tuple | list):
        sigmas = tuple(sigma)
        if ndim not in (None, len(sigmas)):
            raise ParameterError(f"gaussian_kernel: {len(sigmas)} sigmas do not fit ndim={ndim}.")
    else:
        sigmas = (sigma,) * (2 if ndim is None else ndim)
    if not sigmas or not all(0 < s < math.inf for s in (*sigmas, truncate)):
        raise ParameterError(
            f"gaussian_kernel: sigma and truncate must be positive; got {sigma}, {truncate}."
        )
    kernel = torch.ones((), dtype=torch.float64)
    for s in sigmas:
        radius = int(truncate * s + 0.5)
        t = torch.arange(-radius, radius + 1, dtype=torch.float64)
        line = torch.exp(-0.5 * (t / s) ** 2)
        line = line / line.sum()
        # what a vectorized exponential rounds differently at the two ends would break the symmetry
        kernel = kernel[..., None] * ((line + line.flip(0)) / 2)
    return kernel


def motion_kernel(length: float, angle: float) -> torch.Tensor:
    """Uniform motion along a straight line during the exposure.

    Parameters
    ----------
    length : float
        Of the path, in pixels; zero is no motion.
    angle : float
        Of the path in radians, counterclockwise from the x axis, which points to the right; y points up.

    Returns
    -------
    tensor of float64, shape (2 r + 1, 2 r + 1)
        Point symmetric about its middle. Each point of the path is shared by its four pixels linearly.
    """
    if not (0 <= length < math.inf and math.isfinite(angle)):
        raise ParameterError(
            f"motion_kernel: length must not be negative, angle finite; got {length}, {angle}."
        )
    radius = math.ceil(length / 2)
    count = 64 * (radius + 1)  # points of the path: their distance is under a thirtieth of a pixel
    path = ((torch.arange(count, dtype=torch.float64) + 0.5) / count - 0.5) * length
    axis = torch.arange(-radius, radius + 1, dtype=torch.float64)
    rows = (1 - (axis[:, None] + math.sin(angle) * path).abs()).clamp(min=0)  # rows count downwards
    columns = (1 - (axis[:, None] - math.cos(angle) * path).abs()).clamp(min=0)
    kernel = rows @ columns.T
    return kernel / kernel.sum()
