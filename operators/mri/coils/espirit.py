"""Sensitivities from the fully sampled middle of k-space."""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.core.checks import as_count
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.core.space import as_shape
from invgen.operators.mri.calibration import calibrated
from invgen.operators.mri.coils.data import checked
from invgen.operators.mri.coils.pixels import aligned, strongest

__all__ = ["espirit"]


def espirit(
    kspace: Any,
    image_shape: tuple[int, ...] | None = None,
    *,
    calibration: int = 24,
    kernel: int = 6,
    threshold: float = 0.02,
    crop: float = 0.95,
) -> torch.Tensor:
    """Coil sensitivities by ESPIRiT, from the fully sampled middle of Cartesian k-space.

    Windows of k-space lie in a space of low dimension; the sensitivities of a pixel are the eigenvector, with
    eigenvalue one, of the projection onto that space. One set of maps: for objects within the field of view.

    Parameters
    ----------
    kspace : complex tensor, shape (coils, H, W) or (coils, D, H, W)
        Centred as by `Fourier`: its origin is the entry ``N // 2``. Zero where it is not sampled. It may be a
        separate calibration scan, smaller than the images. No batch axes: each scan has its own maps.
    image_shape : tuple of int, optional
        Shape of the maps in pixels, on the field of view of `kspace`; by default that of `kspace`.
    calibration : int
        Largest width along each axis of the calibration region, which is the largest fully sampled box around
        the middle of k-space.
    kernel : int
        Width of the windows.
    threshold : float
        Singular values of the windows below this fraction of the largest are regarded as noise.
    crop : float
        Maps are zero where the eigenvalue is below this value: there is no signal, or more than one.

    Returns
    -------
    complex tensor, shape (coils, *image_shape)
        ``sum |s|^2 = 1``, or zero. The phase of each pixel, which data do not determine, is chosen so that
        the virtual coil of most energy in the calibration region is real and positive.

    Raises
    ------
    ShapeError, DtypeError
        For data that are not the k-space of coils.
    DataError
        For NaN, for zeros, and for a middle of k-space in which the coils are not correlated.
    ParameterError
        For parameters out of range, and a calibration region that is too small for the windows.

    Notes
    -----
    The time is proportional to the cube of the number of coils, and for volumes to that of ``coils *
    kernel**3``: compress many coils first, see `compression_matrix`. Coils with different noise have to be
    whitened before, see `whitening_matrix`.

    The matrix of the projection at a pixel is a trigonometric polynomial of degree ``kernel - 1``, whose
    coefficients are sums over the diagonals of the projection (as in Lobos et al.). Its cost does not depend
    on the number of kernels, and it is evaluated row by row.

    References
    ----------
    Uecker et al. (2014), ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI: where SENSE meets
    GRAPPA. Lobos, Chan and Haldar (2024), New theory and faster computations for subspace-based sensitivity
    map estimation in multichannel MRI.
    """
    kspace = checked(kspace, "espirit", "k-space of shape (coils, H, W) or (coils, D, H, W)", (3, 4))
    shape = as_shape(kspace.shape[1:] if image_shape is None else image_shape, "espirit's image_shape")
    if len(shape) != kspace.ndim - 1:
        raise ShapeError(
            f"espirit expects image_shape with {kspace.ndim - 1} sizes, as k-space; got {shape}."
        )
    for name, value in (("threshold", threshold), ("crop", crop)):
        if not 0 < value < 1:
            raise ParameterError(f"{name} is between 0 and 1; got {value!r}.")
    calibration = as_count(calibration, "calibration")
    kernel = as_count(kernel, "kernel, which fits into the calibration region,", most=calibration)
    middle = _calibration_region(kspace, calibration, kernel)
    coefficients = _lag_sums(_signal_space(middle, kernel, threshold), len(kspace), kernel, len(shape))
    coefficients = coefficients.to(kspace)
    # all axes but the first, whose rows are evaluated later, some at a time
    for axis in range(1, len(shape)):
        waves = _waves(shape[axis], kernel, kspace)
        coefficients = torch.tensordot(waves, coefficients, dims=([1], [axis])).movedim(0, axis)
    waves, flat = _waves(shape[0], kernel, kspace), coefficients.reshape(2 * kernel - 1, -1)

    def matrices(rows: torch.Tensor) -> torch.Tensor:
        return (waves[rows] @ flat).reshape(-1, *shape[1:], len(kspace), len(kspace))

    values, maps = strongest(matrices, len(kspace), shape, kspace)
    if not bool((values >= crop).any()):
        raise DataError(
            f"No eigenvalue reaches crop={crop}: the largest is {float(values.max()):.3f}. The middle of "
            "k-space is too small or too noisy for these windows: use a smaller kernel or threshold, or "
            "adaptive, on coil images."
        )
    return torch.where(values >= crop, aligned(maps, middle), 0)


def _calibration_region(kspace: torch.Tensor, calibration: int, kernel: int) -> torch.Tensor:
    """The fully sampled middle of k-space."""
    shape = kspace.shape[1:]
    limits = [min(calibration, n) for n in shape]
    widths = calibrated((kspace != 0).any(0), limits, kernel)
    windows = math.prod(max(0, width - kernel + 1) for width in widths)
    # the windows of a single coil span a space of the dimension of a window
    if windows < kernel ** len(shape):
        found = " x ".join(map(str, widths)) if any(widths) else "nothing"
        larger = " or a larger calibration" if list(widths) == limits and max(shape) > calibration else ""
        raise ParameterError(
            f"espirit finds {found} fully sampled in the middle of k-space, where a window of width {kernel} "
            f"has {windows} places; it needs {kernel ** len(shape)}. Use a smaller kernel{larger}, or "
            "adaptive, on coil images."
        )
    for axis, (n, width) in enumerate(zip(shape, widths, strict=True)):
        kspace = kspace.narrow(axis + 1, n // 2 - width // 2, width)
    return kspace


def _signal_space(middle: torch.Tensor, kernel: int, threshold: float) -> torch.Tensor:
    """Orthonormal basis of the space of windows, shape (coils * kernel**d, rank)."""
    coils, dimensions = len(middle), middle.ndim - 1
    windows = middle.to(torch.complex128)
    for axis in range(1, dimensions + 1):
        windows = windows.unfold(axis, kernel, 1)
    # (coils, *places, *kernel) to one window in each column
    windows = windows.permute(0, *range(dimensions + 1, 2 * dimensions + 1), *range(1, dimensions + 1))
    windows = windows.reshape(coils * kernel**dimensions, -1)
    # singular vectors from the smaller gram matrix: for volumes in half the time
    tall = windows.shape[0] > windows.shape[1]
    squares, vectors = torch.linalg.eigh(windows.mH @ windows if tall else windows @ windows.mH)
    signal = squares > threshold**2 * squares[-1]
    basis = windows @ (vectors[:, signal] / squares[signal].sqrt()) if tall else vectors[:, signal]
    if coils > 1 and basis.shape[1] == min(windows.shape):
        raise DataError(
            f"No singular value of the windows is below threshold={threshold}: the coils are not correlated, "
            "as in noise, or the middle of k-space is too small. Use a larger threshold, or a smaller kernel."
        )
    return basis


def _lag_sums(basis: torch.Tensor, coils: int, kernel: int, dimensions: int) -> torch.Tensor:
    """Coefficients of the matrices at the pixels, shape ``(2 * kernel - 1,) * dimensions + (coils**2,)``.

    At a pixel a window is the vector ``s_c exp(-2 pi i k r / N)``; the projection P between two such, over
    the norm of the exponentials, is ``sum_d exp(2 pi i d r / N) sum_(k - l = d) P[k, l] / kernel**d``.
    """
    entries, lags = kernel**dimensions, 2 * kernel - 1
    projection = (basis @ basis.mH).reshape(coils, entries, coils, entries)
    projection = projection.permute(1, 3, 0, 2).reshape(entries**2, coils**2)
    place = torch.cartesian_prod(*[torch.arange(kernel)] * dimensions).reshape(entries, dimensions)
    lag = place[:, None] - place[None] + kernel - 1
    flat = (lag * lags ** torch.arange(dimensions - 1, -1, -1)).sum(-1).flatten()
    sums = projection.new_zeros(lags**dimensions, coils**2)
    sums = sums.index_add_(0, flat.to(projection.device), projection) / entries
    return sums.reshape(*(lags,) * dimensions, coils**2)


def _waves(n: int, kernel: int, like: torch.Tensor) -> torch.Tensor:
    """``exp(2 pi i d r / n)`` at all pixels r and lags d, shape (n, 2 * kernel - 1)."""
    turns = torch.outer(torch.arange(n) - n // 2, torch.arange(1 - kernel, kernel)).double() / n
    return torch.polar(torch.ones_like(turns), 2 * math.pi * turns).to(like)
