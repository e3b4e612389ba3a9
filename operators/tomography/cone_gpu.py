"""Joseph's projector for cones of rays, for GPUs.

The rays of one column of the panel share their path across the slices: on line i of the volume they pass
between the same two stacks of voxels, at heights that grow with the panel's row. Stacks, and the panel's
columns, are contiguous in memory, the elements of a batch innermost. A program adds up along the rays of some
rows of neighboring columns, or for some voxels of neighboring stacks over all views: both are gathers, and
both find places by the same sums of whole numbers, across the slices of `Tracks`, along them of `Climbs`.

Per call, for n rays that cross l lines, of b volumes: each sample is four loads and ten operations, and about
20 on whole numbers. Forward reads the volume once for each tile of columns, adjoint each ray's value once for
each tile of stacks that the ray meets.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from invgen.core.launch import kernel
from invgen.operators.tomography.rays import DivergentRays
from invgen.operators.tomography.tracks import (
    candidates,
    crossed,
    panel_tile,
    share,
    side_by_side,
    split,
    spread,
    tiles,
    volume_tile,
)

__all__ = ["adjoint", "forward"]

#: Voxels and rays of a batch that are copied at once: memory stays bounded.
_COPIED = 1 << 28


def forward(x: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Volumes (batch, D, H, W) to projections (batch, views, rows, columns)."""
    depth, height, width = rays.volume_shape
    tracks, climbs = rays.tracks, rays.climbs
    views, rows, columns = len(rays.views), len(rays.up), len(rays.across)
    tables = tracks.start.like(x), tracks.slope.like(x), climbs.table.like(x)
    y = x.new_empty(len(x), views, rows, columns)
    size = max(1, _COPIED // (depth * height * width))
    for volumes, out in zip(x.split(size), y.split(size), strict=True):
        programs, groups, lanes = spread(len(volumes))
        stacks = side_by_side(volumes.permute(0, 2, 3, 1).reshape(len(volumes), -1)).contiguous()
        _project_cone(
            tiles(programs * groups, views, COLUMNS=columns, ROWS=rows * lanes),
            *(stacks, *tables, out, len(volumes), views, rows, columns, depth, height, width),
            *(tracks.bits, climbs.bits, lanes),
        )
    return y.mul_(_length(rays, y))


def adjoint(y: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Projections (batch, views, rows, columns) to volumes (batch, D, H, W)."""
    depth, height, width = rays.volume_shape
    tracks, climbs = rays.tracks, rays.climbs
    views, rows, columns = len(rays.views), len(rays.up), len(rays.across)
    tables = tracks.start.like(y), tracks.slope.like(y), climbs.table.like(y)
    y = y * _length(rays, y)
    x = y.new_empty(len(y), depth, height, width)
    size = max(1, _COPIED // (views * rows * columns))
    for panels, out in zip(y.split(size), x.split(size), strict=True):
        programs, groups, lanes = spread(len(panels))
        _backproject_cone(
            tiles(programs * groups, ROWS=height, COLUMNS=width, LAYERS=depth * lanes),
            *(side_by_side(panels.mT.reshape(len(panels), -1)).contiguous(), *tables),
            *(tracks.views.like(y), tracks.detector.like(y), climbs.apart.like(y), out),
            *(len(panels), views, rows, columns, depth, height, width, tracks.bits, climbs.bits, lanes),
        )
    return x


def _length(rays: DivergentRays, like: torch.Tensor) -> torch.Tensor:
    """Lengths of the rays between two lines, (views, rows, columns)."""
    flat, pace, up = rays.tracks.length.like(like), rays.climbs.pace.like(like), rays.climbs.up.like(like)
    return (pace[:, None] * up[:, None]).square_().add_(flat[:, None] ** 2).sqrt_()


@kernel(
    {"COLUMNS": 16, "ROWS": 32},
    {"COLUMNS": 1, "ROWS": 256, "num_warps": 2},
    {"COLUMNS": 2, "ROWS": 128, "num_warps": 1},
    {"COLUMNS": 4, "ROWS": 64, "num_warps": 1},
    key=("columns", "rows", "depth", "height", "width", "LANES"),
)
def _project_cone(
    x,
    start,
    slope,
    climbs,
    y,
    batch,
    views,
    rows,
    columns,
    depth,
    height,
    width,
    BITS: tl.constexpr,
    CLIMB_BITS: tl.constexpr,
    LANES: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Stacks `x` (groups, H, W, D, lanes) to sums `y` (batch, views, rows, columns)."""
    view, column, row, lane = panel_tile(columns, rows, COLUMNS, ROWS, LANES)
    exists, track = column < columns, view.to(tl.int64) * columns + column
    pace = tl.load(slope + track, mask=exists, other=0)
    steep = pace & 1 == 1
    lines, places = tl.where(steep, height, width), tl.where(steep, width, height)
    place = tl.load(start + track, mask=exists, other=0)
    enter, leave = crossed(place, pace, lines, places, BITS)
    first, last = tl.min(tl.where(exists, enter, height + width)), tl.max(tl.where(exists, leave, 0))
    place += first * pace
    begin, rise, step, widening = tangents(climbs, track, exists, views, columns)
    climb = rise[:, None] + widening[:, None] * row
    layer = begin[:, None] + step[:, None] * row + climb * first

    stack = tl.cast(depth, tl.int64) * LANES
    next_line, next_place = tl.where(steep, width, 1) * stack, tl.where(steep, 1, width) * stack
    line = x + tl.program_id(1) * height * width * stack + first * next_line
    total = tl.zeros((COLUMNS, ROWS), x.dtype.element_ty)
    for i in range(first, last):
        j, right = split(place, BITS, x.dtype.element_ty)
        k, above = split(layer, CLIMB_BITS, x.dtype.element_ty)
        here = ((i < lines) & (j >= 0) & (j < places))[:, None]
        there = ((i < lines) & (j >= -1) & (j + 1 < places))[:, None]
        low = (row < rows) & (k >= 0) & (k < depth)
        high = (row < rows) & (k >= -1) & (k + 1 < depth)
        near, far, voxel = line + j * next_place, line + (j + 1) * next_place, k * LANES + lane
        near, far = near[:, None] + voxel, far[:, None] + voxel
        lower, beside = tl.load(near, here & low, other=0), tl.load(far, there & low, other=0)
        lower += right[:, None] * (beside - lower)
        upper, beside = (
            tl.load(near + LANES, here & high, other=0),
            tl.load(far + LANES, there & high, other=0),
        )
        upper += right[:, None] * (beside - upper)
        total += lower + above * (upper - lower)
        place += pace
        layer += climb
        line += next_line
    element = tl.program_id(1) * LANES + lane
    out = y + ((element.to(tl.int64) * views + view) * rows + row) * columns + column[:, None]
    tl.store(out, total, mask=exists[:, None] & (row < rows) & (element < batch))


@kernel(
    {"ROWS": 8, "COLUMNS": 8, "LAYERS": 16},
    {"ROWS": 2, "COLUMNS": 2, "LAYERS": 128},
    {"ROWS": 1, "COLUMNS": 2, "LAYERS": 256},
    {"ROWS": 1, "COLUMNS": 1, "LAYERS": 256, "num_warps": 2},
    key=("columns", "rows", "depth", "height", "width", "LANES"),
)
def _backproject_cone(
    y,
    start,
    slope,
    climbs,
    directions,
    detector,
    distance,
    x,
    batch,
    views,
    rows,
    columns,
    depth,
    height,
    width,
    BITS: tl.constexpr,
    CLIMB_BITS: tl.constexpr,
    LANES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    LAYERS: tl.constexpr,
):
    """Values of rays `y` (groups, views, columns, rows, lanes) to volumes `x` (batch, D, H, W)."""
    top, left, i, j, k, lane = volume_tile(height, width, ROWS, COLUMNS, LAYERS, LANES)
    across, down = j - (width - 1) * 0.5, (height - 1) * 0.5 - i
    middle = left + (COLUMNS - width) * 0.5, (height - ROWS) * 0.5 - top
    radius = ((ROWS - 1) ** 2 + (COLUMNS - 1) ** 2) ** 0.5 / 2

    panel = y + tl.program_id(1).to(tl.int64) * views * columns * rows * LANES
    total = tl.zeros((ROWS * COLUMNS, LAYERS), y.dtype.element_ty)
    for view in range(views):
        nearest, number, apart = candidates(
            across, down, middle[0], middle[1], radius, view, directions, detector, columns, False
        )
        # rays of neighboring rows are at least so far apart where they pass the tile; rounding as of bins
        reach = 1 / tl.maximum(apart * tl.load(distance).to(tl.float32), 1e-30)
        reach = tl.minimum(reach + 2.0**-19 * (rows + (depth + 2) * reach), rows)
        heights = tl.minimum((2 * reach).to(tl.int32) + 1, rows)
        for n in range(number):
            bin = nearest + n
            seen = (bin >= 0) & (bin < columns)
            track = view * columns + bin
            pace = tl.load(slope + track, mask=seen, other=0)
            steep = pace & 1 == 1
            line = tl.where(steep, i, j)
            place = tl.load(start + track, mask=seen, other=0) + line * pace
            weight = tl.where(seen, share(place, tl.where(steep, j, i), BITS, y.dtype.element_ty), 0)
            if tl.max(weight) > 0:
                begin, rise, step, widening = tangents(climbs, track, seen, views, columns)
                begin, step = (begin + rise * line)[:, None], (step + widening * line)[:, None]
                # the row whose ray passes through a voxel's middle
                density = 1 / tl.maximum(step.to(tl.float32) * 2.0**-CLIMB_BITS, 1e-30)
                middle_row = k * density - begin.to(tl.float32) * 2.0**-CLIMB_BITS * density
                lowest = tl.ceil(tl.minimum(tl.maximum(middle_row, -reach - 1), rows + reach) - reach)
                lowest = tl.where(heights == rows, 0, lowest).to(tl.int32)
                value = panel + (track.to(tl.int64) * rows * LANES)[:, None] + lowest * LANES + lane
                layer = begin + step * lowest
                for m in range(heights):
                    close = share(layer, k, CLIMB_BITS, y.dtype.element_ty)
                    hit = (weight > 0)[:, None] & (lowest + m >= 0) & (lowest + m < rows) & (close > 0)
                    total += weight[:, None] * close * tl.load(value + m * LANES, mask=hit, other=0)
                    layer += step
    element = tl.program_id(1) * LANES + lane
    out = x + ((element.to(tl.int64) * depth + k) * height + i[:, None]) * width + j[:, None]
    inside = ((i < height) & (j < width))[:, None]
    tl.store(out, total, mask=inside & (k < depth) & (element < batch))


@triton.jit
def tangents(climbs, track, exists, views, columns):
    """The four numbers of `Climbs` for some columns of some views."""
    count = views.to(tl.int64) * columns
    return (
        tl.load(climbs + track, mask=exists, other=0),
        tl.load(climbs + count + track, mask=exists, other=0),
        tl.load(climbs + 2 * count + track, mask=exists, other=0),
        tl.load(climbs + 3 * count + track, mask=exists, other=0),
    )
