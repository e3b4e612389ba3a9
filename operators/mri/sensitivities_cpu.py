"""What goes through memory in multi-coil MRI, compiled for the CPU: as fast as memory, in one pass each.

Complex numbers lie as real and imaginary part side by side, arrays of the image's rows as (rows, 2 W). Each
thread writes its own rows: the same bits with any number of threads.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit, prange

from invgen.core.threads import parallel

__all__ = ["combine", "expand"]


def expand(maps: torch.Tensor, x: torch.Tensor, starts: tuple[int, ...]) -> torch.Tensor:
    """Images (batch, *image_shape) times maps (coils, *image_shape), in the order of the maps.

    The maps begin at the image's pixel `starts`, and go around.
    """
    y, s, place = x.new_empty(len(x), *maps.shape), _rows(maps), _place(maps, starts)
    for image, seen in zip(x.contiguous(), y, strict=True):
        _expand(s, _rows(image[None])[0], *place, _rows(seen))
    return y


def combine(maps: torch.Tensor, z: torch.Tensor, starts: tuple[int, ...], x: torch.Tensor) -> None:
    """Adjoint of `expand`: coil images (batch, coils, *image_shape), added to the images `x`."""
    s, place = _rows(maps), _place(maps, starts)
    for seen, image in zip(z.contiguous(), x, strict=True):
        _combine(s, _rows(seen), *place, _rows(image[None])[0])


def _rows(x: torch.Tensor) -> np.ndarray:
    """Rows of real and imaginary parts side by side, (coils, rows, 2 W), sharing the memory."""
    return torch.view_as_real(x).view(len(x), -1, 2 * x.shape[-1]).numpy()


def _place(maps: torch.Tensor, starts: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Height of the images, and the slice, row and column where the maps begin."""
    return maps.shape[-2], starts[0] if len(starts) == 3 else 0, starts[-2], starts[-1]


@parallel
def _expand(maps, x, height, layer, top, left, y):
    """Write ``maps_c x``, (coils, rows, 2 W); the maps begin at row `top` of slice `layer`, column `left`."""
    for row in prange(len(x)):
        image = x[_turned(np.int64(row), len(x) // height, height, layer, top)]
        rest = len(image) - 2 * left
        for c in range(len(maps)):
            _multiply(maps[c, row, :rest], image[2 * left :], y[c, row, :rest])
            _multiply(maps[c, row, rest:], image[: 2 * left], y[c, row, rest:])


@parallel
def _combine(maps, z, height, layer, top, left, x):
    """Add ``sum_c conj(maps_c) z_c`` to `x` (rows, 2 W), the transpose of `_expand`."""
    for row in prange(len(x)):
        image = x[_turned(np.int64(row), len(x) // height, height, layer, top)]
        rest = len(image) - 2 * left
        for c in range(len(maps)):
            _add_product(maps[c, row, :rest], z[c, row, :rest], image[2 * left :])
            _add_product(maps[c, row, rest:], z[c, row, rest:], image[: 2 * left])


@njit(cache=True, error_model="numpy")
def _turned(row, depth, height, layer, top):
    """The image's row that is the given one of the maps."""
    return (row // height + layer) % depth * height + (row % height + top) % height


@njit(cache=True, error_model="numpy")
def _multiply(s, x, y):
    for i in range(len(y) // 2):
        y[2 * i] = s[2 * i] * x[2 * i] - s[2 * i + 1] * x[2 * i + 1]
        y[2 * i + 1] = s[2 * i] * x[2 * i + 1] + s[2 * i + 1] * x[2 * i]


@njit(cache=True, error_model="numpy")
def _add_product(s, z, x):
    for i in range(len(x) // 2):
        x[2 * i] += s[2 * i] * z[2 * i] + s[2 * i + 1] * z[2 * i + 1]
        x[2 * i + 1] += s[2 * i] * z[2 * i + 1] - s[2 * i + 1] * z[2 * i]
