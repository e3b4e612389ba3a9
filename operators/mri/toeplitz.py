"""The gram operator of non-Cartesian MRI: a convolution around the coils' sensitivities."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import torch

from invgen.operators.base import LinearOperator
from invgen.operators.mri.fourier import each_alone
from invgen.operators.nufft import NUFFT
from invgen.operators.toeplitz import circulant_symbol, fast_length

if TYPE_CHECKING:
    from invgen.operators.mri.noncartesian import NonCartesianMRI

__all__ = ["ToeplitzGram", "nearest_circulant", "transfer_function"]


class ToeplitzGram(LinearOperator):
    """``A.H A``: the image of each coil is convolved with the point spread of the trajectory.

    Two padded transforms, whatever the number of samples: Wajer and Pruessmann (2001), Major speedup of
    reconstruction for sensitivity encoding with arbitrary trajectories. One axis is done after the other, so
    that what is zero before is not transformed, nor what is cropped after.
    """

    def __init__(self, operator: NonCartesianMRI) -> None:
        super().__init__(operator.domain, operator.domain)
        self._operator = operator

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(self._gram_of_coils, x, self.domain)

    _adjoint = _apply

    def _gram_of_coils(self, x: torch.Tensor) -> torch.Tensor:
        coils = self._operator.sensitivities
        return self._convolve(x).contiguous() if coils is None else coils.gram(x, self._convolve)

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        transfer, axes = self._operator.transfer.like(x), self.domain.axes
        for axis in reversed(axes):
            x = torch.fft.fft(x, n=transfer.shape[axis], dim=axis)
        x *= transfer  # real, so that the operator is self-adjoint however well the kernel is known
        for axis, n in zip(axes, self.domain.shape, strict=True):
            x = torch.fft.ifft(x, dim=axis).narrow(axis, 0, n)
        return x

    def _norm(self) -> float:
        return self._operator.norm() ** 2


def transfer_function(nufft: NUFFT, points: torch.Tensor) -> torch.Tensor:
    """Transform of the point spread ``sum_m exp(2 pi i k_m . d) / prod N``, for all lags d between pixels.

    Parameters
    ----------
    nufft : NUFFT
        Of the image.
    points : float64 tensor (M, dimensions)
        Its frequencies.

    Returns
    -------
    tensor, float64, of at least twice the image's shape
        Real, since the point spread is Hermitian; zero lag comes first.
    """
    shape = nufft.shape
    padded = tuple(fast_length(2 * n) for n in shape)
    # along the last axis lags below zero are known by symmetry
    kernel = torch.zeros(*padded[:-1], shape[-1], dtype=torch.complex128)
    for below in itertools.product((False, True), repeat=len(shape) - 1):
        # the image's own transform gives lags from -N // 2 on: modulated, from 0 or from -N on
        starts = [-n if negative else 0 for n, negative in zip(shape, (*below, False), strict=True)]
        shift = torch.tensor([start + n // 2 for start, n in zip(starts, shape, strict=True)])
        phase = 2 * math.pi * (points @ shift.double())
        block = nufft.adjoint(torch.polar(torch.ones_like(phase), phase)[None])[0]
        place = kernel
        for axis, negative in enumerate(below):
            n = shape[axis]
            if negative:  # no two pixels are N apart
                block = block.narrow(axis, 1, n - 1)
                place = place.narrow(axis, padded[axis] - n + 1, n - 1)
            else:
                place = place.narrow(axis, 0, n)
        place.copy_(block)
    return torch.fft.hfftn(kernel, s=padded) / math.prod(shape)


def nearest_circulant(transfer: torch.Tensor, shape: tuple[int, ...], maps: torch.Tensor) -> torch.Tensor:
    """Eigenvalues of the circulant matrix nearest to the gram operator, T. Chan (1988).

    The mean along each wrapped diagonal of ``sum_c S_c.H T S_c``: the point spread at a lag, weighted by the
    sensitivities that pixels with that lag between them share.

    Parameters
    ----------
    transfer : float64 tensor
        From `transfer_function`.
    shape : tuple of int
        Of the image.
    maps : complex tensor, shape (coils, *shape)
        One of ones where there is a single coil without a map.

    Returns
    -------
    tensor, float64, of the shape
    """
    kernel = torch.fft.ifftn(transfer)
    power = torch.zeros_like(transfer)
    for s in maps:
        power += torch.fft.fftn(s.to(torch.complex128), s=transfer.shape).abs().square()
    overlap = torch.fft.fftn(power) / (power.numel() * math.prod(shape))
    for axis, n in enumerate(shape):
        lags = torch.arange(-n, n) % transfer.shape[axis]
        kernel, overlap = kernel.index_select(axis, lags), overlap.index_select(axis, lags)
        overlap.narrow(axis, 0, 1).zero_()  # rounding, where nothing overlaps
    return circulant_symbol(kernel, overlap)
