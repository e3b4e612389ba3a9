"""Compression to fewer, virtual coils."""

from __future__ import annotations

from typing import Any

import torch

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.operators.mri.coils.data import checked, coil_gram

__all__ = ["compression_matrix", "mix"]


def compression_matrix(kspace: Any, count: int | None = None, *, energy: float = 0.99) -> torch.Tensor:
    """Matrix from coils to the virtual coils of most energy, by a singular value decomposition.

    `mix` applies it to k-space, and to everything else that has coils. Rows are orthonormal, so that white
    noise stays white, with the same level; other noise has to be whitened first, see `whitening_matrix`.

    Parameters
    ----------
    kspace : complex tensor, shape (coils, ...)
        Any samples, which need not be on a grid, or images.
    count : int, optional
        Number of virtual coils; by default the smallest that keeps `energy`.
    energy : float
        Fraction of ``|kspace|^2`` to keep, in (0, 1].

    Returns
    -------
    complex tensor, shape (count, coils)
        Virtual coils in the order of decreasing energy. The fraction of energy that is kept is
        ``mix(matrix, kspace).norm() ** 2 / kspace.norm() ** 2``.

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        For data without coils, NaN, zeros, and more virtual coils than coils.

    References
    ----------
    Buehrer et al. (2007), Array compression for MRI with large coil arrays; Huang et al. (2008), A software
    channel compression technique for faster reconstruction with many channels.
    """
    kspace = checked(kspace, "compression_matrix", "data of shape (coils, ...)")
    if count is not None:
        count = as_count(count, "count, at most the number of coils,", most=len(kspace))
    if not 0 < energy <= 1:
        raise ParameterError(f"energy is a fraction, in (0, 1]; got {energy!r}.")
    values, vectors = torch.linalg.eigh(coil_gram(kspace))
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    if count is None:
        kept = values.cumsum(0) / values.sum()
        # the sum of all may be below one by rounding
        count = min(int((kept < energy).sum()) + 1, len(kspace))
    return vectors[:, :count].mH.to(kspace.dtype)


def mix(matrix: Any, data: Any, axis: int = 0) -> torch.Tensor:
    """Apply a matrix to the coils: of k-space, images, maps and noise scans.

    Parameters
    ----------
    matrix : tensor, shape (k, coils)
        Such as from `compression_matrix` or `whitening_matrix`.
    data : tensor
    axis : int
        Axis of the coils, in the data and in the result.

    Returns
    -------
    tensor
        In the precision of `data`.

    Raises
    ------
    ShapeError
        Where the number of the matrix's columns is not that of the coils.
    """
    matrix, data = torch.as_tensor(matrix), torch.as_tensor(data)
    fits = matrix.ndim == 2 and -data.ndim <= axis < data.ndim
    if not fits or data.shape[axis] != matrix.shape[1]:
        raise ShapeError(
            f"mix expects a matrix of shape (k, coils) for data with their coils along axis {axis}; got "
            f"{tuple(matrix.shape)} and {tuple(data.shape)}."
        )
    dtype = data.dtype.to_complex() if matrix.is_complex() else data.dtype
    mixed = torch.tensordot(matrix.to(data.device, dtype), data.to(dtype), dims=([1], [axis]))
    return mixed.movedim(0, axis)
