"""What Triton's projectors share: places in whole numbers, and batches that lie side by side in memory."""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl

from invgen.core.launch import Grid

__all__ = [
    "arctangent",
    "candidates",
    "crossed",
    "panel_tile",
    "share",
    "side_by_side",
    "split",
    "spread",
    "tiles",
    "volume_tile",
]

#: Elements of a batch that lie side by side: a line of a GPU's cache in single precision.
_LANES = 32


def spread(batch: int) -> tuple[int, int, int]:
    """How programs share a batch: how many programs, groups of each, and elements of a group.

    Both are powers of two. The elements of a group lie side by side in memory; a second group lets each
    thread use what it finds of a place once more.
    """
    lanes = min(_LANES, triton.next_power_of_2(batch))
    groups = min(2, triton.cdiv(batch, lanes))
    return triton.cdiv(batch, lanes * groups), groups, lanes


def tiles(groups: int, times: int = 1, **sizes: int) -> Grid:
    """Grid of the tiles that cover some sizes, by the names of their blocks, `times` over, for each group."""

    def grid(blocks: dict[str, Any]) -> tuple[int, ...]:
        return times * math.prod(triton.cdiv(n, blocks[name]) for name, n in sizes.items()), groups

    return grid


@triton.jit
def panel_tile(columns, rows, COLUMNS: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr):
    """Of a program's tile of a panel, as of `tiles`: the view, its columns; along it rows and lanes."""
    tiles, panel = tl.cdiv(columns, COLUMNS), tl.cdiv(columns, COLUMNS) * tl.cdiv(rows * LANES, ROWS)
    view, tile = tl.program_id(0) // panel, tl.program_id(0) % panel
    column = tile % tiles * COLUMNS + tl.arange(0, COLUMNS)
    part = tile // tiles * ROWS + tl.arange(0, ROWS)
    return view, column, (part // LANES)[None, :], (part % LANES)[None, :]


@triton.jit
def volume_tile(
    height, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr, LAYERS: tl.constexpr, LANES: tl.constexpr
):
    """Of a program's tile of a volume, as of `tiles`: top and left, rows and columns; slices and lanes."""
    tiles, plane = tl.cdiv(width, COLUMNS), tl.cdiv(width, COLUMNS) * tl.cdiv(height, ROWS)
    tile, pixel = tl.program_id(0) % plane, tl.arange(0, ROWS * COLUMNS)
    top, left = tile // tiles * ROWS, tile % tiles * COLUMNS
    part = tl.program_id(0) // plane * LAYERS + tl.arange(0, LAYERS)
    i, j = top + pixel // COLUMNS, left + pixel % COLUMNS
    return top, left, i, j, (part // LANES)[None, :], (part % LANES)[None, :]


def side_by_side(x: torch.Tensor) -> torch.Tensor:
    """A batch (batch, n) as (programs * groups, n, lanes), see `spread`, filled up with zeros."""
    programs, groups, lanes = spread(len(x))
    missing = programs * groups * lanes - len(x)
    if missing:
        x = torch.cat([x, x.new_zeros(missing, x.shape[1])])
    return x.unflatten(0, (-1, lanes)).mT


@triton.jit
def split(place, BITS: tl.constexpr, dtype: tl.constexpr):
    """Where a place in whole numbers lies: the grid point before it, and the part of the way to the next."""
    if dtype == tl.float64:
        part = ((place << (52 - BITS)) & 0xFFFFFFFFFFFFF).to(tl.float64) * 2.0**-52
    else:
        part = ((place >> (BITS - 24)) & 0xFFFFFF).to(tl.int32).to(tl.float32) * 2.0**-24
    if BITS >= 32:  # comparisons then are of 32 bits
        return (place >> 32).to(tl.int32) >> (BITS - 32), part
    return (place >> BITS).to(tl.int32), part


@triton.jit
def crossed(start, slope, lines, places, BITS: tl.constexpr):
    """The lines, from the first to before the last, where ``start + slope i`` is between -1 and `places`.

    One more at either end: quotients are rounded towards zero.
    """
    one = tl.full(start.shape, 1, tl.int64) << BITS
    divisor = tl.where(slope == 0, 1, slope)
    low, high = (-one - start) // divisor, (places * one - start) // divisor
    first = tl.minimum(tl.maximum(tl.minimum(low, high) - 1, 0), lines)
    last = tl.minimum(tl.maximum(tl.maximum(low, high) + 2, 0), lines)
    return tl.where(slope == 0, 0, first).to(tl.int32), tl.where(slope == 0, lines, last).to(tl.int32)


@triton.jit
def arctangent(q):
    """In the precision of `q`."""
    # the angle is halved twice, from at most pi / 2 to at most pi / 8; then Taylor's series
    q = q / (1 + tl.sqrt(1 + q * q))
    q = q / (1 + tl.sqrt(1 + q * q))
    s = q * q
    series = s * 0 + 1.0 / 43
    for k in tl.static_range(21):
        series = 1.0 / (41 - 2 * k) - s * series
    return 4 * q * series


@triton.jit
def share(place, point, BITS: tl.constexpr, dtype: tl.constexpr):
    """Weight of a grid point in linear interpolation at a place: what `split` says, seen from the point."""
    before, part = split(place, BITS, dtype)
    return tl.where(before == point, 1 - part, tl.where(before + 1 == point, part, 0))


@triton.jit
def candidates(x, y, x_mean, y_mean, radius, view, views, detector, bins, CURVED: tl.constexpr):
    """The bins whose rays may pass within a pixel of each pixel of a tile, along its row or its column.

    Of pixels (x, y) from the axis, all within `radius` of a mean: the first bins, how many there are, the
    same for all, and the least distance from the source that the tile's pixels and their neighbors have, in
    distances of the axis, or zero. Bins next to the detector are among them.

    With S the source, P the pixel and E a neighbor, bins of P and E are ``b M / (w_P w_E)`` apart on a flat
    detector, M being the larger component of P - S; on a curved one the angle between them has the tangent
    M / (P - S).(E - S) at most. Either is at most ``b M / g^2``, if all distances are at least g.
    """
    cos, sin = tl.load(views + 2 * view).to(tl.float32), tl.load(views + 2 * view + 1).to(tl.float32)
    inverse, scale = tl.load(detector).to(tl.float32), tl.load(detector + 1).to(tl.float32)
    axis, error = tl.load(detector + 2).to(tl.float32), tl.load(detector + 3).to(tl.float32)
    nearest = 1 + (y_mean * cos - x_mean * sin) * inverse
    if CURVED:
        beside = (x_mean * cos + y_mean * sin) * inverse
        nearest = tl.sqrt(nearest * nearest + beside * beside)
    nearest -= (radius + 1) * inverse + 2.0**-19
    # a tile that touches the source meets all rays
    apart = tl.maximum(nearest, tl.maximum(0.25 * inverse, 2.0**-19))
    larger = tl.maximum(tl.abs(x_mean * inverse - sin), tl.abs(y_mean * inverse + cos)) + radius * inverse
    half = scale * larger / (apart * apart) + error / apart
    all_bins = (nearest < apart) | (half > bins)
    half = tl.minimum(half, bins)

    u = x * cos + y * sin
    w = tl.maximum(1 + (y * cos - x * sin) * inverse, 1e-6)
    ratio = u / w
    if CURVED:
        ratio = arctangent(ratio * inverse) / inverse
    place = axis + scale * ratio
    place = tl.minimum(tl.maximum(place, -half - 1), bins + half)
    first = tl.where(all_bins, 0, tl.ceil(place - half)).to(tl.int32)
    number = tl.where(all_bins, bins, (2 * half).to(tl.int32) + 1)
    return first, number, tl.where(all_bins, 0, apart)
