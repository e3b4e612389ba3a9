"""Non-uniform FFT by cuFINUFFT, on a GPU, with plans that are made once and kept."""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.operators.nonuniform.fine_grid import ACCURACY, SIGN

__all__ = ["Cufinufft"]

#: Bytes of the grids, of twice the images' size, that one plan transforms.
_CHUNK = 1 << 29


class Cufinufft:
    """The transforms of `invgen.operators.nufft.NUFFT` in one precision, on one GPU.

    A plan is of a number of transforms. A batch is divided into powers of two, so that few plans serve all.

    Parameters
    ----------
    shape : tuple of int
    points : float64 tensor, shape (dimensions, M)
        In radians per pixel, between -pi and pi.
    like : tensor
        Its precision and its device.
    """

    def __init__(self, shape: tuple[int, ...], points: torch.Tensor, like: torch.Tensor) -> None:
        self._shape, self._dtype, self._device = shape, like.dtype, like.device
        self._points = points.to(like.device, like.dtype.to_real())
        size = 2 ** len(shape) * math.prod(shape) * like.element_size()
        self._most = 1 << max(0, int(math.log2(max(1, _CHUNK // size))))
        self._plans: dict[tuple[int, int], Any] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Complex images (batch, *shape) to values at the points, (batch, M)."""
        return self._execute(2, x, x.new_empty(len(x), self._points.shape[1]))

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Values at the points (batch, M) to complex images (batch, *shape)."""
        return self._execute(1, y, y.new_empty(len(y), *self._shape))

    def _execute(self, kind: int, data: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
        done = 0
        while done < len(data):
            count = min(self._most, 1 << ((len(data) - done).bit_length() - 1))
            part = slice(done, done + count)
            self._plan(kind, count).execute(data[part], out=result[part])
            done += count
        return result

    def _plan(self, kind: int, count: int) -> Any:
        if (kind, count) not in self._plans:
            import cufinufft

            name = str(self._dtype).removeprefix("torch.")
            device = {"gpu_device_id": self._device.index or 0}
            plan = cufinufft.Plan(kind, self._shape, count, ACCURACY[self._dtype], SIGN[kind], name, **device)
            plan.setpts(*self._points)
            self._plans[kind, count] = plan
        return self._plans[kind, count]
