"""Fewer pixels: super-resolution."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral

import torch

from invgen.errors import ParameterError, ShapeError
from invgen.operators.imaging.separable import Separable

__all__ = ["Downsample"]


class Downsample(Separable):
    """Reduce the last two axes by an integer factor.

    Where the factor does not divide a size, ``ceil(size / factor)`` pixels come out: the last block of an
    average is a partial one, as in ``PIL.Image.reduce``; bicubic and Lanczos stretch over the whole image,
    as in ``PIL.Image.resize``.

    Parameters
    ----------
    image_shape : tuple of int
        Shape of the images, ``(H, W)`` or ``(C, H, W)``.
    factor : int or (int, int)
        Rows and columns for each one that is left.
    kind : {"block", "bicubic", "lanczos"}
        Average of blocks; or interpolation with anti-aliasing, the filter being stretched by the factor, and
        its weights normalized at the borders: as PIL does it (bicubic with a = -1/2, Keys 1981, and
        Lanczos of three lobes), to the rounding of its 32-bit images.
    field : {"real", "complex"}

    Raises
    ------
    ShapeError
        If the images have less than two axes.
    ParameterError
        If the factor is not a positive integer, larger than the image, or the kind unknown.
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        factor: int | tuple[int, int],
        kind: str = "block",
        field: str = "real",
    ) -> None:
        if len(image_shape) < 2:
            raise ShapeError(f"Downsample expects images (..., H, W); got image_shape {tuple(image_shape)}.")
        factors = factor if isinstance(factor, tuple | list) else (factor, factor)
        if len(factors) != 2 or any(not isinstance(f, Integral) or f < 1 for f in factors):
            raise ParameterError(f"Downsample: factor must be a positive integer, or two; got {factor}.")
        sizes = tuple(image_shape[-2:])
        if any(f > n for f, n in zip(factors, sizes, strict=True)):
            raise ParameterError(f"Downsample: factor {factor} is larger than the image, {sizes}.")
        if kind != "block" and kind not in _FILTERS:
            raise ParameterError(f"Downsample: kind is 'block', 'bicubic' or 'lanczos'; got {kind!r}.")
        matrices = [
            _blocks(n, int(f)) if kind == "block" else _resize(n, -(-n // int(f)), *_FILTERS[kind])
            for n, f in zip(sizes, factors, strict=True)
        ]
        super().__init__(matrices, tuple(image_shape[:-2]), field)


def _bicubic(t: float) -> float:
    t, a = abs(t), -0.5
    if t < 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return (((t - 5) * t + 8) * t - 4) * a if t < 2 else 0.0


def _lanczos(t: float) -> float:
    return _sinc(t) * _sinc(t / 3) if -3 <= t < 3 else 0.0


def _sinc(t: float) -> float:
    return math.sin(math.pi * t) / (math.pi * t) if t else 1.0


#: Each kind's filter and half of its width.
_FILTERS: dict[str, tuple[Callable[[float], float], float]] = {
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}


def _blocks(n: int, factor: int) -> torch.Tensor:
    """Matrix of averages of blocks, shape (ceil(n / factor), n)."""
    R = torch.zeros(-(-n // factor), n, dtype=torch.float64)
    for i, row in enumerate(R):
        block = row[i * factor : (i + 1) * factor]
        block[:] = 1 / len(block)
    return R


def _resize(n: int, m: int, window: Callable[[float], float], width: float) -> torch.Tensor:
    """Matrix that resizes n pixels to m, shape (m, n); as ``precompute_coeffs`` in Pillow's Resample.c."""
    if m == n:
        return torch.eye(n, dtype=torch.float64)
    R = torch.zeros(m, n, dtype=torch.float64)
    scale = n / m
    support = width * scale
    for i in range(m):
        center = (i + 0.5) * scale
        first, last = max(int(center - support + 0.5), 0), min(int(center + support + 0.5), n)
        weights = torch.tensor(
            [window((j - center + 0.5) / scale) for j in range(first, last)], dtype=torch.float64
        )
        R[i, first:last] = weights / weights.sum()
    return R
