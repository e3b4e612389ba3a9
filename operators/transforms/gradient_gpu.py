"""The adjoint of finite differences, written for GPUs: one pass through memory.

Complex numbers are real and imaginary parts side by side, in rows of twice the width.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from invgen.core.launch import Grid, kernel

__all__ = ["TILES", "adjoint", "tile", "tiles"]

#: Rows and columns of what a program computes.
TILES = (
    {"ROWS": 4, "COLUMNS": 128, "num_warps": 4},
    {"ROWS": 1, "COLUMNS": 512, "num_warps": 4},
    {"ROWS": 8, "COLUMNS": 128, "num_warps": 4},
    {"ROWS": 16, "COLUMNS": 32, "num_warps": 4},
)


def adjoint(y: torch.Tensor, shape: tuple[int, ...], axes: tuple[int, ...]) -> torch.Tensor:
    """Differences (*batch, directions, *shape) along the last two or three axes to (*batch, *shape)."""
    y = y.contiguous()
    x = y.new_empty(*y.shape[: -1 - len(shape)], *shape)
    parts = 2 if y.is_complex() else 1
    height, width = shape[-2], parts * shape[-1]
    rows, depth = math.prod(shape[:-1]), shape[-3] if len(axes) == 3 else 1
    values, sums = (torch.view_as_real(each) if parts == 2 else each for each in (y, x))
    total = x.numel() // shape[-1]
    sizes = total, rows, rows * width, depth, height, width, parts, len(axes)
    _adjoint(tiles(total, width), values, sums, *sizes)
    return x


def tiles(rows: int, columns: int) -> Grid:
    """Number of tiles along the rows of all images, and along their columns."""
    return lambda blocks: (triton.cdiv(rows, blocks["ROWS"]), triton.cdiv(columns, blocks["COLUMNS"]))


@triton.jit
def tile(total, rows, depth, height, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of a tile: batch element, row of it, plane of a volume, row of a plane, column; and what is live."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inner = row % rows
    return (
        row // rows,
        inner,
        inner // height % depth,
        inner % height,
        column,
        (row < total) & (column < width),
    )


@kernel(*TILES, key=("total", "rows", "width"))
def _adjoint(
    y,
    x,
    total,
    rows,
    size,
    depth,
    height,
    width,
    parts,
    DIRECTIONS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write `x`, `total` rows of `width` numbers; a batch element has `rows` of them, `size` numbers."""
    batch, inner, plane, row, column, live = tile(total, rows, depth, height, width, ROWS, COLUMNS)
    here = y + batch * DIRECTIONS * size + inner * width + column
    value = tl.zeros((ROWS, COLUMNS), dtype=x.dtype.element_ty)
    if DIRECTIONS == 3:
        value += tl.load(here - height * width, mask=live & (plane > 0), other=0.0)
        value -= tl.load(here, mask=live & (plane < depth - 1), other=0.0)
        here += size
    value += tl.load(here - width, mask=live & (row > 0), other=0.0)
    value -= tl.load(here, mask=live & (row < height - 1), other=0.0)
    here += size
    value += tl.load(here - parts, mask=live & (column >= parts), other=0.0)
    value -= tl.load(here, mask=live & (column < width - parts), other=0.0)
    tl.store(x + batch * size + inner * width + column, value, mask=live)
