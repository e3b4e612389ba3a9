"""Averages of blocks of pixels."""

from __future__ import annotations

import torch

from invgen.core.frozen import Constant
from invgen.core.space import Space
from invgen.operators.basic import Identity
from invgen.operators.linear import SVD, LinearOperator
from invgen.operators.spectral import solve_by_svd

__all__ = ["Blocks"]


class Blocks(LinearOperator):
    """Sum over each block of pixels, divided by a power of their number.

    Power 1 averages; 1/2 has orthonormal rows. Blocks tile the last axes; those at the end may be partial.

    Parameters
    ----------
    shape : tuple of int
    factors : tuple of int
        Size of the blocks along each of the last axes.
    field : {"real", "complex"}
    power : float
    """

    nonnegative = True

    def __init__(
        self, shape: tuple[int, ...], factors: tuple[int, ...], field: str = "real", power: float = 1.0
    ) -> None:
        axes = len(shape) - len(factors)
        sizes = tuple(-(-n // f) for n, f in zip(shape[axes:], factors, strict=True))
        super().__init__(Space(shape, field), Space((*shape[:axes], *sizes), field))
        self._factors = factors
        counts = torch.ones((), dtype=torch.float64)
        for n, f, size in zip(shape[axes:], factors, sizes, strict=True):
            counts = counts[..., None] * (n - f * torch.arange(size)).clamp(max=f)
        self._counts, self._weights = counts, Constant(counts**-power)

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        for axis, factor in enumerate(self._factors, -len(self._factors)):
            # slice by slice, in the same order for a batch as for its elements
            parts = [x.transpose(axis, -1)[..., i::factor].transpose(axis, -1) for i in range(factor)]
            x = parts[0].clone()
            for part in parts[1:]:
                x.narrow(axis, 0, part.shape[axis]).add_(part)
        return x.mul_(self._weights.like(x))

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        x = self._weights.like(y) * y
        for axis, factor in enumerate(self._factors, -len(self._factors)):
            single = x.unsqueeze(x.ndim + axis + 1)
            copies = single.expand(*(factor if i == x.ndim + axis + 1 else -1 for i in range(x.ndim + 1)))
            x = copies.flatten(x.ndim + axis, x.ndim + axis + 1).narrow(axis, 0, self.domain.shape[axis])
        return x.contiguous()

    @property
    def _row_norms(self) -> torch.Tensor:
        return self._weights.value * self._counts.sqrt()

    def _svd(self) -> SVD:
        """Blocks do not overlap: the rows are orthogonal, and their norms the singular values."""
        s = self._row_norms.expand(self.range.shape)
        rows = Blocks(self.domain.shape, self._factors, self.domain.field, power=0.5)
        return SVD(Identity(self.range.shape, self.range.field), s, rows.H)

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        return solve_by_svd(self.svd, b, shift)

    def _norm(self) -> float:
        return float(self._row_norms.max())
