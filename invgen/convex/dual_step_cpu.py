"""The dual step of total variation, compiled for the CPU: one pass through memory.

Each thread writes its own rows: the same bits with any number of threads.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit, prange

from invgen.core.threads import parallel
from invgen.operators.transforms.gradient_cpu import planes

__all__ = ["dual_step"]


def dual_step(
    y: torch.Tensor,
    x: torch.Tensor,
    shape: tuple[int, ...],
    step: torch.Tensor,
    weight: torch.Tensor,
    isotropic: bool,
) -> torch.Tensor:
    """The projection of ``y + step * gradient(x)`` onto balls of radius `weight`; see `dual_step_torch`."""
    new, directions = torch.empty(y.shape, dtype=y.dtype), y.shape[-1 - len(shape)]
    before, after = planes(y.contiguous(), shape, directions), planes(new, shape, directions)
    depth = shape[-3] if directions == 3 else 1
    _dual_step(before, planes(x.contiguous(), shape), depth, step.numpy(), weight.numpy(), isotropic, after)
    return new


@parallel
def _dual_step(y, x, depth, step, weight, isotropic, out):
    """Write `out`, the projection of ``y + step * gradient(x)``, of the shape of y.

    `y` is (batch, 2 or 3, planes, H, W) and `x` is (batch, planes, H, W); with three directions the first
    one is along the planes, of which `depth` make a volume. `step` and `weight` are (batch,).
    """
    batch, directions, planes, height, width = y.shape
    for number in prange(batch * planes * height):
        row = np.int64(number)
        b, p, i = row // (planes * height), row // height % planes, row % height
        s, w, here = step[b], weight[b], x[b, p, i]
        if directions == 3:
            last = p % depth == depth - 1
            _ascend(y[b, 0, p, i], here, here if last else x[b, p + 1, i], s, out[b, 0, p, i])
        below = here if i == height - 1 else x[b, p, i + 1]
        _ascend(y[b, directions - 2, p, i], here, below, s, out[b, directions - 2, p, i])
        across = out[b, directions - 1, p, i]
        _ascend(y[b, directions - 1, p, i], here, here[1:], s, across)
        across[width - 1] = y[b, directions - 1, p, i, width - 1]
        if isotropic:
            factor = np.zeros(width, dtype=x.dtype)
            for a in range(directions):
                _add_square(out[b, a, p, i], factor)
            _shorten(w, factor)
            for a in range(directions):
                _scale(factor, out[b, a, p, i])
        else:
            for a in range(directions):
                _clip(w, out[b, a, p, i])


@njit(cache=True, error_model="numpy")
def _ascend(y, here, there, step, out):
    for j in range(len(there)):
        out[j] = y[j] + step * (there[j] - here[j])


@njit(cache=True, error_model="numpy")
def _add_square(z, squares):
    for j in range(len(z)):
        squares[j] += z[j] * z[j]


@njit(cache=True, error_model="numpy")
def _shorten(radius, squares):
    """From squared magnitudes to the factors that bring them to at most `radius`."""
    for j in range(len(squares)):
        size = math.sqrt(squares[j])
        # compared the right way round, zero over zero does no harm, and NaN remains in the data
        squares[j] = radius / size if size > radius else 1


@njit(cache=True, error_model="numpy")
def _scale(factor, z):
    for j in range(len(z)):
        z[j] *= factor[j]


@njit(cache=True, error_model="numpy")
def _clip(radius, z):
    for j in range(len(z)):
        z[j] = radius if z[j] > radius else -radius if z[j] < -radius else z[j]
