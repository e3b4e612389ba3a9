"""Density compensation of trajectories."""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.core.checks import as_count
from invgen.operators.mri.checks import checked_image_shape, checked_trajectory
from invgen.operators.nufft import NUFFT
from invgen.operators.toeplitz import triangle

__all__ = ["density_compensation"]


def density_compensation(trajectory: Any, image_shape: tuple[int, ...], iterations: int = 30) -> torch.Tensor:
    """Weights that make the adjoint an approximate inverse, by the iteration of Pipe and Menon (1999).

    ``w <- w / (psi * w)`` from ``w = 1``, with the convolution at the samples. At the fixed point ``psi * w =
    1`` the density of the weighted samples, smoothed by psi, is that of the Cartesian grid. The kernel psi is
    the Fourier transform of the overlap of the field of view, which is the image, with itself shifted
    (Johnson and Pipe 2009). It is positive, so that all weights are positive and at most one, and it controls
    the weighted point spread function at all lags between two pixels. The convolution is computed by a NUFFT
    pair on twice the image's grid, where the paper interpolates.

    Parameters
    ----------
    trajectory : float tensor, shape (*samples, 2) or (*samples, 3)
        In cycles per pixel, as for `NonCartesianMRI`.
    image_shape : (int, int) or (int, int, int)
    iterations : int
        The weights of samples near the middle, where they are dense, converge last.

    Returns
    -------
    tensor, float64 (*samples)
        Accurate to about 1e-4. For the full Cartesian grid ``w = 1``. For trajectories that are everywhere
        denser than the Cartesian grid, ``A.H(w * A(x))`` is x, restricted to the k-space that they cover: to
        1e-3 for spokes oversampled twice, as by scanners, and to 1e-2 to 1e-1 without oversampling.

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        For trajectories that `NonCartesianMRI` refuses, and fewer than one iteration.

    References
    ----------
    Pipe and Menon (1999), Sampling density compensation in MRI: rationale and an iterative numerical
    solution. Johnson and Pipe (2009), Convolution kernel design and efficient algorithm for sampling
    density correction.
    """
    shape = checked_image_shape(image_shape, "density_compensation")
    k = checked_trajectory(trajectory, len(shape), "density_compensation")
    iterations = as_count(iterations, "iterations")
    nufft = NUFFT(tuple(2 * n for n in shape), k.reshape(-1, len(shape)))
    window = (triangle(shape) / math.prod(shape)).float()
    w = torch.ones(1, k[..., 0].numel(), dtype=torch.complex64)
    for _ in range(iterations):
        w = w / nufft.forward(window * nufft.adjoint(w)).abs()
    return w[0].real.double().reshape(k.shape[:-1])
