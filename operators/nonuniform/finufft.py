"""Non-uniform FFT by FINUFFT, with plans that are made once and kept."""

from __future__ import annotations

from collections import deque

import torch

from invgen.core.threads import apart_from_openmp
from invgen.operators.nonuniform.fine_grid import FineGrid

__all__ = ["Finufft"]


class Finufft:
    """The transforms of `invgen.operators.nufft.NUFFT` in one precision.

    Parameters
    ----------
    shape : tuple of int
    points : float64 tensor, shape (dimensions, M)
        In radians per pixel, between -pi and pi.
    like : tensor
        Its precision.
    """

    def __init__(self, shape: tuple[int, ...], points: torch.Tensor, like: torch.Tensor) -> None:
        self._shape, self._dtype = shape, like.dtype
        self._points = points.to(like.dtype.to_real())
        self._idle: dict[int, deque[FineGrid]] = {1: deque(), 2: deque()}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Complex images (batch, *shape) to values at the points, (batch, M)."""
        return self._execute(2, x, x.new_empty(len(x), self._points.shape[1]))

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Values at the points (batch, M) to complex images (batch, *shape)."""
        return self._execute(1, y, y.new_empty(len(y), *self._shape))

    def _execute(self, kind: int, data: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
        def transform() -> None:
            plan = self._plan(kind)
            plan(data, result)
            self._idle[kind].append(plan)

        apart_from_openmp(transform)
        return result

    def _plan(self, kind: int) -> FineGrid:
        """A plan that no other thread uses: one is not for two at once."""
        try:
            return self._idle[kind].pop()
        except IndexError:
            return FineGrid(kind, self._shape, self._points, self._dtype)
