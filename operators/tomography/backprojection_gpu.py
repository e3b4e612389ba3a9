"""Pixel-driven backprojection of filtered views, and its transpose, for GPUs.

Where a pixel is projected to is no sum of whole numbers. It is found in double precision, once for all slices
and the whole batch, by the same operations in both directions; the rows that its slices are projected to then
follow in whole numbers. Both are gathers: voxels add up over views; samples of a view over the lines of the
image, of which the pixels between the rays of their neighbors are projected next to them.

Per call, for each pixel, view and element of a batch: four loads and eight operations, of a fan two loads and
four, besides about 40 on the place.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from invgen.core.launch import kernel
from invgen.operators.tomography.rays import FINE, PixelShadows
from invgen.operators.tomography.tracks import (
    arctangent,
    panel_tile,
    share,
    side_by_side,
    split,
    spread,
    tiles,
    volume_tile,
)

__all__ = ["cone", "cone_adjoint", "fan", "fan_adjoint"]

#: Voxels and samples of a batch that are copied at once: memory stays bounded.
_COPIED = 1 << 28

#: Half a bin, beyond the middle of the outer ones, in samples.
_HALF = tl.constexpr(FINE / 2)


def fan(filtered: torch.Tensor, shadows: PixelShadows) -> torch.Tensor:
    """Sinograms (batch, views, samples) to images (batch, H, W)."""
    return cone(filtered[:, :, None], shadows)[:, 0]


def fan_adjoint(x: torch.Tensor, shadows: PixelShadows, samples: int) -> torch.Tensor:
    """Images (batch, H, W) to sinograms (batch, views, samples): the transpose of `fan`."""
    return cone_adjoint(x[:, None], shadows, (1, samples))[:, :, 0]


def cone(filtered: torch.Tensor, shadows: PixelShadows) -> torch.Tensor:
    """Projections (batch, views, rows, samples) to volumes (batch, D, H, W)."""
    views, rows, samples = filtered.shape[1:]
    double = filtered.new_empty(0, dtype=torch.float64)
    depth, height, width = shadows.volume_shape
    x = filtered.new_empty(len(filtered), depth, height, width)
    size = max(1, _COPIED // (views * rows * samples))
    for panels, out in zip(filtered.split(size), x.split(size), strict=True):
        programs, groups, lanes = spread(len(panels))
        _gather(
            tiles(programs * groups, ROWS=height, COLUMNS=width, LAYERS=depth * lanes),
            *(
                side_by_side(panels.mT.reshape(len(panels), -1)).contiguous(),
                shadows.directions.like(double),
                shadows.numbers.like(double),
                out,
            ),
            *(len(panels), views, rows, samples, depth, height, width),
            *(shadows.bits, shadows.curved, lanes),
        )
    return x


def cone_adjoint(x: torch.Tensor, shadows: PixelShadows, panel: tuple[int, int]) -> torch.Tensor:
    """Volumes (batch, D, H, W) to projections (batch, views, *panel): the transpose of `cone`."""
    views, (rows, samples) = len(shadows.views), panel
    double = x.new_empty(0, dtype=torch.float64)
    depth, height, width = shadows.volume_shape
    y = x.new_empty(len(x), views, rows, samples)
    size = max(1, _COPIED // (depth * height * width))
    for volumes, out in zip(x.split(size), y.split(size), strict=True):
        programs, groups, lanes = spread(len(volumes))
        stacks = side_by_side(volumes.permute(0, 2, 3, 1).reshape(len(volumes), -1)).contiguous()
        _gather_back(
            tiles(programs * groups, views, SAMPLES=samples, ROWS=rows * lanes),
            *(
                stacks,
                shadows.directions.like(double),
                shadows.numbers.like(double),
                shadows.between.like(double),
                out,
            ),
            *(len(volumes), views, rows, samples, depth, height, width),
            *(shadows.bits, shadows.curved, lanes),
        )
    return y


@triton.jit
def _shadow(x, y, cos, sin, numbers, samples, CURVED: tl.constexpr):
    """Of pixels from the axis: place on the detector, weight, zero next to it, and distance w along the ray.

    Products are added by explicit `fma`, so that the compiler has no choice that differs between kernels.
    """
    radius, first, scale = tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2)
    u, w = tl.fma(x, cos, y * sin), tl.fma(y, cos, tl.fma(-x, sin, radius))
    w = tl.maximum(w, tl.load(numbers + 5))  # of what is no pixel
    if CURVED:
        place, squared = tl.fma(arctangent(u / w), scale, first), tl.fma(u, u, w * w)
    else:
        place, squared = tl.fma(u / w, scale, first), w * w
    seen = (place >= -_HALF) & (place <= samples - 1 + _HALF)
    weight = tl.where(seen, radius * radius / squared, 0.0)
    return tl.minimum(tl.maximum(place, 0.0), samples - 1.0), weight, w


@triton.jit
def _climb(w, numbers, depth, BITS: tl.constexpr):
    """Row of the panel, in whole numbers, that slice zero is projected to, and from slice to slice."""
    step = tl.load(numbers + 4) / w
    begin = tl.fma(step, -0.5 * (depth - 1), tl.load(numbers + 3))
    one = 2.0**BITS
    return tl.floor(begin * one + 0.5).to(tl.int64), tl.floor(step * one + 0.5).to(tl.int64)


@triton.jit
def _on_panel(place, rows, BITS: tl.constexpr):
    """Whether places are on the panel, whose outer rows reach half a row further, and the places within."""
    one = tl.full((1, 1), 1, tl.int64) << BITS
    last = (rows - 1) * one
    seen = (place >= -(one >> 1)) & (place <= last + (one >> 1))
    return seen, tl.minimum(tl.maximum(place, 0), last)


@kernel(
    {"ROWS": 4, "COLUMNS": 8, "LAYERS": 32},
    {"ROWS": 16, "COLUMNS": 16, "LAYERS": 1},
    {"ROWS": 2, "COLUMNS": 2, "LAYERS": 128},
    {"ROWS": 1, "COLUMNS": 1, "LAYERS": 256, "num_warps": 2},
    key=("samples", "rows", "depth", "height", "width", "LANES"),
)
def _gather(
    y,
    directions,
    numbers,
    x,
    batch,
    views,
    rows,
    samples,
    depth,
    height,
    width,
    BITS: tl.constexpr,
    CURVED: tl.constexpr,
    LANES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    LAYERS: tl.constexpr,
):
    """Views `y` (groups, views, samples, rows, lanes) to volumes `x` (batch, D, H, W)."""
    _, _, i, j, k, lane = volume_tile(height, width, ROWS, COLUMNS, LAYERS, LANES)
    inside = (i < height) & (j < width)
    across, down = j.to(tl.float64) - 0.5 * (width - 1), 0.5 * (height - 1) - i.to(tl.float64)
    panel = y + tl.program_id(1).to(tl.int64) * views * samples * rows * LANES
    total = tl.zeros((ROWS * COLUMNS, LAYERS), y.dtype.element_ty)
    for view in range(views):
        cos, sin = tl.load(directions + 2 * view), tl.load(directions + 2 * view + 1)
        place, weight, w = _shadow(across, down, cos, sin, numbers, samples, CURVED)
        before = tl.floor(place)
        far = (place - before).to(y.dtype.element_ty)[:, None]
        left = before.to(tl.int32)
        right = tl.minimum(left + 1, samples - 1)
        begin, step = _climb(w, numbers, depth, BITS)
        seen, height_on_panel = _on_panel(begin[:, None] + step[:, None] * k, rows, BITS)
        below, above = split(height_on_panel, BITS, y.dtype.element_ty)
        upper = (tl.minimum(below + 1, rows - 1)) * LANES + lane
        lower = below * LANES + lane
        seen = seen & (inside & (weight > 0))[:, None] & (k < depth)
        near_column = (panel + left.to(tl.int64) * rows * LANES)[:, None]
        far_column = (panel + right.to(tl.int64) * rows * LANES)[:, None]
        low = tl.load(near_column + lower, seen, other=0)
        low += far * (tl.load(far_column + lower, seen, other=0) - low)
        high = tl.load(near_column + upper, seen, other=0)
        high += far * (tl.load(far_column + upper, seen, other=0) - high)
        total += weight.to(y.dtype.element_ty)[:, None] * (low + above * (high - low))
        panel += tl.cast(samples, tl.int64) * rows * LANES
    element = tl.program_id(1) * LANES + lane
    out = x + ((element.to(tl.int64) * depth + k) * height + i[:, None]) * width + j[:, None]
    tl.store(out, total, mask=inside[:, None] & (k < depth) & (element < batch))


@triton.jit
def _crossing(u, w, steep, cos, sin, radius, height, width):
    """Where rays along (u, w) cross line zero, and from line to line, as of `Tracks`; directions across them.

    Of a ray that is nearly parallel to the lines, the direction is zero.
    """
    dx, dy = u * cos - w * sin, u * sin + w * cos
    right, down = 0.5 * (width - 1) + radius * sin, 0.5 * (height - 1) + radius * cos
    major, minor = tl.where(steep, dy, dx), tl.where(steep, dx, dy)
    major = tl.where(tl.abs(major) > 0.25 * tl.abs(minor), major, 0.0)
    q = minor / tl.where(major == 0, 1.0, major)
    return tl.where(steep, right + down * q, down + right * q), -q, major


@kernel(
    {"SAMPLES": 32, "ROWS": 32},
    {"SAMPLES": 128, "ROWS": 1},
    {"SAMPLES": 4, "ROWS": 128},
    {"SAMPLES": 1, "ROWS": 256, "num_warps": 2},
    key=("samples", "rows", "depth", "height", "width", "LANES"),
)
def _gather_back(
    x,
    directions,
    numbers,
    between,
    y,
    batch,
    views,
    rows,
    samples,
    depth,
    height,
    width,
    BITS: tl.constexpr,
    CURVED: tl.constexpr,
    LANES: tl.constexpr,
    SAMPLES: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Stacks `x` (groups, H, W, D, lanes) to views `y` (batch, views, rows, samples)."""
    view, sample, row, lane = panel_tile(samples, rows, SAMPLES, ROWS, LANES)
    exists = sample < samples
    cos, sin = tl.load(directions + 2 * view), tl.load(directions + 2 * view + 1)

    # the pixels of a line that are projected between two rays lie between where these cross it
    ray = between + 6 * sample
    u, w = tl.load(ray, exists, other=0.0), tl.load(ray + 1, exists, other=1.0)
    steep = tl.abs(u * sin + w * cos) >= tl.abs(u * cos - w * sin)
    radius = tl.load(numbers)
    _, _, ahead = _crossing(u, w, steep, cos, sin, radius, height, width)
    u, w = tl.load(ray + 2, exists, other=0.0), tl.load(ray + 3, exists, other=1.0)
    start, slope, major = _crossing(u, w, steep, cos, sin, radius, height, width)
    whole = major * ahead <= 0
    u, w = tl.load(ray + 4, exists, other=0.0), tl.load(ray + 5, exists, other=1.0)
    end, decline, major = _crossing(u, w, steep, cos, sin, radius, height, width)
    whole = (whole | (major * ahead <= 0)) & exists  # where they do not cross it both, of the whole line
    lines, places = tl.where(steep, height, width), tl.where(steep, width, height)
    longest = tl.maximum(height, width)
    gap = tl.maximum(tl.abs(end - start), tl.abs(end - start + (decline - slope) * (lines - 1)))
    gap = tl.max(tl.where(exists, tl.where(whole, longest, gap), 0.0))
    number = tl.minimum(gap + 2e-3, longest).to(tl.int32) + 1

    reach = (tl.load(numbers + 6) / tl.load(numbers + 4)).to(tl.float32) + tl.load(numbers + 7).to(tl.float32)
    slices = tl.minimum(2 * reach, depth - 1).to(tl.int32) + 1
    stacks = x + tl.program_id(1).to(tl.int64) * height * width * depth * LANES
    total = tl.zeros((SAMPLES, ROWS), x.dtype.element_ty)
    for line in range(longest):
        edge = tl.minimum(start + slope * line, end + decline * line) - 1e-3
        first = tl.where(whole, 0.0, tl.ceil(tl.minimum(tl.maximum(edge, 0.0), longest)))
        for n in range(number):
            other = first.to(tl.int32) + n
            i, j = tl.where(steep, line, other), tl.where(steep, other, line)
            inside = exists & (line < lines) & (other >= 0) & (other < places)
            across, down = j.to(tl.float64) - 0.5 * (width - 1), 0.5 * (height - 1) - i.to(tl.float64)
            place, weight, w = _shadow(across, down, cos, sin, numbers, samples, CURVED)
            share_of_sample = tl.maximum(1 - tl.abs(place - sample), 0.0)
            weight = tl.where(inside, weight * share_of_sample, 0.0).to(x.dtype.element_ty)
            if tl.max(weight) > 0:
                begin, step = _climb(w, numbers, depth, BITS)
                begin, step = begin[:, None], step[:, None]
                density = 1 / (step.to(tl.float32) * 2.0**-BITS)
                middle = (row - begin.to(tl.float32) * 2.0**-BITS) * density
                lowest = tl.ceil(tl.minimum(tl.maximum(middle, -reach - 1), depth + reach) - reach)
                lowest = tl.where(slices == depth, 0, lowest).to(tl.int32)
                stack = (stacks + (i.to(tl.int64) * width + j) * depth * LANES)[:, None] + lane
                for m in range(slices):
                    k = lowest + m
                    seen, place_on_panel = _on_panel(begin + step * k, rows, BITS)
                    close = share(place_on_panel, row, BITS, x.dtype.element_ty)
                    hit = seen & (weight > 0)[:, None] & (close > 0) & (k >= 0) & (k < depth)
                    total += weight[:, None] * close * tl.load(stack + k * LANES, hit, other=0)
    element = tl.program_id(1) * LANES + lane
    out = y + ((element.to(tl.int64) * views + view) * rows + row) * samples + sample[:, None]
    tl.store(out, total, mask=exists[:, None] & (row < rows) & (element < batch))
