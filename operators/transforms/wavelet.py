"""The discrete wavelet transform."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError
from invgen.core.frozen import Constant
from invgen.core.space import Space
from invgen.core.threads import torch_threads
from invgen.operators.basic import Identity
from invgen.operators.linear import SVD, LinearOperator

__all__ = ["Wavelet"]

#: Distance from orthonormality that is rounding: some of PyWavelets' orthogonal filters have 11 digits.
_ORTHONORMAL = 1e-10

#: Default number of levels where one more would need padding.
_ENOUGH = 3


class Wavelet(LinearOperator):
    """Periodized discrete wavelet transform, along each of `axes`.

    The coefficients are arranged as in Mallat (1989): in the first ``n / 2**levels`` places along each axis
    those of the approximation, around them the details, from coarse to fine, as
    ``pywt.coeffs_to_array(pywt.wavedecn(x, wavelet, "periodization", levels, axes))`` has them. With an
    orthogonal filter the transform is an isometry, ``W.H W = 1``, and where no size is padded the adjoint is
    the inverse; with a biorthogonal one `H` is the adjoint, and the inverse is `pinv`.

    Parameters
    ----------
    shape : tuple of int
        Shape of the images.
    wavelet : str
        Any discrete wavelet of PyWavelets: "haar", "db4", "sym8", "coif2", "bior4.4", ...
    levels : int, optional
        Number of levels of the decomposition. By default the largest at which the approximation is longer
        than the filter, so that few coefficients depend on both edges of the image; fewer, but not below
        three, where that avoids padding.
    axes : tuple of int
        Axes to transform: two for images, three for volumes. The other axes are channels, each on its own.
    field : {"real", "complex"}

    Raises
    ------
    ParameterError
        If PyWavelets has no such filter, the axes are not different axes of the images, or there are more
        levels than the images can be split.

    Notes
    -----
    A size that ``2**levels`` does not divide is padded with zeros at the far end, and the range is larger
    than the domain.

    References
    ----------
    Mallat (1989), A theory for multiresolution signal decomposition: the wavelet representation, sections
    III.A and III.B.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        wavelet: str = "db4",
        levels: int | None = None,
        axes: Sequence[int] = (-2, -1),
        field: str = "real",
    ) -> None:
        domain = Space(shape, field)
        dimensions = len(domain.shape)
        counted = sorted({a % dimensions - dimensions for a in axes if -dimensions <= a < dimensions})
        if not counted or len(counted) != len(axes):
            raise ParameterError(
                f"Wavelet: axes must be different axes of images {domain.shape}; got {tuple(axes)}."
            )
        #: Axes that are transformed, counted from the end.
        self.axes = tuple(counted)
        self.wavelet = wavelet
        low, high = _filters(wavelet)
        sizes = [domain.shape[a] for a in self.axes]
        #: Number of levels of the decomposition.
        self.levels = _default_levels(sizes, len(low)) if levels is None else _checked_levels(levels, sizes)
        step = 2**self.levels
        padded = list(domain.shape)
        for a in self.axes:
            padded[a] = -(-padded[a] // step) * step
        super().__init__(domain, Space(tuple(padded), field))
        first, taps = _polyphase(low, high)
        #: Whether ``W.H W`` is the identity.
        self.orthonormal = _distance_from_orthonormal(taps) < _ORTHONORMAL
        self._split = _Circulant(taps, first)
        self._merge = _Circulant(taps.flip(0).mT, 1 - len(taps) - first)
        # the axes that are transformed lie last, and each of the others is a batch
        self._inner = Space(tuple(sizes), field)
        self._trailing = tuple(range(-len(sizes), 0))
        self._padded = tuple(padded[a] for a in self.axes)

    @property
    def details(self) -> torch.Tensor:
        """True for coefficients of details, False for those of the approximation; shape of the range."""
        mask = torch.ones(self.range.shape, dtype=torch.bool)
        mask.movedim(self.axes, self._trailing)[self._corner(self.levels)] = False
        return mask

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        flat, batch = self._inner.flatten(x.movedim(self.axes, self._trailing))
        y = x.new_zeros(len(flat), *self._padded)
        y[_first(self._inner.shape)] = flat
        y = self._levels(y, self._split).reshape(*batch, *self._padded)
        return y.movedim(self._trailing, self.axes).contiguous()

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        flat, batch = Space(self._padded, self.range.field).flatten(y.movedim(self.axes, self._trailing))
        x = self._levels(flat.clone(memory_format=torch.contiguous_format), self._merge)
        x = x[_first(self._inner.shape)].reshape(*batch, *self._inner.shape)
        return x.movedim(self._trailing, self.axes).contiguous()

    def _levels(self, y: torch.Tensor, matrix: _Circulant) -> torch.Tensor:
        """Split or merge all levels of `y`, (b, *padded), which is overwritten."""
        one_level = self._compiled(y, matrix) if y.device.type == "cpu" else self._strided(y, matrix)
        for step in range(self.levels):
            one_level(step if matrix is self._split else self.levels - 1 - step)
        return y

    def _compiled(self, y: torch.Tensor, matrix: _Circulant) -> Callable[[int], None]:
        """One level by loops compiled for the CPU: from `y` to other memory, back, and so on."""
        from invgen.operators.transforms import wavelet_cpu

        other, parts, missing = torch.empty_like(y), 2 if y.is_complex() else 1, 3 - len(self._padded)
        shape = (1,) * missing + self._padded
        memory = [
            (torch.view_as_real(z) if parts == 2 else z).view(-1, parts * shape[-1]).numpy()
            for z in (y, other)
        ]
        filters = parts, matrix.taps.like(y).numpy(), matrix.first, matrix is self._split

        def one_level(level: int) -> None:
            sizes = (1,) * missing + tuple(n >> level for n in self._padded)
            source, target = memory
            with torch_threads():
                wavelet_cpu.along(source, shape, sizes, *filters, target)
                for axis in range(1, missing - 1, -1):
                    source, target = target, source
                    wavelet_cpu.across(source, shape, sizes, axis, *filters, target)
            if target is memory[1]:
                y[self._corner(level)] = other[self._corner(level)]

        return one_level

    def _strided(self, y: torch.Tensor, matrix: _Circulant) -> Callable[[int], None]:
        """One level by products of matrices."""
        along = self._split_axis if matrix is self._split else self._merge_axis

        def one_level(level: int) -> None:
            part = y[self._corner(level)]
            for _ in self.axes:
                # each axis in turn lies first while it is transformed, the last one to begin with
                part = along(part.movedim(-1, 1))
            y[self._corner(level)] = part

        return one_level

    def _corner(self, level: int) -> tuple[Any, ...]:
        """Where the approximation of a level lies."""
        return _first(n >> level for n in self._padded)

    def _split_axis(self, x: torch.Tensor) -> torch.Tensor:
        pairs = self._split(x).unflatten(1, (-1, 2))
        return pairs.transpose(1, 2).flatten(1, 2)

    def _merge_axis(self, y: torch.Tensor) -> torch.Tensor:
        pairs = y.unflatten(1, (2, -1))
        return self._merge(pairs.transpose(1, 2).flatten(1, 2))

    def _gram(self) -> LinearOperator:
        return Identity(self.domain.shape, self.domain.field) if self.orthonormal else super()._gram()

    def _norm(self) -> float:
        return 1.0 if self.orthonormal else super()._norm()

    @property
    def has_closed_form_solve(self) -> bool:
        """With an orthogonal filter."""
        return self.orthonormal

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        return b / (1 + shift)

    def _svd(self) -> SVD | None:
        """With an orthogonal filter, whose singular values are all one."""
        if not self.orthonormal:
            return None
        shape = self.domain.shape
        return SVD(self, torch.ones(shape), Identity(shape, self.domain.field))


def _first(sizes: Iterable[int]) -> tuple[Any, ...]:
    """Index of the first places along each of the last axes."""
    return (..., *(slice(n) for n in sizes))


class _Circulant:
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


def _filters(wavelet: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Low and high pass of the analysis, float64, of one even length."""
    import pywt

    if wavelet not in pywt.wavelist(kind="discrete"):
        raise ParameterError(
            f"wavelet is the name of a discrete wavelet of PyWavelets, such as 'haar', 'db4' or 'bior4.4'; "
            f"got {wavelet!r}."
        )
    low, high, _, _ = pywt.Wavelet(wavelet).filter_bank
    return torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)


def _polyphase(low: torch.Tensor, high: torch.Tensor) -> tuple[int, torch.Tensor]:
    """The two filters as blocks of two, and the pair of samples that the first one is applied to.

    ``y[k] = sum_m h[c - m] x[2 k + m]`` with c half the length, as PyWavelets centers it.
    """
    center = len(low) // 2
    first, last = (center - len(low) + 1) // 2, center // 2
    taps = torch.zeros(last - first + 1, 2, 2, dtype=torch.float64)
    for m in range(center - len(low) + 1, center + 1):
        taps[m // 2 - first, 0, m % 2] = low[center - m]
        taps[m // 2 - first, 1, m % 2] = high[center - m]
    return first, taps


def _distance_from_orthonormal(taps: torch.Tensor) -> float:
    """Largest entry of ``T T.H - 1`` for the matrix T of all shifts."""
    reach = len(taps)
    products = [
        (taps[: reach - k] @ taps[k:].mT).sum(0) - (torch.eye(2, dtype=taps.dtype) if k == 0 else 0)
        for k in range(reach)
    ]
    return float(torch.stack(products).abs().max())


def _default_levels(sizes: list[int], length: int) -> int:
    most = max(1, int(math.log2(max(2.0, min(sizes) / max(1, length - 1)))))
    for levels in range(most, min(most, _ENOUGH) - 1, -1):
        if all(n % 2**levels == 0 for n in sizes):
            return levels
    return most


def _checked_levels(levels: int, sizes: list[int]) -> int:
    most = max(1, math.ceil(math.log2(min(sizes))))
    return as_count(levels, f"Wavelet: levels, for axes of {sizes} pixels,", most=most)
