"""Non-uniform fast Fourier transform by FINUFFT, with plans that are made once and kept."""

from __future__ import annotations

import math
import threading
from typing import Any

import torch

from invgen.core.frozen import Constant, Frozen

__all__ = ["NUFFT"]

#: Requested relative accuracy. The error against the direct sum is below 1e-4 and 1e-10.
_ACCURACY = {torch.complex64: 1e-5, torch.complex128: 1e-12}


class NUFFT(Frozen):
    """Fourier transform of an image at any frequencies, and its exact adjoint.

    ``forward(x)[m] = sum_n x[n] exp(-2 pi i k_m . (n - N // 2))``.

    Parameters
    ----------
    shape : tuple of int
        Shape (H, W) or (D, H, W) of the image.
    points : float64 tensor, shape (M, len(shape))
        Frequencies in cycles per pixel, one column for each axis of the image, in its order.
    """

    def __init__(self, shape: tuple[int, ...], points: torch.Tensor) -> None:
        self.shape = tuple(shape)
        # FINUFFT takes radians per pixel and is most accurate in the first period
        self._points = Constant(2 * math.pi * (points - torch.round(points)).T.contiguous())
        self._plans: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Complex images (batch, H, W) or (batch, D, H, W) to values at the points, (batch, M)."""
        return self._execute(2, x.contiguous(), (len(x), self._points.value.shape[1]))

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Values at the points (batch, M) to complex images (batch, H, W) or (batch, D, H, W)."""
        return self._execute(1, y.contiguous(), (len(y), *self.shape))

    def _execute(self, kind: int, data: torch.Tensor, result_shape: tuple[int, ...]) -> torch.Tensor:
        result = data.new_empty(result_shape)
        plan = self._plan(kind, data)
        # one transform at a time makes a batch equal to its elements to the bit; a plan holds scratch memory
        with self._lock:
            for one, out in zip(data, result, strict=True):
                if data.is_cuda:
                    plan.execute(one, out=out)
                else:
                    plan.execute(one.numpy(), out=out.numpy())
        return result

    def _plan(self, kind: int, data: torch.Tensor) -> Any:
        key = (kind, data.dtype, data.device)
        with self._lock:
            if key not in self._plans:
                self._plans[key] = self._make_plan(kind, data)
            return self._plans[key]

    def _make_plan(self, kind: int, data: torch.Tensor) -> Any:
        eps, sign = _ACCURACY[data.dtype], 1 if kind == 1 else -1
        dtype = str(data.dtype).removeprefix("torch.")
        points = self._points.like(data)
        if data.is_cuda:
            import cufinufft

            plan = cufinufft.Plan(kind, self.shape, 1, eps, sign, dtype)
            plan.setpts(*points)
            return plan
        import finufft

        # In type 1 several threads add their parts to the grid in the order in which they end, and the sum
        # rounds with that order: one thread returns the same bits every time, and costs little.
        threads = 1 if kind == 1 else torch.get_num_threads()
        # the small grid is the fast one, and accurate enough for images in single precision; of volumes it
        # magnifies rounding at each of three axes, and saves no time
        grid = 1.4 if data.dtype == torch.complex64 and len(self.shape) == 2 else 2.0
        plan = finufft.Plan(kind, self.shape, 1, eps, sign, dtype, nthreads=threads, upsampfac=grid)
        plan.setpts(*points.numpy())
        return plan

    def __getstate__(self) -> dict[str, Any]:
        return {"shape": self.shape, "_points": self._points}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _plans={}, _lock=threading.Lock(), _frozen=True)
