"""A small matrix along each axis of an image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from invgen.core.frozen import Constant
from invgen.core.space import Space
from invgen.operators.base import SVD, LinearOperator
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
        return self._multiply(x, [m.like(x) for m in self._matrices], self.domain)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return self._multiply(y, [m.like(y).T for m in self._matrices], self.range)

    def _multiply(self, x: torch.Tensor, matrices: list[torch.Tensor], space: Space) -> torch.Tensor:
        flat, batch = space.flatten(x)
        if x.is_cuda or len(flat) == 1:
            y = _along_axes(x.contiguous(), matrices)
        else:
            # blocked products round with their number of rows: one by one, a batch equals its elements
            y = torch.stack([_along_axes(v.clone(), matrices) for v in flat])
        return y.reshape(*batch, *y.shape[y.ndim - len(space.shape) :])

    @cached_property
    def _factors(self) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        return [torch.linalg.svd(m.value.double(), full_matrices=False) for m in self._matrices]

    def _norm(self) -> float:
        norm = 1.0
        for _, s, _ in self._factors:
            norm *= float(s.max())
        return norm

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        return solve_by_svd(self.svd, self._singular_values, b, shift)

    @cached_property
    def _singular_values(self) -> Constant:
        return Constant(self.svd.s)

    @cached_property
    def svd(self) -> SVD:
        """Kronecker product of the matrices' own."""
        s = torch.ones((), dtype=torch.float64)
        for _, values, _ in self._factors:
            s = s[..., None] * values
        U, V = (
            Separable(factors, self._channels, self.domain.field)
            for factors in ([U for U, _, _ in self._factors], [Vh.T for _, _, Vh in self._factors])
        )
        return SVD(U, s.expand(U.domain.shape), V)


def _along_axes(x: torch.Tensor, matrices: list[torch.Tensor]) -> torch.Tensor:
    """Multiply the last axes by a matrix each, the last one first."""
    for i, matrix in enumerate(reversed(matrices)):
        moved = x.transpose(-1 - i, -1) @ matrix.T.to(x.dtype)
        x = moved.transpose(-1 - i, -1).contiguous()
    return x
