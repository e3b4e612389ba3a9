"""Sums between points and the cells of a grid, written for GPUs.

Both directions gather: the same bits every time. Points are sorted, so that those of a program lie close to
one another in memory. A tile sums the points of a block as a product of two matrices, of their weights along
rows and along columns. Complex numbers are real and imaginary parts side by side.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from invgen.core.launch import kernel
from invgen.operators.nonuniform.gridding_torch import SHAPE_PER_CELL, TILE, Layout

__all__ = ["interpolate", "spread"]

_SHAPE = tl.constexpr(SHAPE_PER_CELL)


def interpolate(layout: Layout, grid: torch.Tensor) -> torch.Tensor:
    """Values at the points, complex (batch, M), of complex grids (batch, *layout.grid)."""
    count = len(layout.order)
    values = grid.new_empty(len(grid), count)
    _interpolate(
        lambda blocks: (triton.cdiv(count, blocks["BLOCK"]), len(grid)),
        *(torch.view_as_real(grid.contiguous()), layout.first, layout.offset, layout.order),
        torch.view_as_real(values),
        *(count, *layout.grid, layout.reach[0], layout.reach[2], triton.next_power_of_2(layout.reach[2])),
    )
    return values


def spread(layout: Layout, values: torch.Tensor) -> torch.Tensor:
    """Transpose of `interpolate`: values at the points, (batch, M), to grids (batch, *layout.grid)."""
    grid = values.new_empty(len(values), *layout.grid)
    parts = values.new_empty(len(values), layout.parts, TILE, TILE)
    cells, sums = torch.view_as_real(grid), torch.view_as_real(parts)
    _spread(
        lambda blocks: (len(layout.pieces), len(values)),
        *(torch.view_as_real(values.contiguous()), layout.first, layout.offset, layout.order),
        *(layout.listed, layout.pieces, cells, sums),
        *(len(layout.order), layout.parts, *layout.grid, layout.reach[0], layout.reach[2], TILE),
    )
    if layout.parts:
        _collect(
            lambda blocks: (len(layout.crowded), len(values)),
            *(sums, cells, layout.crowded),
            *(layout.parts, math.prod(layout.grid), *layout.grid[1:], TILE),
        )
    return grid


@triton.jit
def _weight(distance, cell, WIDTH: tl.constexpr):
    """The "exponential of semicircle" kernel, Barnett et al. (2019), eq. 1.8, negative at odd cells."""
    z = distance * (2.0 / WIDTH)
    value = tl.exp((tl.sqrt(tl.maximum(1.0 - z * z, 0.0)) - 1.0) * (_SHAPE * WIDTH))
    return tl.where(cell % 2 == 1, -value, value)


@triton.jit
def _weight_at(cell, first, offset, n, WIDTH: tl.constexpr):
    """Weight of a cell for a point whose first cell is `first`, and 0 out of its reach; n cells go around."""
    step = cell - first
    step = tl.where(step < 0, step + n, step)
    return tl.where(step < WIDTH, _weight(offset + step, cell, WIDTH), 0.0)


@kernel(
    {"BLOCK": 32, "num_warps": 4},
    {"BLOCK": 64, "num_warps": 4},
    {"BLOCK": 32, "num_warps": 2},
    {"BLOCK": 128, "num_warps": 8},
    key=("count", "depth", "rows", "columns", "WIDTH"),
)
def _interpolate(
    grid,
    first,
    offset,
    order,
    values,
    count,
    depth,
    rows,
    columns,
    DEEP: tl.constexpr,
    WIDTH: tl.constexpr,
    LANES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write `values`, BLOCK points in a program; the cells along a row lie side by side, in LANES."""
    batch = tl.program_id(1).to(tl.int64)
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = point < count
    across = first + count + point
    row = tl.load(across, mask=live, other=0)
    column = tl.load(across + count, mask=live, other=0)[:, None]
    down = tl.load(offset + count + point, mask=live, other=0.0)
    right = tl.load(offset + 2 * count + point, mask=live, other=0.0)[:, None]
    if DEEP > 1:
        layer = tl.load(first + point, mask=live, other=0)
        below = tl.load(offset + point, mask=live, other=0.0)

    lane = tl.arange(0, LANES)[None, :]
    reached = live[:, None] & (lane < WIDTH)
    along = column + lane
    along = tl.where(along >= columns, along - columns, along)
    real = tl.zeros((BLOCK, LANES), dtype=values.dtype.element_ty)
    imaginary = tl.zeros((BLOCK, LANES), dtype=values.dtype.element_ty)
    for i in range(DEEP):
        plane = batch * depth + tl.zeros((BLOCK,), dtype=tl.int64)
        if DEEP > 1:
            z = layer + i
            z = tl.where(z >= depth, z - depth, z)
            plane += z
        for j in range(WIDTH):
            y = row + j
            y = tl.where(y >= rows, y - rows, y)
            weight = _weight(down + j, y, WIDTH)
            if DEEP > 1:
                weight *= _weight(below + i, z, WIDTH)
            cell = 2 * ((plane * rows + y)[:, None] * columns + along)
            real += weight[:, None] * tl.load(grid + cell, mask=reached, other=0.0)
            imaginary += weight[:, None] * tl.load(grid + cell + 1, mask=reached, other=0.0)
    weight = _weight(right + lane, along, WIDTH)
    place = 2 * (batch * count + tl.load(order + point, mask=live, other=0))
    tl.store(values + place, tl.sum(real * weight, axis=1), mask=live)
    tl.store(values + place + 1, tl.sum(imaginary * weight, axis=1), mask=live)


@kernel(
    {"BLOCK": 32, "num_warps": 4},
    {"BLOCK": 16, "num_warps": 2},
    {"BLOCK": 32, "num_warps": 2},
    {"BLOCK": 64, "num_warps": 4},
    key=("count", "depth", "rows", "columns", "WIDTH"),
)
def _spread(
    values,
    first,
    offset,
    order,
    listed,
    pieces,
    grid,
    parts,
    count,
    part_count,
    depth,
    rows,
    columns,
    DEEP: tl.constexpr,
    WIDTH: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Sum the points of one of the `pieces` into a tile of `grid`, or into one of its `parts`."""
    batch = tl.program_id(1).to(tl.int64)
    piece = pieces + 4 * tl.program_id(0)
    tile, begin, end, part = tl.load(piece), tl.load(piece + 1), tl.load(piece + 2), tl.load(piece + 3)
    wide = columns // TILE
    high = rows // TILE
    z = tile // (high * wide)
    y = tile // wide % high * TILE + tl.arange(0, TILE)
    x = tile % wide * TILE + tl.arange(0, TILE)

    real = tl.zeros((TILE, TILE), dtype=grid.dtype.element_ty)
    imaginary = tl.zeros((TILE, TILE), dtype=grid.dtype.element_ty)
    for start in range(begin, end, BLOCK):
        place = start + tl.arange(0, BLOCK)
        live = place < end
        point = tl.load(listed + place, mask=live, other=0)
        value = values + 2 * (batch * count + tl.load(order + point, mask=live, other=0))
        a = tl.load(value, mask=live, other=0.0)
        b = tl.load(value + 1, mask=live, other=0.0)
        if DEEP > 1:
            above = tl.load(first + point, mask=live, other=0)
            weight = _weight_at(z, above, tl.load(offset + point, mask=live, other=0.0), depth, DEEP)
            a *= weight
            b *= weight
        row = tl.load(first + count + point, mask=live, other=0)[None, :]
        down = tl.load(offset + count + point, mask=live, other=0.0)[None, :]
        column = tl.load(first + 2 * count + point, mask=live, other=0)[:, None]
        right = tl.load(offset + 2 * count + point, mask=live, other=0.0)[:, None]
        left = _weight_at(y[:, None], row, down, rows, WIDTH)
        other = _weight_at(x[None, :], column, right, columns, WIDTH)
        real = tl.dot(left * a[None, :], other, real, input_precision="ieee", out_dtype=real.dtype)
        imaginary = tl.dot(
            left * b[None, :], other, imaginary, input_precision="ieee", out_dtype=imaginary.dtype
        )
    if part < 0:
        target = grid + 2 * ((batch * depth + z) * rows * columns + y[:, None] * columns + x[None, :])
    else:
        inner = tl.arange(0, TILE)[:, None] * TILE + tl.arange(0, TILE)[None, :]
        target = parts + 2 * ((batch * part_count + part) * TILE * TILE + inner)
    tl.store(target, real)
    tl.store(target + 1, imaginary)


@kernel({"BLOCK": 32})
def _collect(parts, grid, crowded, part_count, cells, rows, columns, TILE: tl.constexpr, BLOCK: tl.constexpr):
    """Sum the parts of one of the `crowded` tiles into `grid`; BLOCK real numbers are a row of the tile."""
    batch = tl.program_id(1).to(tl.int64)
    entry = crowded + 3 * tl.program_id(0)
    tile, begin, end = tl.load(entry), tl.load(entry + 1), tl.load(entry + 2)
    row, number = tl.arange(0, TILE)[:, None], tl.arange(0, BLOCK)[None, :]
    total = tl.zeros((TILE, BLOCK), dtype=grid.dtype.element_ty)
    for part in range(begin, end):
        total += tl.load(parts + ((batch * part_count + part) * TILE + row) * BLOCK + number)
    wide = columns // TILE
    first_row = tile // wide * TILE  # of all planes, one below another
    target = 2 * (batch * cells + (first_row + row) * columns + tile % wide * TILE) + number
    tl.store(grid + target, total)
