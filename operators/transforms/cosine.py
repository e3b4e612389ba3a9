"""The discrete cosine transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from invgen.core.batching import each_alone
from invgen.core.errors import ParameterError
from invgen.core.frozen import Constant
from invgen.operators.transforms.unitary import Unitary

__all__ = ["DCT"]


class DCT(Unitary):
    """Orthonormal discrete cosine transform of the second kind, along each axis.

    ``y[k] = c[k] sum_n x[n] cos(pi k (2 n + 1) / (2 N))`` with ``c[0] = sqrt(1 / N)`` and ``c[k] =
    sqrt(2 / N)`` else, as ``scipy.fft.dctn(x, norm="ortho")``. Photographs are sparse in it (JPEG), and it
    diagonalizes symmetric filters with mirrored boundaries. The adjoint is the inverse.

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
        dimensions = self.domain.ndim
        given = tuple(range(-dimensions, 0)) if axes is None else tuple(axes)
        counted = {a % dimensions - dimensions for a in given if -dimensions <= a < dimensions}
        if not given or len(counted) != len(given):
            raise ParameterError(
                f"DCT: axes must be different axes of images {self.domain.shape}; got {given}."
            )
        #: Axes that are transformed, counted from the end, the last axis first.
        self.axes = tuple(sorted(counted, reverse=True))
        self._lines = {n: _Line(n) for n in {self.domain.shape[a] for a in self.axes}}

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(lambda one: self._along_axes(one, _Line.forward), x, self.domain.ndim)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return each_alone(lambda one: self._along_axes(one, _Line.backward), y, self.domain.ndim)

    def _along_axes(
        self, x: torch.Tensor, transform: Callable[[_Line, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        if x.is_complex():
            return torch.complex(self._along_axes(x.real, transform), self._along_axes(x.imag, transform))
        for axis in self.axes:
            moved = x.transpose(axis, -1)
            n = moved.shape[-1]
            # index_select is several times faster on a matrix of lines than with more axes
            x = transform(self._lines[n], moved.reshape(-1, n)).reshape(moved.shape).transpose(axis, -1)
        return x.contiguous()


class _Line:
    """The transform of lines of n numbers, the rows of a matrix.

    Makhoul (1980): the samples at even places, followed by those at odd places in reverse order, have a real
    Fourier transform W that, multiplied by the phase of half a pixel, contains the coefficients: ``y[k] = Re
    W[k]`` and ``y[n - k] = -Im W[k]``. Two gathers do all the sorting. The sequence is reversed, so that W is
    conjugate and needs no sign.
    """

    def __init__(self, n: int) -> None:
        self._n, k = n, torch.arange(n)
        waves = torch.arange(n // 2 + 1, dtype=torch.float64)
        twiddle = torch.polar(torch.full_like(waves, (2 / n) ** 0.5), torch.pi * waves / (2 * n))
        twiddle[0] = n**-0.5
        self._twiddle, self._untwiddle = Constant(twiddle), Constant(1 / twiddle)
        folded = torch.cat([k[::2], k[1::2].flip(0)])
        folded = folded[(-k) % n]
        self._fold, self._unfold = Constant(folded), Constant(folded.argsort())
        # in the list of alternating real and imaginary parts: the place of each cosine, and its inverse
        self._read = Constant(torch.where(k <= n // 2, 2 * k, 2 * (n - k) + 1))
        self._write = Constant(torch.stack([waves.long(), (-waves.long()) % n], dim=-1).flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        waves = torch.fft.rfft(x.index_select(-1, self._fold.like(x))).mul_(self._twiddle.like(x))
        return torch.view_as_real(waves).flatten(-2).index_select(-1, self._read.like(x))

    def backward(self, y: torch.Tensor) -> torch.Tensor:
        """Inverse of `forward`."""
        parts = y.index_select(-1, self._write.like(y)).unflatten(-1, (-1, 2))
        parts[..., 0, 1] = 0
        waves = torch.view_as_complex(parts).mul_(self._untwiddle.like(y))
        return torch.fft.irfft(waves, n=self._n).index_select(-1, self._unfold.like(y))
