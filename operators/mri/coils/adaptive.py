"""Sensitivities from coil images."""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.core.errors import ParameterError
from invgen.operators.mri.coils.data import checked
from invgen.operators.mri.coils.pixels import aligned, strongest

__all__ = ["adaptive"]


def adaptive(images: Any, *, width: float = 3.0) -> torch.Tensor:
    """Coil sensitivities from coil images of any trajectory: the adaptive combination.

    The sensitivities of a pixel are the principal eigenvector of the coils' covariance in its neighborhood.
    Less exact than `espirit`, which needs a fully sampled middle of Cartesian k-space; this needs images
    without aliasing, for which a low resolution is sufficient.

    Parameters
    ----------
    images : complex tensor, shape (coils, H, W) or (coils, D, H, W)
        One of each coil, such as ``Fourier(shape).H(kspace)``, or from the middle of k-space alone. Noise is
        assumed to be white: see `whitening_matrix`.
    width : float
        Width of the neighborhood in pixels: at this distance along an axis the weight is a quarter. Larger
        for more noise, smaller for maps that vary fast.

    Returns
    -------
    complex tensor, shape (coils, *image_shape)
        ``sum |s|^2 = 1`` everywhere. The phase of each pixel is chosen so that the virtual coil of most
        energy is real and positive.

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        For data that are no images of several coils, NaN, zeros, and a width that is not positive.

    Notes
    -----
    In place of the paper's blocks the weight is ``(1 + (d / width)^2)^-2`` along each axis. Owing to its long
    tail, maps in dark regions are determined by bright ones further away, and stay smooth.

    References
    ----------
    Walsh, Gmitro and Marcellin (2000), Adaptive reconstruction of phased array MR imagery.
    """
    images = checked(images, "adaptive", "images of shape (coils, H, W) or (coils, D, H, W)", (3, 4))
    if not (width > 0 and math.isfinite(width)):
        raise ParameterError(f"width is a positive number of pixels; got {width!r}.")
    # to keep squares of small numbers from underflow
    images = images / images.abs().max()
    coils, *shape = images.shape
    weights = [_neighborhood(n, width).to(images) for n in shape]

    def matrices(rows: torch.Tensor) -> torch.Tensor:
        R = images.new_empty(len(rows), *shape[1:], coils, coils)
        for c in range(coils):
            for d in range(c + 1):
                smooth = images[c] * images[d].conj()
                for axis, weight in enumerate(weights):
                    weight = weight[rows] if axis == 0 else weight
                    smooth = torch.tensordot(weight, smooth, dims=([1], [axis])).movedim(0, axis)
                R[..., c, d] = smooth
        return R

    return aligned(strongest(matrices, coils, tuple(shape), images)[1], images)


def _neighborhood(n: int, width: float) -> torch.Tensor:
    """Weight of each pixel for each pixel along an axis."""
    place = torch.arange(n, dtype=torch.float64)
    return (1 + ((place[:, None] - place) / width).square()) ** -2
