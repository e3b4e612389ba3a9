"""Kernels of blurs, in float64, with the sum one."""

from __future__ import annotations

import math

import torch

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError

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
        Half the width of the kernel, in standard deviations.

    Returns
    -------
    tensor of float64, odd sizes, exactly symmetric along each axis
    """
    if isinstance(sigma, tuple | list):
        sigmas = tuple(sigma)
        if ndim not in (None, len(sigmas)):
            raise ParameterError(f"gaussian_kernel: {len(sigmas)} sigmas do not fit ndim={ndim}.")
    else:
        sigmas = (sigma,) * (2 if ndim is None else as_count(ndim, "gaussian_kernel: ndim"))
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
        # a vectorized exponential may round differently at the two ends, which would break the symmetry
        kernel = kernel[..., None] * ((line + line.flip(0)) / 2)
    return kernel


def motion_kernel(length: float, angle: float, elevation: float | None = None) -> torch.Tensor:
    """Uniform motion along a straight line during the exposure.

    Parameters
    ----------
    length : float
        Length of the path, in pixels; zero is no motion.
    angle : float
        Direction of the path in radians, counterclockwise from the x axis; x points to the right, y up.
    elevation : float, optional
        Angle of the path to the image's plane in radians, towards later slices: the kernel is then one for
        volumes.

    Returns
    -------
    tensor of float64, shape (n, n), with an elevation (n, n, n)
        Of odd size n, point symmetric about its middle. Each point of the path is distributed to the four
        (in volumes eight) nearest pixels with the weights of linear interpolation.
    """
    if not (0 <= length < math.inf and math.isfinite(angle) and math.isfinite(elevation or 0)):
        raise ParameterError(
            "motion_kernel: length must not be negative, angle and elevation finite; "
            f"got {length}, {angle}, {elevation}."
        )
    radius = math.ceil(length / 2)
    count = 64 * (radius + 1)  # points of the path: their distance is under a thirtieth of a pixel
    path = ((torch.arange(count, dtype=torch.float64) + 0.5) / count - 0.5) * length
    axis = torch.arange(-radius, radius + 1, dtype=torch.float64)
    across = math.cos(elevation or 0)
    direction = [-across * math.sin(angle), across * math.cos(angle)]  # rows count downwards
    if elevation is not None:
        direction.insert(0, math.sin(elevation))
    shares = [(1 - (axis[:, None] - d * path).abs()).clamp(min=0) for d in direction]
    kernel = torch.einsum("ip,jp->ij" if elevation is None else "ip,jp,kp->ijk", *shares)
    return kernel / kernel.sum()
