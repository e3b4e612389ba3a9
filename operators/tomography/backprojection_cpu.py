"""Pixel-driven backprojection of filtered views, and its transpose, compiled for the CPU.

Each thread writes its own rows of the image, of the transpose its own views: the same bits with any number of
threads. Positions are in pixels, the source at `radius` from the axis; see
`invgen.operators.tomography.rays.PixelShadows`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numba import njit, prange

from invgen.core.threads import parallel
from invgen.operators.tomography.rays import FINE, PixelShadows

__all__ = ["add_cone", "cone", "cone_adjoint", "fan", "fan_adjoint"]

#: Voxels of a slab that is worked on at once.
_SLAB = 1 << 24


def fan(filtered: torch.Tensor, shadows: PixelShadows) -> torch.Tensor:
    """Sinograms (batch, views, samples) to images (batch, H, W)."""
    s = shadows
    x = filtered.new_zeros(len(filtered), *s.volume_shape[1:])
    _fan(filtered.contiguous().numpy(), s.views.numpy(), s.radius, s.first, s.scale, s.curved, x.numpy())
    return x


def fan_adjoint(x: torch.Tensor, shadows: PixelShadows, samples: int) -> torch.Tensor:
    """Images (batch, H, W) to sinograms (batch, views, samples): the transpose of `fan`."""
    s = shadows
    y = x.new_zeros(len(x), len(s.views), samples)
    _fan_adjoint(x.contiguous().numpy(), s.views.numpy(), s.radius, s.first, s.scale, s.curved, y.numpy())
    return y


def cone(filtered: torch.Tensor, shadows: PixelShadows) -> torch.Tensor:
    """Projections (batch, views, rows, samples) to volumes (batch, D, H, W)."""
    # the rows of a sample lie side by side, as the slices of a stack of voxels do
    columns = filtered.transpose(2, 3).contiguous().numpy()
    x = filtered.new_empty(len(filtered), *shadows.volume_shape)
    for slab, beam in _slabs(shadows):
        stacks = x.new_zeros(len(x), *x.shape[2:], slab.stop - slab.start)
        add_cone(columns, *beam, stacks.numpy())
        x[:, slab] = stacks.permute(0, 3, 1, 2)
    return x


def cone_adjoint(x: torch.Tensor, shadows: PixelShadows, panel: tuple[int, int]) -> torch.Tensor:
    """Volumes (batch, D, H, W) to projections (batch, views, *panel): the transpose of `cone`."""
    rows, samples = panel
    columns = x.new_zeros(len(x), len(shadows.views), samples, rows)
    for slab, beam in _slabs(shadows):
        _cone_adjoint(x[:, slab].permute(0, 2, 3, 1).contiguous().numpy(), *beam, columns.numpy())
    return columns.transpose(2, 3).contiguous()


def _slabs(shadows: PixelShadows) -> Iterator[tuple[slice, tuple[Any, ...]]]:
    """Slices that are worked on at once, and where their voxels are projected to, as of `add_cone`."""
    s = shadows
    depth, height, width = s.volume_shape
    size = max(1, _SLAB // (height * width))
    for k in range(0, depth, size):
        bottom = k - (depth - 1) / 2
        yield (
            slice(k, min(k + size, depth)),
            (s.views.numpy(), s.radius, s.first, s.scale, bottom, s.lowest, s.rise),
        )


@parallel
def _fan(rows, views, radius, first, scale, curved, x):
    """Add the views `rows` (batch, views, samples) to images `x` (batch, H, W)."""
    batch, height, width = x.shape
    for number in prange(height):
        i = np.int64(number)
        left, right = np.empty(width, dtype=np.uint32), np.empty(width, dtype=np.uint32)
        near, far = np.empty(width, dtype=x.dtype), np.empty(width, dtype=x.dtype)
        for view in range(len(views)):
            _aim(
                views[view],
                (height - 1) / 2 - i,
                radius,
                first,
                scale,
                curved,
                rows.shape[2],
                left,
                right,
                near,
                far,
            )
            for b in range(batch):
                _gather(rows[b, view], left, right, near, far, x[b, i])


@parallel
def _fan_adjoint(x, views, radius, first, scale, curved, rows):
    """Add images `x` (batch, H, W) to the views `rows` (batch, views, samples)."""
    batch, height, width = x.shape
    for number in prange(len(views)):
        view = np.int64(number)
        left, right = np.empty(width, dtype=np.uint32), np.empty(width, dtype=np.uint32)
        near, far = np.empty(width, dtype=x.dtype), np.empty(width, dtype=x.dtype)
        for i in range(height):
            _aim(
                views[view],
                (height - 1) / 2 - i,
                radius,
                first,
                scale,
                curved,
                rows.shape[2],
                left,
                right,
                near,
                far,
            )
            for b in range(batch):
                _scatter(x[b, i], left, right, near, far, rows[b, view])


@parallel
def add_cone(rows, views, radius, first, scale, bottom, lowest, rise, x):
    """Add the views `rows` (batch, views, samples, panel rows) to volumes `x` (batch, H, W, D).

    The first slice has the height `bottom`; a point of height z projects to the panel row
    ``lowest + rise z / w``.
    """
    batch, height, width = x.shape[:3]
    for number in prange(height):
        i = np.int64(number)
        left, right = np.empty(width, dtype=np.uint32), np.empty(width, dtype=np.uint32)
        near, far = np.empty(width, dtype=x.dtype), np.empty(width, dtype=x.dtype)
        column = np.empty(rows.shape[3], dtype=x.dtype)
        y = (height - 1) / 2 - i
        for view in range(len(views)):
            _aim(views[view], y, radius, first, scale, False, rows.shape[2], left, right, near, far)
            cos, sin = views[view]
            for j in range(width):
                if near[j] + far[j] == 0:
                    continue
                slope = rise / (radius - (j - (width - 1) / 2) * sin + y * cos)
                for b in range(batch):
                    _mix(rows[b, view, left[j]], near[j], rows[b, view, right[j]], far[j], column)
                    _climb(column, lowest + slope * bottom, slope, x[b, i, j])


@parallel
def _cone_adjoint(x, views, radius, first, scale, bottom, lowest, rise, rows):
    """Add volumes `x` (batch, H, W, D) to the views `rows` (batch, views, samples, panel rows)."""
    batch, height, width = x.shape[:3]
    for number in prange(len(views)):
        view = np.int64(number)
        left, right = np.empty(width, dtype=np.uint32), np.empty(width, dtype=np.uint32)
        near, far = np.empty(width, dtype=x.dtype), np.empty(width, dtype=x.dtype)
        column = np.empty(rows.shape[3], dtype=x.dtype)
        cos, sin = views[view]
        for i in range(height):
            y = (height - 1) / 2 - i
            _aim(views[view], y, radius, first, scale, False, rows.shape[2], left, right, near, far)
            for j in range(width):
                if near[j] + far[j] == 0:
                    continue
                slope = rise / (radius - (j - (width - 1) / 2) * sin + y * cos)
                for b in range(batch):
                    _descend(x[b, i, j], lowest + slope * bottom, slope, column)
                    _share(column, near[j], rows[b, view, left[j]], far[j], rows[b, view, right[j]])


@njit(cache=True, error_model="numpy")
def _aim(view, y, radius, first, scale, curved, samples, left, right, near, far):
    """For each pixel of a row the two samples that it is projected between, and their weights."""
    cos, sin = view
    width = len(left)
    for j in range(width):
        x = j - (width - 1) / 2
        u, w = x * cos + y * sin, radius - x * sin + y * cos
        if curved:
            place, size = first + scale * math.atan(u / w), radius * radius / (u * u + w * w)
        else:
            place, size = first + scale * (u / w), radius * radius / (w * w)
        # outer bins reach half a bin beyond their middles; what is projected next to them gets nothing
        size = size if (place >= -FINE / 2) & (place <= samples - 1 + FINE / 2) else 0.0
        place = min(max(place, 0.0), samples - 1.0)
        k = np.floor(place)
        left[j] = np.int32(k)
        right[j] = np.int32(min(k + 1, samples - 1.0))
        near[j] = (1 - (place - k)) * size
        far[j] = (place - k) * size


@njit(cache=True, error_model="numpy")
def _gather(row, left, right, near, far, line):
    for j in range(len(line)):
        line[j] += near[j] * row[left[j]] + far[j] * row[right[j]]


@njit(cache=True, error_model="numpy")
def _scatter(line, left, right, near, far, row):
    """The transpose of `_gather`."""
    for j in range(len(line)):
        row[left[j]] += near[j] * line[j]
        row[right[j]] += far[j] * line[j]


@njit(cache=True, error_model="numpy")
def _mix(first, near, second, far, column):
    for r in range(len(column)):
        column[r] = near * first[r] + far * second[r]


@njit(cache=True, error_model="numpy")
def _share(column, near, first, far, second):
    """The transpose of `_mix`."""
    for r in range(len(column)):
        first[r] += near * column[r]
        second[r] += far * column[r]


@njit(cache=True, error_model="numpy")
def _climb(column, start, slope, stack):
    """Add to a stack of voxels what their heights find in a column of the panel."""
    last = len(column) - 1.0
    begin, end = _seen(len(column), start, slope, len(stack))
    part = stack[begin:end]
    for k in range(len(part)):
        place = min(max(start + slope * (begin + k), 0.0), last)
        r = np.floor(place)
        below, above = np.uint32(np.int32(r)), np.uint32(np.int32(min(r + 1, last)))
        part[k] += column[below] + part.dtype.type(place - r) * (column[above] - column[below])


@njit(cache=True, error_model="numpy")
def _descend(stack, start, slope, column):
    """The transpose of `_climb`, to a column that is set to zero before."""
    column[:] = 0
    last = len(column) - 1.0
    begin, end = _seen(len(column), start, slope, len(stack))
    part = stack[begin:end]
    for k in range(len(part)):
        place = min(max(start + slope * (begin + k), 0.0), last)
        r = np.floor(place)
        share = part.dtype.type(place - r) * part[k]
        column[np.uint32(np.int32(r))] += part[k] - share
        column[np.uint32(np.int32(min(r + 1, last)))] += share


@njit(cache=True, error_model="numpy")
def _seen(rows, start, slope, voxels):
    """Begin and end of those voxels of a stack that are projected to the panel's rows."""
    begin = min(max(math.ceil((-0.5 - start) / slope), 0), voxels)
    return begin, min(max(math.floor((rows - 0.5 - start) / slope) + 1, begin), voxels)
