"""Convolution with a kernel: deblurring."""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import Any

import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.core.space import Space
from invgen.operators.imaging.fourier_basis import Filter, FourierBasis
from invgen.operators.imaging.mask import Mask
from invgen.operators.linear import SVD, LinearOperator
from invgen.operators.spectral import divide, solve_by_svd
from invgen.operators.transforms.cosine import DCT

__all__ = ["Blur"]

_BOUNDARIES = ("circular", "reflect", "zero")


class Blur(LinearOperator):
    """Convolve with a kernel: ``y[i] = sum_l k[l] x[i + n // 2 - l]``, n being the kernel's size.

    As ``scipy.ndimage.convolve``, with the middle of the kernel at ``n // 2``; ``operators.kernels`` has
    kernels. `solve` and `svd` are closed forms for circular boundaries and, where the kernel is exactly
    symmetric along each axis, for reflected ones; else `solve` iterates. `nonnegative` is false also for
    kernels without negative entries, since FFTs round zeros to numbers such as -1e-17.

    Parameters
    ----------
    image_shape : tuple of int
        Shape of the images; the kernel acts along the last axes, and the others are channels.
    kernel : tensor or array
        With two axes, for volumes with three (or any number), of any size; may be complex for complex images.
    boundary : {"circular", "reflect", "zero"}
        Continuation of the image beyond its edges: periodic; mirrored with the edge pixels repeated (``d c b
        a | a b c d | d c b a``, "reflect" of SciPy and "symmetric" of NumPy); zero.
    field : {"real", "complex"}

    Raises
    ------
    ShapeError
        If the kernel has more axes than the images, or none.
    ParameterError
        If it has values that are not finite, or is complex for real images; if the boundary is unknown.
    """

    def __init__(
        self, image_shape: tuple[int, ...], kernel: Any, boundary: str = "circular", field: str = "real"
    ) -> None:
        space, kernel = Space(image_shape, field), torch.as_tensor(kernel).detach()
        kernel = kernel.to(torch.complex128 if kernel.is_complex() else torch.float64)
        if boundary not in _BOUNDARIES:
            raise ParameterError(f"Blur: boundary is 'circular', 'reflect' or 'zero'; got {boundary!r}.")
        if not 1 <= kernel.ndim <= len(space.shape) or not kernel.numel():
            raise ShapeError(
                f"Blur: a kernel of shape {tuple(kernel.shape)} does not fit images of shape {space.shape}."
            )
        if not bool(torch.isfinite(kernel).all()):
            raise ParameterError("Blur: the kernel has NaN or infinite values.")
        if kernel.is_complex() and field == "real":
            raise ParameterError("Blur: a complex kernel needs field='complex'.")
        super().__init__(space, space)
        self._kernel, self._boundary = Constant(kernel), boundary
        self._sizes = space.shape[len(space.shape) - kernel.ndim :]
        self._channels = space.shape[: len(space.shape) - kernel.ndim]
        #: Grid on which the convolution is periodic.
        self._grid = Space(
            self._sizes
            if boundary == "circular"
            else tuple(_fast(n + k - 1) for n, k in zip(self._sizes, kernel.shape, strict=True)),
            field,
        )
        self._symbol = Constant(self._grid.half(_symbol(kernel, self._grid.shape)))

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        if self._boundary == "circular":
            return self._grid.filter(self._symbol.like(x), x)
        return self._crop(self._grid.filter(self._symbol.like(x), self._extend(x)))

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        symbol = self._symbol.like(y).conj()
        if self._boundary == "circular":
            return self._grid.filter(symbol, y)
        return self._fold(self._grid.filter(symbol, self._pad(y)))

    @cached_property
    def _sources(self) -> tuple[Constant, ...]:
        """For each axis the index of the image pixel that a pixel of the extended image repeats."""
        sources = []
        for n, k in zip(self._sizes, self._kernel.value.shape, strict=True):
            place = torch.arange(n + k - 1) - (k - 1 - k // 2)
            place = place.remainder(2 * n)
            sources.append(Constant(torch.where(place < n, place, 2 * n - 1 - place)))
        return tuple(sources)

    def _margins(self) -> list[tuple[int, int, int]]:
        """For each axis: its number from the end, the number of pixels added before the image, its size."""
        shape = self._kernel.value.shape
        return [
            (i - len(shape), k - 1 - k // 2, n)
            for i, (n, k) in enumerate(zip(self._sizes, shape, strict=True))
        ]

    def _extend(self, x: torch.Tensor) -> torch.Tensor:
        """The image with margins of the kernel's width, padded by zeros to a fast size."""
        if self._boundary == "zero":
            return self._pad(x)
        for (axis, _, _), source in zip(self._margins(), self._sources, strict=True):
            x = x.index_select(axis, source.like(x))
        whole = x.new_zeros(*x.shape[: x.ndim - len(self._sizes)], *self._grid.shape)
        part = whole
        for (axis, _, _), source in zip(self._margins(), self._sources, strict=True):
            part = part.narrow(axis, 0, len(source.value))
        part.copy_(x)
        return whole

    def _fold(self, x: torch.Tensor) -> torch.Tensor:
        """Adjoint of `_extend`."""
        if self._boundary == "zero":
            return self._crop(x)
        for (axis, before, n), k in zip(self._margins(), self._kernel.value.shape, strict=True):
            total = x.new_zeros(*x.shape[:axis], n, *x.shape[x.ndim + axis + 1 :])
            after = k - 1 - before
            # image by mirror image, rather than by index, so that a GPU adds in the same order every time
            for mirror in range(-before // n, (n - 1 + after) // n + 1):
                first, last = max(mirror * n, -before), min((mirror + 1) * n, n + after)
                part = x.narrow(axis, first + before, last - first)
                start = first - mirror * n
                if mirror % 2:
                    part, start = part.flip(axis), (mirror + 1) * n - last
                total.narrow(axis, start, last - first).add_(part)
            x = total
        return x

    def _pad(self, x: torch.Tensor) -> torch.Tensor:
        whole = x.new_zeros(*x.shape[: x.ndim - len(self._sizes)], *self._grid.shape)
        self._window(whole).copy_(x)
        return whole

    def _crop(self, x: torch.Tensor) -> torch.Tensor:
        return self._window(x).contiguous()

    def _window(self, whole: torch.Tensor) -> torch.Tensor:
        """The part of an extended image that is the image itself, as a view."""
        for axis, before, n in self._margins():
            whole = whole.narrow(axis, before, n)
        return whole

    @cached_property
    def _eigenvalues(self) -> torch.Tensor | None:
        """In the basis of Fourier or of cosines; None where neither diagonalizes the blur."""
        kernel = self._kernel.value
        if self._boundary == "circular":
            return _symbol(kernel, self._sizes)
        if self._boundary == "zero" or kernel.is_complex() or not _symmetric(kernel):
            return None
        # cosines are the waves of the mirrored, periodic image of twice the size
        double = _symbol(kernel, tuple(2 * n for n in self._sizes)).real
        return double[tuple(slice(0, n) for n in self._sizes)]

    def _svd(self) -> SVD | None:
        """In the Fourier basis for circular boundaries, in that of cosines for symmetric reflected ones."""
        values = self._eigenvalues
        if values is None:
            return None
        field, s = self.domain.field, values.abs()
        if self._boundary == "circular":
            V: LinearOperator = FourierBasis(self.domain.shape, len(self._sizes), field)
            phase = torch.where(s > 0, values / torch.where(s > 0, s, 1), 1)
            U: LinearOperator = Filter(self.domain.shape, phase, field) @ V
        else:
            V = DCT(self.domain.shape, field, range(-len(self._sizes), 0)).H
            # Mask is a diagonal matrix, here of signs of coefficients
            U = V @ Mask(torch.where(values < 0, -1.0, 1.0), self.domain.shape, field)
        return SVD(U, s.expand(self.domain.shape), V)

    @cached_property
    def _gains(self) -> Constant:
        """Magnitude of the symbol of a circular blur."""
        return Constant(self._symbol.value.abs())

    @property
    def has_closed_form_solve(self) -> bool:
        """For circular boundaries, and for reflected ones where the kernel is symmetric along each axis."""
        return self._eigenvalues is not None

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        if self._boundary == "reflect":
            return solve_by_svd(self.svd, b, shift)
        s = self._gains.like(b)
        inverse = divide(torch.ones_like(s), s**2 + shift, s)
        return self._grid.filter(inverse, b)

    def _norm(self) -> float:
        if self._eigenvalues is not None:
            return float(self._eigenvalues.abs().max())
        if self._channels:  # all alike
            return Blur(self._sizes, self._kernel.value, self._boundary, self.domain.field).norm()
        return super()._norm()

    def _gram(self) -> LinearOperator:
        if self._boundary != "circular":
            return super()._gram()
        return Filter(
            self.domain.shape, _symbol(self._kernel.value, self._sizes).abs() ** 2, self.domain.field
        )

    @cached_property
    def spectrum(self) -> Constant:
        """That of the circular blur."""
        symbol = _symbol(self._kernel.value, self._sizes).abs() ** 2
        return Constant(symbol.expand(self.domain.shape).clone())


def _symbol(kernel: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Fourier transform of the kernel about its middle, wrapped onto a periodic grid; complex128."""
    wrapped = kernel
    for axis, (n, k) in enumerate(zip(shape, kernel.shape, strict=True)):
        places = (torch.arange(k) - k // 2).remainder(n)
        size = list(wrapped.shape)
        size[axis] = n
        wrapped = wrapped.new_zeros(size).index_add(axis, places, wrapped)
    symbol = torch.fft.fftn(wrapped)
    if not kernel.is_complex():
        # exactly conjugate at opposite frequencies, even where the symbol is rounding: its phase is used
        axes = tuple(range(symbol.ndim))
        symbol = (symbol + symbol.flip(axes).roll((1,) * symbol.ndim, axes).conj()) / 2
    return symbol


def _symmetric(kernel: torch.Tensor) -> bool:
    """Whether mirroring along any one axis about the middle changes nothing."""
    for axis, k in enumerate(kernel.shape):
        odd = kernel
        if k % 2 == 0:  # the middle is at k // 2, with one more pixel before it than after it
            odd = torch.cat([kernel, torch.zeros_like(kernel.narrow(axis, 0, 1))], dim=axis)
        if not torch.equal(odd, odd.flip(axis)):
            return False
    return True


def _fast(n: int) -> int:
    """The next size with factors 2, 3 and 5 only."""
    for size in itertools.count(n):
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
    raise AssertionError
