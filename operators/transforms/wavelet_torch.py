"""Levels of a periodized wavelet transform in plain PyTorch, by products of matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from invgen.core.frozen import Constant

__all__ = ["Circulant", "corner", "merge", "split"]


class Circulant:
    """Circulant matrix of blocks of two along the first axis: ``y_k = sum_j taps_j x_(k + first + j)``.

    The indices count pairs of neighbors, of samples or of a low and a high coefficient, modulo their number.
    A few pairs at a time are one product with a small banded matrix, of windows that overlap in memory.

    Parameters
    ----------
    taps : float64 tensor, shape (j, 2, 2)
    first : int
    """

    #: Pairs in a product: with fewer the calls cost more than the arithmetic, with more the band is emptier.
    _BLOCK = 4

    def __init__(self, taps: torch.Tensor, first: int) -> None:
        self.taps, self.first = Constant(taps), first
        block, reach = self._BLOCK, len(taps)
        matrix = taps.new_zeros(block, 2, block + reach - 1, 2)
        for k in range(block):
            matrix[k, :, k : k + reach] = taps.movedim(0, 1)
        self._matrix, self._start = Constant(matrix.flatten(2).flatten(0, 1)), 2 * first

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Apply to `x`, (b, n, *others), of even n."""
        (b, n), (step, width) = x.shape[:2], self._matrix.value.shape
        blocks = -(-n // step)
        extended = x.new_empty(b, (blocks - 1) * step + width, *x.shape[2:])
        filled = 0
        while filled < extended.shape[1]:
            begin = (self._start + filled) % n
            count = min(n - begin, extended.shape[1] - filled)
            extended[:, filled : filled + count] = x[:, begin : begin + count]
            filled += count
        rows = torch.view_as_real(extended) if x.is_complex() else extended
        windows = rows.reshape(b, extended.shape[1], -1).unfold(1, width, step)
        y = torch.matmul(self._matrix.like(x), windows.mT).reshape(b, blocks * step, *rows.shape[2:])
        return (torch.view_as_complex(y) if x.is_complex() else y)[:, :n]


def split(y: torch.Tensor, matrix: Circulant, levels: int) -> None:
    """Split the approximations of images `y`, (batch, *sizes), `levels` times along all axes, in place."""
    for level in range(levels):
        _one_level(y, level, lambda part: _split_axis(matrix, part))


def merge(y: torch.Tensor, matrix: Circulant, levels: int) -> None:
    """Merge the approximation and the details of all levels of `y`, (batch, *sizes), in place."""
    for level in reversed(range(levels)):
        _one_level(y, level, lambda part: _merge_axis(matrix, part))


def corner(sizes: Iterable[int]) -> tuple[Any, ...]:
    """Index of the first places along each of the last axes, `sizes` of them."""
    return (..., *(slice(n) for n in sizes))


def _one_level(y: torch.Tensor, level: int, along: Callable[[torch.Tensor], torch.Tensor]) -> None:
    approximation = corner(n >> level for n in y.shape[1:])
    part = y[approximation]
    for _ in y.shape[1:]:
        # each axis in turn lies first while it is transformed, the last one to begin with
        part = along(part.movedim(-1, 1))
    y[approximation] = part


def _split_axis(matrix: Circulant, x: torch.Tensor) -> torch.Tensor:
    pairs = matrix(x).unflatten(1, (-1, 2))
    return pairs.transpose(1, 2).flatten(1, 2)


def _merge_axis(matrix: Circulant, y: torch.Tensor) -> torch.Tensor:
    pairs = y.unflatten(1, (2, -1))
    return matrix(pairs.transpose(1, 2).flatten(1, 2))
