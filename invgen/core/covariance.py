"""Covariances of noise."""

from __future__ import annotations

from typing import Any

import torch

from invgen.core.errors import ParameterError, ShapeError

__all__ = ["covariance_factor"]

#: What rounding in single precision, and sums in another order, leave of the two triangles of a covariance.
_ROUNDING = 1e-5


def covariance_factor(covariance: Any) -> torch.Tensor:
    """The lower triangular L of ``covariance = L L.H``, by Cholesky, in double precision.

    Parameters
    ----------
    covariance : Hermitian positive definite tensor, shape (k, k)

    Raises
    ------
    ShapeError, ParameterError
        For what is no covariance.
    """
    matrix = torch.as_tensor(covariance).detach()
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.numel():
        raise ShapeError(f"A covariance is a square matrix; got the shape {tuple(matrix.shape)}.")
    matrix = matrix.to(torch.promote_types(matrix.dtype, torch.float64))
    factor, info = torch.linalg.cholesky_ex(matrix)
    # only the lower triangle is read, and NaN in it makes NaN; entries are judged by the levels of their own
    # coils, which may be far apart
    levels = matrix.diagonal().real.clamp(min=0).sqrt()
    hermitian = bool(((matrix - matrix.mH).abs() <= _ROUNDING * torch.outer(levels, levels)).all())
    if info or not hermitian or not bool(factor.isfinite().all()):
        raise ParameterError("A covariance must be Hermitian and positive definite; this one is not.")
    return factor
