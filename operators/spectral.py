"""Solutions through a singular value decomposition."""

from __future__ import annotations

import torch

from invgen.core.batching import element_numbers
from invgen.operators.linear import SVD

__all__ = ["solve_by_svd"]


def solve_by_svd(svd: SVD | None, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
    """Closed form of ``(A.H A + shift)^-1 b``; for singular systems the solution of smallest norm.

    Parameters
    ----------
    svd : SVD
        Of A, which must have one.
    b : tensor, shape (*batch, *domain.shape)
    shift : non-negative number, or tensor that broadcasts to `b`
    """
    assert svd is not None
    values, V = svd.values(b), svd.V
    coefficients = V._adjoint(b)
    shift = torch.as_tensor(shift, dtype=values.dtype, device=b.device)
    own = shift
    if shift.ndim:  # coefficients may have another number of axes than images
        own = V.domain.per_sample(element_numbers(shift, V.range.ndim))
    if values.numel() == V.range.size:  # no complement
        return V._apply(divide(coefficients, values**2 + own, values))
    # V diag(1 / (s^2 + shift)) V.H b + (1 - V V.H) b / shift, with one application of V; without shift the
    # complement is undetermined, and zero is its solution of smallest norm
    inside = divide(torch.ones_like(values), values**2 + own, values) - _reciprocal(own)
    return V._apply(inside * coefficients).add_(_reciprocal(shift) * b)


def _reciprocal(shift: torch.Tensor) -> torch.Tensor:
    """``1 / shift``, and zero for zero."""
    return torch.where(shift > 0, 1 / shift, 0)


def divide(b: torch.Tensor, curvature: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """``b / curvature``, and zero where the curvature is rounding alone, relative to the largest of `s`."""
    small = curvature <= (s.max() * max(s.shape) * torch.finfo(s.dtype).eps) ** 2
    return torch.where(small, 0, b / torch.where(small, 1, curvature))
