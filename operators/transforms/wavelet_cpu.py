"""Levels of a periodized wavelet transform, compiled for the CPU.

Data are rows (rows, floats), the last axis of each image, complex numbers as real and imaginary part side by
side; the rows are those of images (batch, depth, height). Along an axis, pairs of neighbors, of samples or of
a low and a high coefficient, go through a circulant matrix of blocks of two, see
`invgen.operators.transforms.wavelet_torch.Circulant`.
Each thread writes its own rows: the same bits with any number of threads, and in any batch.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numba import njit, prange

from invgen.core.threads import parallel
from invgen.operators.transforms.wavelet_torch import Circulant, corner

__all__ = ["merge", "split"]


def split(y: torch.Tensor, matrix: Circulant, levels: int) -> None:
    """Split the approximations of images `y`, (batch, *sizes), `levels` times along all axes, in place."""
    _transform(y, matrix, range(levels), True)


def merge(y: torch.Tensor, matrix: Circulant, levels: int) -> None:
    """Merge the approximation and the details of all levels of `y`, (batch, *sizes), in place."""
    _transform(y, matrix, reversed(range(levels)), False)


def _transform(y: torch.Tensor, matrix: Circulant, levels: Iterable[int], split: bool) -> None:
    other, parts, missing = torch.empty_like(y), 2 if y.is_complex() else 1, 4 - y.ndim
    shape = (1,) * missing + tuple(y.shape[1:])
    memory = [
        (torch.view_as_real(z) if parts == 2 else z).view(-1, parts * shape[-1]).numpy() for z in (y, other)
    ]
    filters = parts, matrix.taps.like(y).numpy(), matrix.first, split
    for level in levels:
        sizes = (1,) * missing + tuple(n >> level for n in y.shape[1:])
        source, target = memory
        # from one memory to the other, and back
        _along(source, shape, sizes, *filters, target)
        for axis in range(1, missing - 1, -1):
            source, target = target, source
            _across(source, shape, sizes, axis, *filters, target)
        if target is memory[1]:
            approximation = corner(n >> level for n in y.shape[1:])
            y[approximation] = other[approximation]


@parallel
def _along(x, shape, sizes, parts, taps, first, split, y):
    """Transform the last axis of the corner `sizes` of each image, of (depth, height, width) `shape`: x to y.

    Samples of pairs are neighbors, coefficients of pairs lie half the width apart: `split` goes from samples
    to coefficients, and else back. A number has one or two `parts`.
    """
    depth, rows, width = sizes
    images = len(x) // (shape[0] * shape[1])
    pairs, reach = width // 2, len(taps)
    for number in prange(images * depth * rows):
        i = np.int64(number)
        row = (i // (depth * rows) * shape[0] + i // rows % depth) * shape[1] + i % rows
        source, target = x[row], y[row]
        # one member of each pair, with what follows it around the circle
        even = np.empty((pairs + reach - 1) * parts, dtype=x.dtype)
        odd = np.empty((pairs + reach - 1) * parts, dtype=x.dtype)
        if split:
            _take(source, 0, 2, parts, pairs, first, even)
            _take(source, 1, 2, parts, pairs, first, odd)
        else:
            _take(source, 0, 1, parts, pairs, first, even)
            _take(source, pairs, 1, parts, pairs, first, odd)
        low = np.zeros(pairs * parts, dtype=x.dtype)
        high = np.zeros(pairs * parts, dtype=x.dtype)
        for j in range(reach):
            a, b = even[j * parts :], odd[j * parts :]
            _add_two(taps[j, 0, 0], a, taps[j, 0, 1], b, low)
            _add_two(taps[j, 1, 0], a, taps[j, 1, 1], b, high)
        if split:
            target[: pairs * parts] = low
            target[pairs * parts : width * parts] = high
        else:
            _interleave(low, high, parts, target)


@parallel
def _across(x, shape, sizes, axis, parts, taps, first, split, y):
    """Transform the axis of depth (0) or of height (1) of the same corners."""
    depth, rows, width = sizes
    images = len(x) // (shape[0] * shape[1])
    pairs, reach = sizes[axis] // 2, len(taps)
    stride = shape[1] if axis == 0 else 1
    others = rows if axis == 0 else depth
    apart = pairs if split else 1
    step = 1 if split else 2
    for number in prange(images * others * pairs):
        i = np.int64(number)
        image, other, k = i // (others * pairs), i // pairs % others, i % pairs
        begin = image * shape[0] * shape[1] + (other if axis == 0 else other * shape[1])
        low = y[begin + step * k * stride][: width * parts]
        high = y[begin + (step * k + apart) * stride][: width * parts]
        low[:] = 0
        high[:] = 0
        for j in range(reach):
            p = (k + first + j) % pairs
            if split:
                a, b = x[begin + 2 * p * stride], x[begin + (2 * p + 1) * stride]
            else:
                a, b = x[begin + p * stride], x[begin + (p + pairs) * stride]
            _add_two(taps[j, 0, 0], a, taps[j, 0, 1], b, low)
            _add_two(taps[j, 1, 0], a, taps[j, 1, 1], b, high)


@njit(cache=True, error_model="numpy")
def _take(row, begin, step, parts, pairs, first, member):
    filled, count = 0, len(member) // parts
    while filled < count:
        pair = (first + filled) % pairs
        some = min(pairs - pair, count - filled)
        source, target = row[(begin + step * pair) * parts :], member[filled * parts :]
        if parts == 1:
            for k in range(some):
                target[k] = source[step * k]
        else:
            for k in range(some):
                target[2 * k], target[2 * k + 1] = source[2 * step * k], source[2 * step * k + 1]
        filled += some


@njit(cache=True, error_model="numpy")
def _add_two(s, a, t, b, total):
    for j in range(len(total)):
        total[j] += s * a[j] + t * b[j]


@njit(cache=True, error_model="numpy")
def _interleave(low, high, parts, row):
    if parts == 1:
        for k in range(len(low)):
            row[2 * k], row[2 * k + 1] = low[k], high[k]
    else:
        for k in range(len(low) // 2):
            row[4 * k], row[4 * k + 1] = low[2 * k], low[2 * k + 1]
            row[4 * k + 2], row[4 * k + 3] = high[2 * k], high[2 * k + 1]
