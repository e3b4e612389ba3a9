"""The centred, unitary Fourier transform, with its shift of k-space as a modulation of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from invgen.core.batching import each_alone
from invgen.core.errors import ParameterError
from invgen.core.frozen import Constant
from invgen.operators.transforms.unitary import Unitary

__all__ = ["Fourier", "modulation"]


class Fourier(Unitary):
    """Centred, unitary discrete Fourier transform: images to k-space.

    ``y[k] = sum_n x[n] exp(-2 pi i (k - N // 2) (n - N // 2) / N) / sqrt(N)`` along each axis: the origin is
    the middle pixel ``N // 2`` in both domains, as after ``fftshift``. The adjoint is the inverse.

    Parameters
    ----------
    shape : tuple of int
        Shape of the complex images.
    axes : tuple of int, optional
        Axes to transform; by default all of them.

    Raises
    ------
    ParameterError
        If the axes are not different axes of the images.
    """

    def __init__(self, shape: tuple[int, ...], axes: Sequence[int] | None = None) -> None:
        super().__init__(shape, "complex")
        self.axes = _negative(axes, self.domain.ndim)
        self._modulation = Constant(modulation(self.domain.shape, self.axes))

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(self._forward, x, self.domain.ndim)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return each_alone(self._backward, y, self.domain.ndim)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.fft.ifftshift(x, dim=self.axes).mul_(self._modulation.like(x))
        return torch.fft.fftn(x, dim=self.axes, norm="ortho")

    def _backward(self, y: torch.Tensor) -> torch.Tensor:
        x = torch.fft.ifftn(y, dim=self.axes, norm="ortho").mul_(self._modulation.like(y).conj())
        return torch.fft.fftshift(x, dim=self.axes)


def modulation(shape: tuple[int, ...], axes: Sequence[int]) -> torch.Tensor:
    """Phases that centre k-space: ``centred(x) = fftn(modulation * ifftshift(x))``, for odd sizes too.

    With c = N // 2 and j = n - c, ``(k - c) (n - c) = k j - c j``: the phase of j moves the origin of k-space
    to c. For even N the phases are signs.

    Returns
    -------
    complex128 tensor
        Of the shape, with length one along axes that are not transformed.
    """
    factors = torch.ones((1,) * len(shape), dtype=torch.complex128)
    for axis in axes:
        n = shape[axis]
        factors = factors * _unit_root(n // 2 * torch.arange(n), n).reshape(-1, *(1,) * (-1 - axis))
    return factors


def _unit_root(power: torch.Tensor, n: int) -> torch.Tensor:
    """``exp(2 pi i power / n)``, with exact zeros."""
    angle = 2 * math.pi * (power % n).double() / n
    parts = torch.stack([angle.cos(), angle.sin()], dim=-1)
    return torch.view_as_complex(torch.where(parts.abs() < 1e-14, 0.0, parts))


def _negative(axes: Sequence[int] | None, dimensions: int) -> tuple[int, ...]:
    """Axes counted from the end, in order."""
    given = tuple(range(dimensions)) if axes is None else tuple(axes)
    if any(not -dimensions <= axis < dimensions for axis in given):
        raise ParameterError(f"axes must be axes of images with {dimensions} dimensions; got {given}.")
    counted = tuple(sorted(axis % dimensions - dimensions for axis in given))
    if len(set(counted)) != len(counted) or not counted:
        raise ParameterError(f"axes must name each axis once, and at least one; got {given}.")
    return counted
