"""The gram operator of non-Cartesian MRI: a convolution around the coils' sensitivities."""

from __future__ import annotations

import itertools
import math
from functools import partial

import torch

from invgen.core.batching import each_alone
from invgen.core.frozen import Constant
from invgen.operators.linear import LinearOperator
from invgen.operators.mri.sensitivities import Sensitivities
from invgen.operators.nufft import NUFFT
from invgen.operators.toeplitz import circulant_symbol, fast_length

__all__ = ["ToeplitzGram", "nearest_circulant", "transfer_functions"]


class ToeplitzGram(LinearOperator):
    """``A.H A``: the image of each coil is convolved with the point spread function of the trajectory.

    It takes two transforms of twice the image's size, whatever the number of samples: Wajer and Pruessmann
    (2001), Major speedup of reconstruction for sensitivity encoding with arbitrary trajectories. The even and
    the odd frequencies along each axis of the padded image are those of the modulated image. So these are 2^d
    pairs of transforms of the image's own size, which fit into the cache, and a volume is never padded.

    Parameters
    ----------
    operator : LinearOperator
        A.
    transfers : Constant
        From `transfer_functions`.
    sensitivities : Sensitivities, optional
        Of its coils.
    """

    def __init__(
        self, operator: LinearOperator, transfers: Constant, sensitivities: Sensitivities | None
    ) -> None:
        super().__init__(operator.domain, operator.domain)
        self._operator, self._transfers, self._sensitivities = operator, transfers, sensitivities
        sizes = transfers.value.shape[1:]
        phases = [
            -math.pi * torch.arange(n).double() / m for n, m in zip(self.domain.shape, sizes, strict=True)
        ]
        #: Along each axis, the wave that shifts frequencies by half of their spacing.
        self._waves = [
            Constant(torch.polar(torch.ones_like(phase), phase).reshape(-1, *(1,) * (-1 - axis)))
            for axis, phase in zip(self.domain.axes, phases, strict=True)
        ]

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(self._gram_of_coils, x, self.domain.ndim)

    _adjoint = _apply

    def _gram_of_coils(self, x: torch.Tensor) -> torch.Tensor:
        coils = self._sensitivities
        result = torch.zeros_like(x)
        odd_axes = itertools.product((False, True), repeat=self.domain.ndim)
        for odds, transfer in zip(odd_axes, self._transfers.like(x), strict=True):
            waves = [wave.like(x) for wave, odd in zip(self._waves, odds, strict=True) if odd]
            part = x
            for wave in waves:
                part = wave * part
            convolve = partial(self._filter, transfer)
            part = convolve(part) if coils is None else coils.gram(part, convolve)
            for wave in waves:
                part = wave.conj() * part
            result += part
        return result / self._transfers.value[0].numel() if x.is_cuda else result

    def _filter(self, transfer: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        axes = self.domain.axes
        z = torch.fft.fftn(x, s=transfer.shape, dim=axes)
        z *= transfer  # which is real: the operator is exactly self-adjoint
        # on a GPU a scaled transform goes through memory once more: the sum of the coils is scaled instead
        z = torch.fft.ifftn(z, dim=axes, norm="forward" if x.is_cuda else "backward")
        for axis, n in zip(axes, self.domain.shape, strict=True):
            z = z.narrow(axis, 0, n)
        return z

    def _norm(self) -> float:
        return self._operator.norm() ** 2


def transfer_functions(nufft: NUFFT, points: torch.Tensor) -> torch.Tensor:
    """Transform of the point spread function ``sum_m exp(2 pi i k_m . d) / prod N`` at all lags d of pixels.

    Parameters
    ----------
    nufft : NUFFT
        Of the image.
    points : float64 tensor (M, dimensions)
        Frequencies of the NUFFT.

    Returns
    -------
    tensor, float64 (2^dimensions, *sizes)
        Real, since the point spread function is Hermitian. The frequencies of a grid of twice the sizes that
        are even or odd along each axis, in the order of ``itertools.product``, divided by 2^dimensions. The
        sizes are those of the image, or a little larger for faster transforms.
    """
    shape = nufft.shape
    sizes = tuple(fast_length(n) for n in shape)
    # along the last axis lags below zero are known by symmetry
    kernel = torch.zeros(*(2 * m for m in sizes[:-1]), shape[-1], dtype=torch.complex128)
    for below in itertools.product((False, True), repeat=len(shape) - 1):
        # the NUFFT returns lags from -N // 2 on; modulated, from 0 or from -N on
        starts = [-n if negative else 0 for n, negative in zip(shape, (*below, False), strict=True)]
        shift = torch.tensor([start + n // 2 for start, n in zip(starts, shape, strict=True)])
        phase = 2 * math.pi * (points @ shift.double())
        block = nufft.adjoint(torch.polar(torch.ones_like(phase), phase)[None])[0]
        place = kernel
        for axis, negative in enumerate(below):
            n = shape[axis]
            if negative:  # the lag -N is of no two pixels
                block = block.narrow(axis, 1, n - 1)
                place = place.narrow(axis, 2 * sizes[axis] - n + 1, n - 1)
            else:
                place = place.narrow(axis, 0, n)
        place.copy_(block)
    whole = torch.fft.hfftn(kernel, s=[2 * m for m in sizes])
    whole /= math.prod(shape) * 2 ** len(shape)
    pairs = whole.reshape([n for m in sizes for n in (m, 2)])
    d = len(shape)
    return pairs.permute(*range(1, 2 * d, 2), *range(0, 2 * d, 2)).reshape(2**d, *sizes)


def nearest_circulant(transfers: torch.Tensor, shape: tuple[int, ...], maps: torch.Tensor) -> torch.Tensor:
    """Eigenvalues of the circulant matrix nearest to the gram operator, T. Chan (1988).

    The mean along each wrapped diagonal of ``sum_c S_c.H T S_c``: the point spread function at a lag,
    weighted by the products of the sensitivities of all pairs of pixels with that lag.

    Parameters
    ----------
    transfers : float64 tensor
        From `transfer_functions`.
    shape : tuple of int
        Shape of the image.
    maps : complex tensor, shape (coils, *shape)
        For a single coil without a map, ones.

    Returns
    -------
    tensor, float64, of the shape
    """
    d, sizes = len(shape), transfers.shape[1:]
    pairs = transfers.reshape(*(2,) * d, *sizes).permute([a for b in range(d) for a in (d + b, b)])
    whole = pairs.reshape([2 * m for m in sizes]) * 2**d
    power = torch.zeros_like(whole)
    for s in maps:
        power += torch.fft.fftn(s.to(torch.complex128), s=whole.shape).abs().square()
    kernel, overlap = torch.fft.ifftn(whole), torch.fft.fftn(power) / (power.numel() * math.prod(shape))
    for axis, n in enumerate(shape):
        lags = torch.arange(-n, n) % whole.shape[axis]
        kernel, overlap = kernel.index_select(axis, lags), overlap.index_select(axis, lags)
        overlap.narrow(axis, 0, 1).zero_()  # rounding, where nothing overlaps
    return circulant_symbol(kernel, overlap)
