"""Parallel-beam projection through the Fourier slice theorem, by non-uniform FFT."""

from __future__ import annotations

import math
from functools import cached_property

import torch

from invgen.core.batching import each_alone
from invgen.core.frozen import Constant, Frozen
from invgen.core.space import Space
from invgen.operators.linear import LinearOperator
from invgen.operators.nufft import NUFFT
from invgen.operators.toeplitz import fast_length
from invgen.operators.tomography.geometry import ParallelBeam

__all__ = ["Convolution", "FourierProjector", "FourierSlices"]


class FourierSlices(LinearOperator):
    """The slices of an image's Fourier transform that belong to the views of a scan.

    Real images (H, W) to the half spectra of their projections, (views, frequencies).

    For each view t, frequencies ``sigma_k = k / length``, ``0 <= k < n / 2``, along ``(cos t, sin t)``.
    The conjugate half follows because images are real. The Nyquist frequency of an even n is left out:
    a real signal holds only part of it, which would break the slice's convolution structure.

    Parameters
    ----------
    geometry : ParallelBeam
    n : int
        Number of samples of a detector row, of ``detector_spacing`` each, repeated periodically.
    """

    def __init__(self, geometry: ParallelBeam, n: int) -> None:
        frequencies = (n + 1) // 2
        super().__init__(Space(geometry.image_shape), Space((len(geometry.angles), frequencies), "complex"))
        self.n = n
        self._spacing = geometry.detector_spacing
        p, t = geometry.pixel_size, geometry.angles[:, None]
        sigma = torch.arange(frequencies, dtype=torch.float64) / (n * self._spacing)
        self.sigma = sigma
        kx, ky = sigma * t.cos() * p, sigma * t.sin() * p  # cycles per pixel; rows run against y
        self._nufft = NUFFT(geometry.image_shape, torch.stack([-ky, kx], dim=-1).reshape(-1, 2))
        # the NUFFT counts from pixel N // 2, the image from its middle
        rows, columns = (n // 2 - (n - 1) / 2 for n in geometry.image_shape)
        phase = kx * columns - ky * rows
        # where the detector's first bin is: its centre lies at this s
        first = geometry.detector_offset - (geometry.detector_count - 1) / 2 * self._spacing
        phase = phase - sigma * first
        self._shift, self._shift_back = (
            Constant(torch.polar(torch.ones_like(phase), sign * 2 * math.pi * phase)) for sign in (-1, 1)
        )
        # the conjugate half counts as well
        self._weights = Constant(torch.where(sigma > 0, 2.0, 1.0).double() / (n * self._spacing))
        self.frequencies = torch.stack([-ky, kx], dim=-1)
        # frequency response of pixels that are boxes
        self.pixel_response = torch.sinc(kx) * torch.sinc(ky) * p**2

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        flat, batch = self.domain.flatten(x)
        slices = self._nufft.forward(flat.to(flat.dtype.to_complex()))
        return slices.reshape(*batch, *self.range.shape) * self._shift.like(slices)

    def _adjoint(self, spectra: torch.Tensor) -> torch.Tensor:
        batch = self.range.batch_shape(spectra)
        spectra = (spectra * self._shift_back.like(spectra)).reshape(-1, self.range.size)
        return self._nufft.adjoint(spectra).real.reshape(*batch, *self.domain.shape)

    def to_detector(self, spectra: torch.Tensor) -> torch.Tensor:
        """Half spectra to n samples of each detector row."""
        return torch.fft.irfft(spectra, n=self.n, dim=-1) / self._spacing

    def from_detector(self, y: torch.Tensor) -> torch.Tensor:
        """Adjoint of `to_detector` over the real numbers; shorter rows are padded by zeros."""
        spectra = torch.fft.rfft(y, n=self.n, dim=-1)[..., : len(self.sigma)]
        return spectra * self._weights.like(y)


class FourierProjector(Frozen):
    """Projection of images whose pixels are boxes onto detector bins that average over their width.

    The detector row is periodic. Where it is as wide as the image's shadow nothing wraps around, nothing
    needs cropping, and projection followed by its adjoint is a convolution. Where it is narrower the
    projection is made on a longer row and cropped.
    """

    def __init__(self, geometry: ParallelBeam, truncates: bool) -> None:
        self._geometry = geometry
        n = geometry.detector_count
        if truncates:
            # what leaves the long row on one side must not come back into the detector on the other
            needed = (geometry.shadow + abs(geometry.detector_offset)) / geometry.detector_spacing + n / 2
            n = fast_length(math.ceil(needed) + 8)
        self._truncates = truncates
        self._slices = FourierSlices(geometry, n)
        response = self._slices.pixel_response * torch.sinc(self._slices.sigma * geometry.detector_spacing)
        self._response = Constant(response)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (batch, H, W) to sinograms (batch, views, detector)."""
        return each_alone(self._forward, x, 2)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Sinograms (batch, views, detector) to images (batch, H, W)."""
        return each_alone(self._adjoint, y, 2)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        spectra = self._slices._apply(x)
        y = self._slices.to_detector(spectra * self._response.like(spectra))
        return y[..., : self._geometry.detector_count].contiguous() if self._truncates else y

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        spectra = self._slices.from_detector(y)
        return self._slices._adjoint(spectra * self._response.like(spectra))

    @cached_property
    def gram_kernel(self) -> torch.Tensor:
        """Point response of projection and adjoint, float64 (2H, 2W), origin at (H, W).

        With D the squared response, ``A.H A`` sums ``D exp(2 pi i k . (n - m))`` over all frequencies k:
        a function of n - m alone, itself one adjoint NUFFT on twice the grid.
        """
        slices, g = self._slices, self._geometry
        power = self._response.value**2 / (slices.n * g.detector_spacing**2)
        power[:, 1:] *= 2
        height, width = g.image_shape
        nufft = NUFFT((2 * height, 2 * width), slices.frequencies.reshape(-1, 2))
        return nufft.adjoint(power.reshape(1, -1).to(torch.complex128))[0].real


class Convolution(LinearOperator):
    """Convolution with an even real kernel, the image padded by zeros: one padded FFT pair.

    Parameters
    ----------
    kernel : float64 tensor, shape (2H, 2W)
        Origin at (H, W); ``kernel[H + i, W + j] == kernel[H - i, W - j]``.
    mask : bool tensor (H, W), optional
        Pixels that take part; the operator is mask, convolution, mask.
    """

    def __init__(self, kernel: torch.Tensor, mask: Constant | None = None) -> None:
        shape = (kernel.shape[0] // 2, kernel.shape[1] // 2)
        super().__init__(Space(shape), Space(shape))
        self._padded = tuple(fast_length(2 * n - 1) for n in shape)
        wrapped = torch.zeros(self._padded, dtype=torch.float64)
        rows, columns = (torch.arange(1 - n, n) for n in shape)
        wrapped[rows[:, None] % self._padded[0], columns % self._padded[1]] = kernel[1:, 1:]
        # the transform of an even real kernel is real
        self._transfer = Constant(torch.fft.rfft2(wrapped).real.contiguous())
        self._mask = mask

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        if self._mask is not None:
            x = x * self._mask.like(x)
        y = each_alone(self._convolve, x, 2)
        return y * self._mask.like(x) if self._mask is not None else y

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        height, width = self.domain.shape
        rows, columns = self._padded
        # one axis at a time: the rows that are zero before, or not wanted after, need no transform
        spectrum = torch.fft.fft(torch.fft.rfft(x, n=columns), n=rows, dim=-2)
        spectrum *= self._transfer.like(x)
        if x.is_cuda:  # where a scaled transform goes through memory once more
            lines = torch.fft.ifft(spectrum, dim=-2, norm="forward")[..., :height, :]
            return torch.fft.irfft(lines, n=columns, norm="forward")[..., :width] / (rows * columns)
        lines = torch.fft.ifft(spectrum, dim=-2)[..., :height, :]
        return torch.fft.irfft(lines, n=columns)[..., :width].contiguous()

    _adjoint = _apply
