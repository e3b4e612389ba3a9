"""Joseph's projector for cones of rays, compiled for the CPU.

The rays of one column of the panel share their path across the slices: on line i of the volume (a row, or a
column where they run more along x) they pass between the same two stacks of voxels, at heights that grow with
the panel's row. Stacks are contiguous in memory. Forward, threads share the views; adjoint, they share the
lines of the volume, to which the very same samples are scattered: the same bits with any number of threads.
Inner loops run over slices of arrays, from zero, which LLVM can vectorize.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numba import njit, prange
from torch.nn.functional import pad

from invgen.core.threads import parallel
from invgen.operators.tomography.rays import DivergentRays

__all__ = ["adjoint", "backproject", "directions", "forward", "project"]

#: Lines that a thread scatters to before it goes on to the next view.
_LINES = 8
#: Voxels of a slab: what is held besides inputs and outputs.
_SLAB = 1 << 24


def forward(x: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Volumes (batch, D, H, W) to projections (batch, views, rows, columns)."""
    y = x.new_zeros(len(x), len(rays.views), len(rays.up), len(rays.across))
    for slab, bottom in _slabs(rays):
        stacks = pad(x[:, slab].permute(0, 2, 3, 1), (1, 1)).contiguous().numpy()
        project(stacks, bottom, *directions(rays), rays.radius, y.numpy())
    return y.mul_(rays.pixel_size)


def adjoint(y: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Projections (batch, views, rows, columns) to volumes (batch, D, H, W)."""
    depth, height, width = rays.volume_shape
    x, rows = y.new_empty(len(y), depth, height, width), y.contiguous().numpy()
    for slab, bottom in _slabs(rays):
        stacks = y.new_zeros(len(y), height, width, slab.stop - slab.start + 2)
        for upright in (True, False):
            backproject(rows, bottom, *directions(rays), rays.radius, upright, stacks.numpy())
        x[:, slab] = stacks[..., 1:-1].permute(0, 3, 1, 2)
    return x.mul_(rays.pixel_size)


def _slabs(rays: DivergentRays) -> Iterator[tuple[slice, float]]:
    """Slices that are worked on together, and the height of the first, in pixels."""
    depth, height, width = rays.volume_shape
    size = max(1, _SLAB // (height * width))
    for k in range(0, depth, size):
        yield slice(k, min(k + size, depth)), k - (depth - 1) / 2


def directions(rays: DivergentRays) -> tuple[np.ndarray, ...]:
    """Views, and directions of the rays across, along and up, as the kernels take them."""
    return rays.views.numpy(), rays.across.numpy(), rays.along.numpy(), rays.up.numpy()


@parallel
def project(x, bottom, views, across, along, up, radius, y):
    """Volumes to projections, lengths in pixels.

    `x` (batch, H, W, D + 2) is the volume, or a slab of it, with a layer of zeros below and above; its first
    slice is at the height `bottom`. `views` holds cosine and sine of each view angle; `across` and `along`,
    of each column, and `up`, of each row, are the directions of the rays; `radius` is the distance of the
    source from the axis. Adds to `y` (batch, views, rows, columns).
    """
    batch, height, width, layers = x.shape[0], x.shape[1], x.shape[2], x.shape[3] - 2
    rows = len(up)
    for view in prange(len(views)):
        left, weight = np.empty(rows, dtype=np.uint32), np.empty(rows, dtype=x.dtype)
        stack, total = np.empty(layers + 2, dtype=x.dtype), np.empty((batch, rows), dtype=x.dtype)
        length = np.empty(rows, dtype=x.dtype)
        for c in range(len(across)):
            upright, start, slope, time, pace, major = _track(
                views[view], across[c], along[c], radius, height, width
            )
            lines, places = (height, width) if upright else (width, height)
            _clear(total)
            for i in range(lines):
                j, k, here, there = _between(start + slope * i, places, x.dtype.type(1))
                begin, end = _inside(time + pace * i, up, bottom, layers)
                if here + there == 0 or begin == end:
                    continue
                _place(time + pace * i, up[begin:end], bottom, layers, left, weight)
                low, high = np.int64(left[0]), np.int64(left[end - begin - 1]) + 2
                for b in range(batch):
                    if upright:
                        _mix(x[b, i, j, low:high], here, x[b, i, k, low:high], there, stack[low:high])
                    else:
                        _mix(x[b, j, i, low:high], here, x[b, k, i, low:high], there, stack[low:high])
                    _gather(stack, left, weight, total[b, begin:end])
            _lengths(across[c] ** 2 + along[c] ** 2, up, major, length)
            for b in range(batch):
                _add_product(y[b, view, :, c], total[b], length)


@parallel
def backproject(y, bottom, views, across, along, up, radius, upright, x):
    """Projections to volumes, lengths in pixels; the transpose of `project`.

    Adds to `x` (batch, H, W, D + 2) what the rays along y scatter, `upright`, or those along x.
    """
    batch, height, width, layers = x.shape[0], x.shape[1], x.shape[2], x.shape[3] - 2
    rows = len(up)
    lines, places = (height, width) if upright else (width, height)
    for block in prange(-(-lines // _LINES)):
        first = np.int64(block) * _LINES
        left, weight = np.empty(rows, dtype=np.uint32), np.empty(rows, dtype=x.dtype)
        length, values = np.empty(rows, dtype=x.dtype), np.empty((batch, rows), dtype=x.dtype)
        # neighbors below and above are kept apart: successive rays would wait for each other's sums
        lower, upper = np.empty(layers + 2, dtype=x.dtype), np.empty(layers + 2, dtype=x.dtype)
        for view in range(len(views)):
            for c in range(len(across)):
                steep, start, slope, time, pace, major = _track(
                    views[view], across[c], along[c], radius, height, width
                )
                if steep != upright:
                    continue
                _lengths(across[c] ** 2 + along[c] ** 2, up, major, length)
                _clear(values)
                for b in range(batch):
                    _add_product(values[b], y[b, view, :, c], length)
                for i in range(first, min(first + _LINES, lines)):
                    j, k, here, there = _between(start + slope * i, places, x.dtype.type(1))
                    begin, end = _inside(time + pace * i, up, bottom, layers)
                    if here + there == 0 or begin == end:
                        continue
                    _place(time + pace * i, up[begin:end], bottom, layers, left, weight)
                    low, high = np.int64(left[0]), np.int64(left[end - begin - 1]) + 2
                    for b in range(batch):
                        _scatter(values[b, begin:end], left, weight, lower[:high], upper[:high], low)
                        if upright:
                            _add(x[b, i, j, low:high], here, x[b, i, k, low:high], there, lower[low:high])
                        else:
                            _add(x[b, j, i, low:high], here, x[b, k, i, low:high], there, lower[low:high])


@njit(cache=True, error_model="numpy")
def _track(view, across, along, radius, height, width):
    """Path of a column's rays: whether along y, and their place and time on line i, linear in i."""
    cos, sin = view
    dx, dy = across * cos - along * sin, across * sin + along * cos
    right, down = (width - 1) / 2 + radius * sin, (height - 1) / 2 + radius * cos
    if abs(dy) >= abs(dx):
        return True, right + down * (dx / dy), -dx / dy, down / dy, -1 / dy, abs(dy)
    return False, down + right * (dy / dx), -dy / dx, -right / dx, 1 / dx, abs(dx)


@njit(cache=True, error_model="numpy")
def _between(place, places, one):
    """The stacks on either side of a place, and their weights, zero outside of the volume."""
    if not -1 < place < places:
        return 0, 0, 0 * one, 0 * one
    j = math.floor(place)
    share = one * (place - j)
    return max(j, 0), min(j + 1, places - 1), (one - share) * (j >= 0), share * (j + 1 < places)


@njit(cache=True, error_model="numpy")
def _inside(time, up, bottom, layers):
    """The rows whose rays pass within reach of a voxel."""
    begin, end = 0, len(up)
    while begin < end:
        middle = (begin + end) // 2
        if time * up[middle] - bottom + 1 > 0:
            end = middle
        else:
            begin = middle + 1
    low, end = begin, len(up)
    while low < end:
        middle = (low + end) // 2
        if time * up[middle] - bottom + 1 >= layers + 1:
            end = middle
        else:
            low = middle + 1
    return begin, end


@njit(cache=True, error_model="numpy")
def _place(time, up, bottom, layers, left, weight):
    """Find the layer below, and the weight of the one above."""
    for r in range(len(up)):
        p = time * up[r] - bottom + 1
        k = min(max(np.floor(p), 0.0), float(layers))  # in memory, whatever the rounding
        left[r] = np.int32(k)
        weight[r] = p - k


@njit(cache=True, error_model="numpy")
def _lengths(flat, up, major, length):
    """Lengths of a column's rays between two lines."""
    for r in range(len(up)):
        length[r] = math.sqrt(flat + up[r] ** 2) / major


@njit(cache=True, error_model="numpy")
def _mix(first, here, second, there, stack):
    for k in range(len(stack)):
        stack[k] = here * first[k] + there * second[k]


@njit(cache=True, error_model="numpy")
def _add(first, here, second, there, stack):
    for k in range(len(stack)):
        first[k] += here * stack[k]
    for k in range(len(stack)):
        second[k] += there * stack[k]


@njit(cache=True, error_model="numpy")
def _gather(stack, left, weight, row):
    above = stack[1:]
    for r in range(len(row)):
        row[r] += stack[left[r]] + weight[r] * (above[left[r]] - stack[left[r]])


@njit(cache=True, error_model="numpy")
def _scatter(row, left, weight, lower, upper, low):
    """Set the layers from `low` on of `lower`; `upper` is room to work."""
    lower[low:] = 0
    upper[low:] = 0
    for r in range(len(row)):
        share = row[r] * weight[r]
        lower[left[r]] += row[r] - share
        upper[left[r]] += share
    for k in range(low + 1, len(lower)):
        lower[k] += upper[k - 1]


@njit(cache=True, error_model="numpy")
def _clear(values):
    values[:] = 0


@njit(cache=True, error_model="numpy")
def _add_product(target, values, length):
    for r in range(len(target)):
        target[r] += values[r] * length[r]
