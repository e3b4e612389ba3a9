"""Covariances of noise."""

from __future__ import annotations

from typing import Any

import torch

from invgen.core.errors import ParameterError, ShapeError

__all__ = ["covariance_factor"]

#: Relative difference of the two triangles of a covariance that rounding in single precision can cause.
_ROUNDING = 1e-5


def covariance_factor(covariance: Any) -> torch.Tensor:
    """The lower triangular L of ``covariance = L L.H``, by Cholesky, in double precision.

    Parameters
    ----------
    covariance : Hermitian positive definite tensor, shape (k, k)

    Raises
    ------
    ShapeError, ParameterError
        For a matrix that is not square, or not Hermitian and positive definite.
    """
    matrix = torch.as_tensor(covariance).detach()
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.numel():
        raise ShapeError(f"A covariance is a square matrix; got the shape {tuple(matrix.shape)}.")
    matrix = matrix.to(torch.promote_types(matrix.dtype, torch.float64))
    factor, info = torch.linalg.cholesky_ex(matrix)
    # the factorization reads the lower triangle only, and NaN in it makes NaN; an entry is compared with the
    # noise levels of its own two channels, which may differ by orders of magnitude
    levels = matrix.diagonal().real.clamp(min=0).sqrt()
    hermitian = bool(((matrix - matrix.mH).abs() <= _ROUNDING * torch.outer(levels, levels)).all())
    if info or not hermitian or not bool(factor.isfinite().all()):
        raise ParameterError("A covariance must be Hermitian and positive definite; this one is not.")
    return factor
