"""The adjoint of finite differences, compiled for the CPU: one pass through memory.

Each thread writes its own rows: the same bits with any number of threads.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit, prange

from invgen.core.threads import parallel

__all__ = ["adjoint", "planes"]


def adjoint(y: torch.Tensor, shape: tuple[int, ...], axes: tuple[int, ...]) -> torch.Tensor:
    """Differences (*batch, directions, *shape) along the last two or three axes to (*batch, *shape)."""
    y = y.contiguous()
    x = y.new_empty(*y.shape[: -1 - len(shape)], *shape)
    depth = shape[-3] if len(axes) == 3 else 1
    _adjoint(planes(y, shape, len(axes)), depth, planes(x, shape))
    return x


def planes(x: torch.Tensor, shape: tuple[int, ...], *directions: int) -> np.ndarray:
    """Memory of images as loops take it: (batch, planes, H, W), or (batch, directions, planes, H, W).

    Planes are images along the last two axes of `shape`, those before taken together.
    """
    return x.detach().reshape(-1, *directions, math.prod(shape[:-2]), *shape[-2:]).numpy()


@parallel
def _adjoint(y, depth, x):
    """Write images `x` (batch, planes, H, W), from differences `y` (batch, 2 or 3, planes, H, W).

    With three directions the first one is along the planes, of which `depth` make a volume.
    """
    batch, directions, planes, height, width = y.shape
    for number in prange(batch * planes * height):
        row = np.int64(number)
        b, p, i = row // (planes * height), row // height % planes, row % height
        out = x[b, p, i]
        out[:] = 0
        if directions == 3:
            if p % depth > 0:
                _add(y[b, 0, p - 1, i], out)
            if p % depth < depth - 1:
                _subtract(y[b, 0, p, i], out)
        if i > 0:
            _add(y[b, directions - 2, p, i - 1], out)
        if i < height - 1:
            _subtract(y[b, directions - 2, p, i], out)
        across = y[b, directions - 1, p, i, : width - 1]
        _add(across, out[1:])
        _subtract(across, out[: width - 1])


@njit(cache=True, error_model="numpy")
def _add(row, out):
    for j in range(len(row)):
        out[j] += row[j]


@njit(cache=True, error_model="numpy")
def _subtract(row, out):
    for j in range(len(row)):
        out[j] -= row[j]
