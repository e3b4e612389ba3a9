"""Joseph's projector for fans of rays, compiled for the CPU.

Each ray crosses line i of the image (a row, or a column where it runs more along x) at the place
``start + slope i``: in float64 whatever the data, found once for all images of a batch. Forward, threads
share the views; adjoint, they share the lines of the image, to which the very same samples are scattered: the
same bits with any number of threads. Inner loops run over slices of arrays, from zero, which LLVM can
vectorize.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit, prange
from torch.nn.functional import pad

from invgen.core.threads import parallel
from invgen.operators.tomography.rays import DivergentRays

__all__ = ["adjoint", "forward"]

#: Lines that a thread scatters to before it goes on: the tracks of the rays are found once for all of them.
_LINES = 32


def forward(x: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Images (batch, H, W) to sinograms (batch, views, detector)."""
    y = x.new_zeros(len(x), len(rays.views), len(rays.across))
    images, flipped = (pad(a, (1, 1)).contiguous().numpy() for a in (x, x.mT))
    _project(images, flipped, *_directions(rays), rays.radius, y.numpy())
    return y.mul_(rays.pixel_size)


def adjoint(y: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Sinograms (batch, views, detector) to images (batch, H, W)."""
    _, height, width = rays.volume_shape
    x, flipped = y.new_empty(len(y), height, width + 2), y.new_empty(len(y), width, height + 2)
    _backproject(y.contiguous().numpy(), *_directions(rays), rays.radius, x.numpy(), flipped.numpy())
    return (x[..., 1:-1] + flipped[..., 1:-1].mT).mul_(rays.pixel_size)


def _directions(rays: DivergentRays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rays.views.numpy(), rays.across.numpy(), rays.along.numpy()


@parallel
def _project(x, flipped, views, across, along, radius, y):
    """Images to sinograms, lengths in pixels.

    `x` (batch, H, W + 2) and `flipped` (batch, W, H + 2), the images transposed, have a column of zeros on
    either side. `views` holds cosine and sine of each view angle, `across` and `along` the directions of the
    rays, `radius` is the distance of the source from the axis. Adds to `y` (batch, views, detector).
    """
    batch, height, width = x.shape[0], x.shape[1], x.shape[2] - 2
    count = len(across)
    for view in prange(len(views)):
        steep = np.empty(count, dtype=np.bool_)
        start, slope, length = np.empty(count), np.empty(count), np.empty(count, dtype=x.dtype)
        left, weight = np.empty(count, dtype=np.uint32), np.empty(count, dtype=x.dtype)
        _tracks(views[view], across, along, radius, height, width, steep, start, slope, length)
        low = 0
        while low < count:
            high = _same(steep, low)
            image, lines, places = (x, height, width) if steep[low] else (flipped, width, height)
            for i in range(lines):
                begin, end = _inside(start, slope, i, low, high, places)
                _place(start[begin:end], slope[begin:end], i, places, left, weight)
                for b in range(batch):
                    _gather(image[b, i], left, weight, y[b, view, begin:end])
            low = high
        for b in range(batch):
            _multiply(y[b, view], length)


@parallel
def _backproject(y, views, across, along, radius, x, flipped):
    """Sinograms to images, lengths in pixels; the transpose of `_project`.

    Writes to `x` (batch, H, W + 2) what rays along y scatter, and to `flipped` (batch, W, H + 2), transposed,
    what rays along x do.
    """
    batch, height, width = x.shape[0], x.shape[1], x.shape[2] - 2
    count = len(across)
    blocks = -(-height // _LINES)
    for number in prange(blocks + -(-width // _LINES)):
        task = np.int64(number)
        upright = task < blocks
        image, lines, places = (x, height, width) if upright else (flipped, width, height)
        first = _LINES * (task if upright else task - blocks)
        last = min(first + _LINES, lines)
        steep = np.empty(count, dtype=np.bool_)
        start, slope, length = np.empty(count), np.empty(count), np.empty(count, dtype=x.dtype)
        left, weight = np.empty(count, dtype=np.uint32), np.empty(count, dtype=x.dtype)
        # neighbors on the left and right are kept apart: successive rays would wait for each other's sums
        lefts = np.zeros((batch, last - first, places + 2), dtype=x.dtype)
        rights = np.zeros((batch, last - first, places + 2), dtype=x.dtype)
        for view in range(len(views)):
            _tracks(views[view], across, along, radius, height, width, steep, start, slope, length)
            low = 0
            while low < count:
                high = _same(steep, low)
                if steep[low] == upright:
                    for i in range(first, last):
                        begin, end = _inside(start, slope, i, low, high, places)
                        _place(start[begin:end], slope[begin:end], i, places, left, weight)
                        for b in range(batch):
                            _scatter(
                                y[b, view, begin:end],
                                length[begin:end],
                                left,
                                weight,
                                lefts[b, i - first],
                                rights[b, i - first],
                            )
                low = high
        for b in range(batch):
            for i in range(last - first):
                _join(lefts[b, i], rights[b, i], image[b, first + i])


@njit(cache=True, error_model="numpy")
def _tracks(view, across, along, radius, height, width, steep, start, slope, length):
    """Find where rays cross line i: at ``start + slope i``, the place one being the first pixel's."""
    cos, sin = view
    right, down = (width - 1) / 2 + radius * sin, (height - 1) / 2 + radius * cos
    for d in range(len(across)):
        dx, dy = across[d] * cos - along[d] * sin, across[d] * sin + along[d] * cos
        upright = abs(dy) >= abs(dx)
        q = (dx if upright else dy) / (dy if upright else dx)
        start[d] = 1 + (right + down * q if upright else down + right * q)
        slope[d] = -q
        length[d] = math.sqrt(1 + q * q)
        steep[d] = upright


@njit(cache=True, error_model="numpy")
def _same(steep, low):
    """End of the rays that, from `low` on, cross the same kind of lines."""
    high = low + 1
    while high < len(steep) and steep[high] == steep[low]:
        high += 1
    return high


@njit(cache=True, error_model="numpy")
def _inside(start, slope, i, low, high, places):
    """Of the rays from `low` to `high`, whose places rise or fall, those within reach of a pixel."""
    rising = start[high - 1] + slope[high - 1] * i >= start[low] + slope[low] * i
    begin, end = low, high
    while begin < end:
        middle = (begin + end) // 2
        p = start[middle] + slope[middle] * i
        if (p > 0) if rising else (p < places + 1):
            end = middle
        else:
            begin = middle + 1
    low, end = begin, high
    while low < end:
        middle = (low + end) // 2
        p = start[middle] + slope[middle] * i
        if (p >= places + 1) if rising else (p <= 0):
            end = middle
        else:
            low = middle + 1
    return begin, end


@njit(cache=True, error_model="numpy")
def _place(start, slope, i, places, left, weight):
    """Find the neighbor on the left, and the weight of the other one."""
    for d in range(len(start)):
        p = start[d] + slope[d] * i
        j = min(max(np.floor(p), 0.0), float(places))  # in memory, whatever the rounding of a far source
        left[d] = np.int32(j)
        weight[d] = p - j


@njit(cache=True, error_model="numpy")
def _gather(line, left, weight, row):
    after = line[1:]
    for d in range(len(row)):
        row[d] += line[left[d]] + weight[d] * (after[left[d]] - line[left[d]])


@njit(cache=True, error_model="numpy")
def _scatter(row, length, left, weight, lefts, rights):
    for d in range(len(row)):
        value = row[d] * length[d]
        share = value * weight[d]
        lefts[left[d]] += value - share
        rights[left[d]] += share


@njit(cache=True, error_model="numpy")
def _join(lefts, rights, line):
    line[0] = lefts[0]
    for j in range(1, len(line)):
        line[j] = lefts[j] + rights[j - 1]


@njit(cache=True, error_model="numpy")
def _multiply(row, length):
    for d in range(len(row)):
        row[d] *= length[d]
