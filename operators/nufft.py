"""Non-uniform fast Fourier transform by FINUFFT, with plans that are made once and kept."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import torch

from invgen.core.frozen import Constant, Frozen
from invgen.core.threads import apart_from_openmp
from invgen.operators.fine_grid import FineGrid

__all__ = ["NUFFT"]

#: Relative accuracy requested of cuFINUFFT.
_ACCURACY = {torch.complex64: 1e-5, torch.complex128: 1e-12}

#: Writes the transform of one array to another.
Plan = Callable[[torch.Tensor, torch.Tensor], None]


@dataclass
class _Plans:
    """Of one process: a forked child makes its own, and shares no lock that may be held in its parent."""

    lock: Lock = field(default_factory=Lock)
    made: dict[tuple[int, torch.dtype, torch.device], Plan] = field(default_factory=dict)


class NUFFT(Frozen):
    """Fourier transform of an image at any frequencies, and its exact adjoint.

    ``forward(x)[m] = sum_n x[n] exp(-2 pi i k_m . (n - N // 2))``.

    Parameters
    ----------
    shape : tuple of int
        Shape (H, W) or (D, H, W) of the image.
    points : float64 tensor, shape (M, len(shape))
        Frequencies in cycles per pixel, one column for each axis of the image, in its order.

    Any number of threads gives the same bits.
    """

    def __init__(self, shape: tuple[int, ...], points: torch.Tensor) -> None:
        self.shape = tuple(shape)
        # FINUFFT takes radians per pixel and is most accurate in the first period
        self._points = Constant(2 * math.pi * (points - torch.round(points)).T.contiguous())
        self._plans: dict[int, _Plans] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Complex images (batch, H, W) or (batch, D, H, W) to values at the points, (batch, M)."""
        return self._execute(2, x.contiguous(), (len(x), self._points.value.shape[1]))

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Values at the points (batch, M) to complex images (batch, H, W) or (batch, D, H, W)."""
        return self._execute(1, y.contiguous(), (len(y), *self.shape))

    def _execute(self, kind: int, data: torch.Tensor, result_shape: tuple[int, ...]) -> torch.Tensor:
        result = data.new_empty(result_shape)

        def transform() -> None:
            plans, key = self._plans.setdefault(os.getpid(), _Plans()), (kind, data.dtype, data.device)
            with plans.lock:  # a plan holds scratch memory
                if key not in plans.made:
                    plans.made[key] = self._make_plan(kind, data)
                # one transform at a time makes a batch equal to its elements to the bit
                for one, out in zip(data, result, strict=True):
                    plans.made[key](one, out)

        apart_from_openmp(transform)
        return result

    def _make_plan(self, kind: int, data: torch.Tensor) -> Plan:
        eps, sign = _ACCURACY[data.dtype], 1 if kind == 1 else -1
        dtype = str(data.dtype).removeprefix("torch.")
        points = self._points.like(data)
        if data.is_cuda:
            import cufinufft

            on_gpu = cufinufft.Plan(kind, self.shape, 1, eps, sign, dtype)
            on_gpu.setpts(*points)
            return lambda one, out: on_gpu.execute(one, out=out)
        return FineGrid(kind, self.shape, points, data.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {"shape": self.shape, "_points": self._points}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _plans={}, _frozen=True)
