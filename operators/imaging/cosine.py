"""The discrete cosine transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from invgen.errors import ParameterError
from invgen.operators.frozen import Constant
from invgen.operators.mri.fourier import each_alone
from invgen.operators.unitary import Unitary

__all__ = ["DCT"]


class DCT(Unitary):
    """Orthonormal discrete cosine transform of the second kind, along each axis.

    ``y[k] = c[k] sum_n x[n] cos(pi k (2 n + 1) / (2 N))`` with ``c[0] = sqrt(1 / N)`` and ``c[k] =
    sqrt(2 / N)`` else, as ``scipy.fft.dctn(x, norm="ortho")``: what JPEG's blocks and images with mirrored
    boundaries are diagonal or sparse in. The adjoint is the inverse.

    Parameters
    ----------
    shape : tuple of int
        Shape of the images.
    field : {"real", "complex"}
    axes : tuple of int, optional
        Axes to transform; by default all of them.

    Raises
    ------
    ParameterError
        If the axes are not different axes of the images.

    References
    ----------
    Makhoul (1980), A fast cosine transform in one and two dimensions: by a real Fourier transform of the same
    length.
    """

    def __init__(
        self, shape: tuple[int, ...], field: str = "real", axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(shape, field)
        dimensions = len(self.domain.shape)
        given = tuple(range(-dimensions, 0)) if axes is None else tuple(axes)
        counted = {a % dimensions - dimensions for a in given if -dimensions <= a < dimensions}
        if not given or len(counted) != len(given):
            raise ParameterError(
                f"DCT: axes must be different axes of images {self.domain.shape}; got {given}."
            )
        #: What is transformed, counted from the end, the last axis first.
        self.axes = tuple(sorted(counted, reverse=True))
        self._twiddles = {n: Constant(_twiddle(n)) for n in {self.domain.shape[a] for a in self.axes}}

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(lambda one: self._along_axes(one, _forward), x, self.domain)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return each_alone(lambda one: self._along_axes(one, _backward), y, self.domain)

    def _along_axes(
        self, x: torch.Tensor, transform: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        if x.is_complex():
            return torch.complex(self._along_axes(x.real, transform), self._along_axes(x.imag, transform))
        for axis in self.axes:
            twiddle = self._twiddles[x.shape[axis]].like(x)
            x = transform(x.transpose(axis, -1), twiddle).transpose(axis, -1)
        return x.contiguous()


def _forward(x: torch.Tensor, twiddle: torch.Tensor) -> torch.Tensor:
    """Along the last axis."""
    # even places upwards, odd ones back down: cosines about half a pixel become plain waves
    waves = torch.fft.rfft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1)) * twiddle
    return torch.cat([waves.real, -waves.imag[..., 1 : (x.shape[-1] + 1) // 2].flip(-1)], dim=-1)


def _backward(y: torch.Tensor, twiddle: torch.Tensor) -> torch.Tensor:
    """Inverse of `_forward`."""
    n = y.shape[-1]
    mirrored = torch.cat([torch.zeros_like(y[..., :1]), -y[..., n - n // 2 :].flip(-1)], dim=-1)
    waves = torch.complex(y[..., : n // 2 + 1].contiguous(), mirrored) / twiddle
    v = torch.fft.irfft(waves, n=n)
    x = torch.empty_like(v)
    x[..., ::2], x[..., 1::2] = v[..., : n - n // 2], v[..., n - n // 2 :].flip(-1)
    return x


def _twiddle(n: int) -> torch.Tensor:
    """Half a pixel's phase and the norm of each cosine, of the frequencies that a real transform keeps."""
    k = torch.arange(n // 2 + 1, dtype=torch.float64)
    twiddle = torch.polar(torch.full_like(k, (2 / n) ** 0.5), -torch.pi * k / (2 * n))
    twiddle[0] = n**-0.5
    return twiddle
