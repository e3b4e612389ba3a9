"""The dual step of total variation, written for GPUs: one pass through memory."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from invgen.core.launch import kernel
from invgen.operators.transforms.gradient_gpu import TILES, tile, tiles

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
    new, directions = torch.empty(y.shape, dtype=y.dtype, device=y.device), y.shape[-1 - len(shape)]
    rows, depth = math.prod(shape[:-1]), shape[-3] if directions == 3 else 1
    total, (height, width) = x.numel() // shape[-1], shape[-2:]
    _dual_step(
        tiles(total, width),
        *(y.contiguous(), x.contiguous(), step.contiguous(), weight.contiguous(), new),
        *(total, rows, rows * width, depth, height, width, directions, int(isotropic)),
    )
    return new


@triton.jit
def _ascend(y, here, x, apart, step, inside, live):
    """``y + step * difference``, of pixels that lie `apart`, where both are `inside` the image."""
    there = tl.load(x + apart, mask=live & inside, other=0.0)
    return tl.load(y, mask=live, other=0.0) + step * tl.where(inside, there - here, 0.0)


@triton.jit
def _clip(z, radius):
    # compared so that NaN remains
    return tl.where(z > radius, radius, tl.where(z < -radius, -radius, z))


@kernel(*TILES, key=("total", "rows", "width"))
def _dual_step(
    y,
    x,
    steps,
    weights,
    new,
    total,
    rows,
    size,
    depth,
    height,
    width,
    DIRECTIONS: tl.constexpr,
    ISOTROPIC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write `new`, of the shape of y; `x` has `total` rows, of which each batch element has `rows`."""
    batch, inner, plane, row, column, live = tile(total, rows, depth, height, width, ROWS, COLUMNS)
    step = tl.load(steps + batch, mask=batch * rows < total, other=0.0)
    radius = tl.load(weights + batch, mask=batch * rows < total, other=0.0)
    x += batch * size + inner * width + column
    here = tl.load(x, mask=live, other=0.0)
    place = batch * DIRECTIONS * size + inner * width + column
    if DIRECTIONS == 3:
        deep = _ascend(y + place, here, x, height * width, step, plane < depth - 1, live)
        y += size
    down = _ascend(y + place, here, x, width, step, row < height - 1, live)
    right = _ascend(y + size + place, here, x, 1, step, column < width - 1, live)
    if ISOTROPIC:
        squares = down * down + right * right
        if DIRECTIONS == 3:
            squares += deep * deep
        length = tl.sqrt(squares)
        factor = tl.where(length > radius, radius / length, 1.0)
        down *= factor
        right *= factor
        if DIRECTIONS == 3:
            deep *= factor
    else:
        down = _clip(down, radius)
        right = _clip(right, radius)
        if DIRECTIONS == 3:
            deep = _clip(deep, radius)
    if DIRECTIONS == 3:
        tl.store(new + place, deep, mask=live)
        new += size
    tl.store(new + place, down, mask=live)
    tl.store(new + size + place, right, mask=live)
