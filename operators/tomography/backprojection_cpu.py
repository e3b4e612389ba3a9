"""Pixel-driven backprojection of filtered views, compiled for the CPU.

Threads share the rows of the image. Positions are in pixels, with the source at `radius` from the axis; a
point whose coordinates along the detector's axis and the central ray, from the source, are (u, w) projects to
the sample ``first + scale u / w``, or on a curved detector ``first + scale atan(u / w)``, and counts
``radius^2`` over its squared distance.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from invgen.operators.tomography.backprojection import FINE


@njit(parallel=True, cache=True, error_model="numpy")
def fan(rows, views, radius, first, scale, curved, x):
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


@njit(parallel=True, cache=True, error_model="numpy")
def cone(rows, views, radius, first, scale, bottom, lowest, rise, x):
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


@njit(cache=True, error_model="numpy")
def _aim(view, y, radius, first, scale, curved, samples, left, right, near, far):
    """For each pixel of a row the two samples that it projects between, and what they count."""
    cos, sin = view
    width = len(left)
    for j in range(width):
        x = j - (width - 1) / 2
        u, w = x * cos + y * sin, radius - x * sin + y * cos
        if curved:
            place, size = first + scale * math.atan(u / w), radius * radius / (u * u + w * w)
        else:
            place, size = first + scale * (u / w), radius * radius / (w * w)
        # outer bins reach half a bin beyond their middles; what projects next to them gets nothing
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
def _mix(first, near, second, far, column):
    for r in range(len(column)):
        column[r] = near * first[r] + far * second[r]


@njit(cache=True, error_model="numpy")
def _climb(column, start, slope, stack):
    """Add to a stack of voxels what their heights find in a column of the panel."""
    last = len(column) - 1.0
    begin = min(max(math.ceil((-0.5 - start) / slope), 0), len(stack))
    end = min(max(math.floor((last + 0.5 - start) / slope) + 1, begin), len(stack))
    part = stack[begin:end]
    for k in range(len(part)):
        place = min(max(start + slope * (begin + k), 0.0), last)
        r = np.floor(place)
        below, above = np.uint32(np.int32(r)), np.uint32(np.int32(min(r + 1, last)))
        part[k] += column[below] + part.dtype.type(place - r) * (column[above] - column[below])
