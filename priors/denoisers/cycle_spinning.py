"""Denoising by wavelets, invariant under shifts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch

from invgen.core.batching import each_alone
from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.operators import Wavelet
from invgen.priors.base import Denoising

__all__ = ["CycleSpunWavelets"]


@dataclass(frozen=True)
class CycleSpunWavelets(Denoising):
    """Wavelet shrinkage averaged over all shifts of the image, Coifman and Donoho (1995).

    Each shift of the image is transformed, its small coefficients are set to zero, and it is shifted back;
    the artifacts around edges differ from shift to shift and average out. All shifts together are one
    undecimated transform (their sec. 4), which is a product in Fourier space for each scale: sizes need not
    be even, and the image is periodic.

    Parameters
    ----------
    wavelet : str
        Any orthogonal wavelet of PyWavelets; the Haar wavelet was the best of "haar", "db2", "sym4" and
        "db4" on photographs at 10, 25 and 50 of 255 gray levels.
    levels : int
        Number of scales, each twice as coarse as the one before.
    threshold : positive number
        In units of sigma: with 3 no noise remains visible (their sec. 3).
    soft : bool
        Soft instead of hard thresholding: worse by a decibel, but nonexpansive, so that plug-and-play methods
        converge.
    """

    wavelet: str = "haar"
    levels: int = 4
    threshold: float = 3.0
    soft: bool = False

    def __post_init__(self) -> None:
        as_count(self.levels, "CycleSpunWavelets' levels")
        if not self.threshold > 0:
            raise ParameterError(f"CycleSpunWavelets: threshold is positive; got {self.threshold!r}.")
        _orthogonal_filters(self.wavelet)

    def _denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        if x.is_complex():
            return torch.complex(self._denoise(x.real, sigma), self._denoise(x.imag, sigma))
        if min(x.shape[-2:]) < 2:
            raise ShapeError(
                f"CycleSpunWavelets needs images of at least 2 x 2 pixels; got {tuple(x.shape)}."
            )
        # in units of the noise each image has the same threshold
        return sigma * each_alone(self._shrink, x / sigma, 2)

    def _shrink(self, x: torch.Tensor) -> torch.Tensor:
        shape = x.shape[-2:]
        spectrum = torch.fft.rfft2(x.clone())
        rows, columns = (_responses(n, self.wavelet, self.levels) for n in shape)
        total = torch.zeros_like(spectrum)
        for level in range(self.levels):
            for high in ((False, True), (True, False), (True, True)):
                response = _symbol(rows[level][high[0]], columns[level][high[1]], spectrum)
                details = torch.fft.irfft2(response * spectrum, s=shape)
                total += response.conj() * torch.fft.rfft2(self._kept(details)) / 4 ** (level + 1)
        coarse = _symbol(rows[-1][0], columns[-1][0], spectrum)
        return torch.fft.irfft2(total + coarse.abs().square() * spectrum / 4**self.levels, s=shape)

    def _kept(self, details: torch.Tensor) -> torch.Tensor:
        if self.soft:
            return details - details.clamp(-self.threshold, self.threshold)
        return torch.where(details.abs() > self.threshold, details, 0)


def _symbol(row: Constant, column: Constant, like: torch.Tensor) -> torch.Tensor:
    return row.like(like)[:, None] * column.like(like)[: like.shape[-1]]


def _orthogonal_filters(wavelet: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Low and high pass, float64."""
    import pywt

    if not Wavelet((2, 2), wavelet, levels=1).orthonormal:
        raise ParameterError(f"CycleSpunWavelets needs an orthogonal wavelet; {wavelet!r} is none.")
    low, high, _, _ = pywt.Wavelet(wavelet).filter_bank
    return torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)


@lru_cache(maxsize=16)
def _responses(n: int, wavelet: str, levels: int) -> list[tuple[Constant, Constant]]:
    """Low and high pass of each scale, from fine to coarse, at the frequencies of n pixels."""
    low, high = _orthogonal_filters(wavelet)
    return list(_cascade(n, low, high, levels))


def _cascade(
    n: int, low: torch.Tensor, high: torch.Tensor, levels: int
) -> Iterator[tuple[Constant, Constant]]:
    frequency = 2 * math.pi / n * torch.arange(n, dtype=torch.float64)
    passed = torch.ones(n, dtype=torch.complex128)
    for level in range(levels):
        delays = 2**level * torch.arange(len(low), dtype=torch.float64)
        waves = torch.exp(-1j * frequency[:, None] * delays)
        yield Constant(passed * (waves @ low.to(waves))), Constant(passed * (waves @ high.to(waves)))
        passed = passed * (waves @ low.to(waves))
