"""A small matrix along each axis of an image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from invgen.core.batching import each_alone
from invgen.core.frozen import Constant
from invgen.core.space import Space
from invgen.operators.linear import SVD, LinearOperator
from invgen.operators.spectral import solve_by_svd

__all__ = ["Separable"]


class Separable(LinearOperator):
    """Kronecker product of real matrices, one for each of the last axes; the other axes are channels.

    Parameters
    ----------
    matrices : sequence of real tensors, shapes (m_i, n_i)
    channels : tuple of int
        Axes before those of the matrices.
    field : {"real", "complex"}
    """

    def __init__(self, matrices: Sequence[Any], channels: tuple[int, ...] = (), field: str = "real") -> None:
        super().__init__(
            Space((*channels, *(m.shape[1] for m in matrices)), field),
            Space((*channels, *(m.shape[0] for m in matrices)), field),
        )
        self._matrices = tuple(Constant(m) for m in matrices)
        self._channels = tuple(channels)
        self.nonnegative = all(bool((m >= 0).all()) for m in matrices)

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return _multiplied(x, [m.like(x) for m in self._matrices], self.domain.ndim)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return _multiplied(y, [m.like(y).T for m in self._matrices], self.range.ndim)

    @cached_property
    def _factors(self) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        return [torch.linalg.svd(m.value.double(), full_matrices=False) for m in self._matrices]

    def _norm(self) -> float:
        norm = 1.0
        for _, s, _ in self._factors:
            norm *= float(s.max())
        return norm

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        return solve_by_svd(self.svd, b, shift)

    def _svd(self) -> SVD:
        """Kronecker product of the matrices' own."""
        s = torch.ones((), dtype=torch.float64)
        for _, values, _ in self._factors:
            s = s[..., None] * values
        U, V = (
            Separable(factors, self._channels, self.domain.field)
            for factors in ([U for U, _, _ in self._factors], [Vh.T for _, _, Vh in self._factors])
        )
        return SVD(U, s.expand(U.domain.shape), V)


def _multiplied(x: torch.Tensor, matrices: list[torch.Tensor], axes: int) -> torch.Tensor:
    """Multiply the last axes of each batch element by a matrix each."""

    def product(part: torch.Tensor) -> torch.Tensor:
        # of one image without a batch axis: products of two matrices are faster than batches of one
        y = _along_axes(part.squeeze(0), matrices)
        return y.reshape(len(part), *y.shape[y.ndim - axes :])

    return each_alone(product, x, axes)


def _along_axes(x: torch.Tensor, matrices: list[torch.Tensor]) -> torch.Tensor:
    """Multiply the last axes by a matrix each, the last one first."""
    for i, matrix in enumerate(reversed(matrices)):
        moved = x.transpose(-1 - i, -1) @ matrix.T.to(x.dtype)
        x = moved.transpose(-1 - i, -1).contiguous()
    return x
