"""The discrete wavelet transform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

import torch

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError
from invgen.core.kernels import Kernels
from invgen.core.space import Space
from invgen.operators.basic import Identity
from invgen.operators.linear import SVD, LinearOperator
from invgen.operators.transforms import wavelet_torch
from invgen.operators.transforms.wavelet_torch import Circulant, corner

__all__ = ["Wavelet"]


def _cpu() -> ModuleType:
    from invgen.operators.transforms import wavelet_cpu

    return wavelet_cpu


def _gpu() -> ModuleType:
    from invgen.operators.transforms import wavelet_gpu

    return wavelet_gpu


def _trial(kernels: ModuleType, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Two levels of complex volumes, and back by another matrix."""
    taps = torch.arange(12.0).sin().reshape(3, 2, 2)
    x = torch.arange(2.0 * 8 * 4 * 12, device=device).sin().reshape(2, 8, 4, 12)
    coefficients = torch.complex(x, 2 - x)
    kernels.split(coefficients, Circulant(taps, -1), 2)
    images = coefficients.clone()
    kernels.merge(images, Circulant(taps.flip(0), 1), 2)
    return torch.view_as_real(coefficients), torch.view_as_real(images)


_KERNELS = Kernels(wavelet_torch, cpu=_cpu, gpu=_gpu, trial=_trial)

#: How far from orthonormal the filters may be: some of PyWavelets' orthogonal ones have 11 digits.
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
        self._split = Circulant(taps, first)
        self._merge = Circulant(taps.flip(0).mT, 1 - len(taps) - first)
        # the axes that are transformed lie last, and each of the others is a batch
        self._inner = Space(tuple(sizes), field)
        self._trailing = tuple(range(-len(sizes), 0))
        self._padded = tuple(padded[a] for a in self.axes)

    @property
    def details(self) -> torch.Tensor:
        """True for coefficients of details, False for those of the approximation; shape of the range."""
        mask = torch.ones(self.range.shape, dtype=torch.bool)
        mask.movedim(self.axes, self._trailing)[corner(n >> self.levels for n in self._padded)] = False
        return mask

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        flat, batch = self._inner.flatten(x.movedim(self.axes, self._trailing))
        y = x.new_zeros(len(flat), *self._padded)
        y[corner(self._inner.shape)] = flat
        _KERNELS.serving(y).split(y, self._split, self.levels)
        return y.reshape(*batch, *self._padded).movedim(self._trailing, self.axes).contiguous()

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        flat, batch = Space(self._padded, self.range.field).flatten(y.movedim(self.axes, self._trailing))
        x = flat.clone(memory_format=torch.contiguous_format)
        _KERNELS.serving(x).merge(x, self._merge, self.levels)
        x = x[corner(self._inner.shape)].reshape(*batch, *self._inner.shape)
        return x.movedim(self._trailing, self.axes).contiguous()

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
