"""Fewer, virtual coils."""

from __future__ import annotations

from typing import Any

import torch

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.operators.mri.coils.data import checked, coil_gram

__all__ = ["compression_matrix", "mix"]


def compression_matrix(kspace: Any, count: int | None = None, *, energy: float = 0.99) -> torch.Tensor:
    """Matrix from coils to the fewer virtual coils that see most, by a singular value decomposition.

    `mix` applies it: to k-space, and to everything else that has coils. Rows are orthonormal, so that white
    noise stays white and of the same level; noise that is not is whitened first, see `whitening_matrix`.

    Parameters
    ----------
    kspace : complex tensor, shape (coils, ...)
        Any samples, also on no grid, or images.
    count : int, optional
        Of virtual coils; by default as few as keep `energy`.
    energy : float
        Part of ``|kspace|^2`` to keep, in (0, 1].

    Returns
    -------
    complex tensor, shape (count, coils)
        In the order of what the virtual coils see, the most first. What is kept of the energy is
        ``mix(matrix, kspace).norm() ** 2 / kspace.norm() ** 2``.

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        For data without coils, NaN, zeros, and more virtual coils than there are real ones.

    References
    ----------
    Buehrer et al. (2007), Array compression for MRI with large coil arrays; Huang et al. (2008), A software
    channel compression technique for faster reconstruction with many channels.
    """
    kspace = checked(kspace, "compression_matrix", "data of shape (coils, ...)")
    if count is not None:
        count = as_count(count, "count, at most the number of coils,", most=len(kspace))
    if not 0 < energy <= 1:
        raise ParameterError(f"energy is a part of all, in (0, 1]; got {energy!r}.")
    values, vectors = torch.linalg.eigh(coil_gram(kspace))
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    if count is None:
        kept = values.cumsum(0) / values.sum()
        # the sum of all may be below one by rounding
        count = min(int((kept < energy).sum()) + 1, len(kspace))
    return vectors[:, :count].mH.to(kspace.dtype)


def mix(matrix: Any, data: Any, axis: int = 0) -> torch.Tensor:
    """Apply a matrix to the coils: k-space, images, maps and noise scans alike.

    Parameters
    ----------
    matrix : tensor, shape (k, coils)
        Such as of `compression_matrix` or `whitening_matrix`.
    data : tensor
    axis : int
        Where the coils are, and the k new ones will be.

    Returns
    -------
    tensor
        In the precision of `data`.

    Raises
    ------
    ShapeError
        Where the matrix has not as many columns as there are coils.
    """
    matrix, data = torch.as_tensor(matrix), torch.as_tensor(data)
    fits = matrix.ndim == 2 and -data.ndim <= axis < data.ndim
    if not fits or data.shape[axis] != matrix.shape[1]:
        raise ShapeError(
            f"mix expects a matrix of shape (k, coils), with as many coils as there are in axis {axis} of "
            f"the data; got {tuple(matrix.shape)} and {tuple(data.shape)}."
        )
    dtype = data.dtype.to_complex() if matrix.is_complex() else data.dtype
    mixed = torch.tensordot(matrix.to(data.device, dtype), data.to(dtype), dims=([1], [axis]))
    return mixed.movedim(0, axis)
