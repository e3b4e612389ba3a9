"""Fewer pixels: super-resolution."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from invgen.core.checks import is_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.operators.imaging.blocks import Blocks
from invgen.operators.imaging.separable import Separable
from invgen.operators.linear import SVD, LinearOperator

__all__ = ["Downsample"]


class Downsample(LinearOperator):
    """Reduce the last axes by integer factors.

    Where a factor does not divide a size, there are ``ceil(size / factor)`` pixels: the last block of an
    average is a partial one, as in ``PIL.Image.reduce``; bicubic and Lanczos filters stretch over the whole
    image, as in ``PIL.Image.resize``.

    Parameters
    ----------
    image_shape : tuple of int
        Shape of the images, such as ``(H, W)`` or ``(C, H, W)``, or ``(D, H, W)`` for volumes.
    factor : int or tuple of int
        Ratios of the sizes along the last one to three axes; a single number holds for the last two. For
        volumes three, such as ``(2, 2, 2)``.
    kind : {"block", "bicubic", "lanczos"}
        Averages of blocks; or interpolation with anti-aliasing: the filter is stretched by the factor, and
        its weights are normalized at the borders, as in PIL (bicubic with a = -1/2, Keys 1981, and Lanczos
        with three lobes) up to the rounding of its 32-bit images.
    field : {"real", "complex"}

    Raises
    ------
    ShapeError
        If the images have fewer axes than there are factors.
    ParameterError
        If a factor is not a positive integer or larger than the image, or the kind is unknown.
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        factor: int | tuple[int, ...],
        kind: str = "block",
        field: str = "real",
    ) -> None:
        factors = tuple(factor) if isinstance(factor, tuple | list) else (factor, factor)
        if not 1 <= len(factors) <= 3 or not all(map(is_count, factors)):
            raise ParameterError(
                f"Downsample: factor must be a positive integer, or one to three of them; got {factor}."
            )
        axes = len(image_shape) - len(factors)
        if axes < 0:
            raise ShapeError(
                f"Downsample by {len(factors)} factors expects images with {len(factors)} axes or more, such "
                f"as (..., H, W); got image_shape {tuple(image_shape)}."
            )
        sizes = tuple(image_shape[axes:])
        if any(f > n for f, n in zip(factors, sizes, strict=True)):
            raise ParameterError(f"Downsample: factor {factor} is larger than the image, {sizes}.")
        if kind != "block" and kind not in _FILTERS:
            raise ParameterError(f"Downsample: kind is 'block', 'bicubic' or 'lanczos'; got {kind!r}.")
        self._resampler: LinearOperator
        if kind == "block":
            self._resampler = Blocks(tuple(image_shape), tuple(int(f) for f in factors), field)
        else:
            matrices = [
                _resize(n, -(-n // int(f)), *_FILTERS[kind]) for n, f in zip(sizes, factors, strict=True)
            ]
            self._resampler = Separable(matrices, tuple(image_shape[:axes]), field)
        super().__init__(self._resampler.domain, self._resampler.range)
        self.nonnegative = self._resampler.nonnegative

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return self._resampler._apply(x)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return self._resampler._adjoint(y)

    def _norm(self) -> float:
        return self._resampler.norm()

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        return self._resampler._solve(b, shift)

    def _svd(self) -> SVD | None:
        """Orthogonal rows for blocks, else a Kronecker product of the axes' own."""
        return self._resampler.svd


def _bicubic(t: float) -> float:
    t, a = abs(t), -0.5
    if t < 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return (((t - 5) * t + 8) * t - 4) * a if t < 2 else 0.0


def _lanczos(t: float) -> float:
    return _sinc(t) * _sinc(t / 3) if -3 <= t < 3 else 0.0


def _sinc(t: float) -> float:
    return math.sin(math.pi * t) / (math.pi * t) if t else 1.0


#: The filter of each kind, and half its width.
_FILTERS: dict[str, tuple[Callable[[float], float], float]] = {
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}


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
