"""Non-uniform FFT by FINUFFT, with plans that are made once and kept."""

from __future__ import annotations

from threading import Lock
from typing import Any

import torch

from invgen.core.threads import apart_from_openmp

__all__ = ["Finufft"]

#: Relative accuracy requested of FINUFFT. The error against the direct sum is below 1e-4 and 1e-10.
ACCURACY = {torch.complex64: 1e-5, torch.complex128: 1e-12}

#: Of the exponent, by FINUFFT's number of the transform.
SIGN = {1: 1, 2: -1}


class Finufft:
    """The transforms of `invgen.operators.nufft.NUFFT` in one precision.

    Parameters
    ----------
    shape : tuple of int
    points : float64 tensor, shape (dimensions, M)
        In radians per pixel, between -pi and pi.
    like : tensor
        Its precision.
    threads : int
        That `forward` plans for.
    """

    def __init__(
        self, shape: tuple[int, ...], points: torch.Tensor, like: torch.Tensor, threads: int
    ) -> None:
        self._shape, self._dtype, self._threads = shape, like.dtype, threads
        self._points = points.to(like.dtype.to_real())
        self._lock = Lock()
        self._plans: dict[int, Any] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Complex images (batch, *shape) to values at the points, (batch, M)."""
        return self._execute(2, x, x.new_empty(len(x), self._points.shape[1]))

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Values at the points (batch, M) to complex images (batch, *shape)."""
        return self._execute(1, y, y.new_empty(len(y), *self._shape))

    def _execute(self, kind: int, data: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
        def transform() -> None:
            with self._lock:  # a plan holds scratch memory
                if kind not in self._plans:
                    self._plans[kind] = self._make_plan(kind)
                # one transform at a time makes a batch equal to its elements to the bit
                for one, out in zip(data, result, strict=True):
                    self._plans[kind].execute(one.numpy(), out=out.numpy())

        apart_from_openmp(transform)
        return result

    def _make_plan(self, kind: int) -> Any:
        import finufft

        single = self._dtype == torch.complex64
        # In type 1 several threads add their parts to the grid in the order in which they finish, and the
        # rounding of the sum depends on it: one thread gives the same bits every time, and costs little.
        threads = 1 if kind == 1 else self._threads
        # the small grid is the fast one, and accurate enough for images in single precision; of volumes it
        # magnifies rounding at each of three axes, and saves no time
        grid = 1.4 if single and len(self._shape) == 2 else 2.0
        name, eps, sign = str(self._dtype).removeprefix("torch."), ACCURACY[self._dtype], SIGN[kind]
        plan = finufft.Plan(kind, self._shape, 1, eps, sign, name, nthreads=threads, upsampfac=grid)
        plan.setpts(*self._points.numpy())
        return plan
