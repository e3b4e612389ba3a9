"""The Fourier basis of images, and what is diagonal in it."""

from __future__ import annotations

from functools import partial

import torch

from invgen.core.batching import each_alone
from invgen.core.frozen import Constant
from invgen.core.space import Space
from invgen.operators.linear import LinearOperator
from invgen.operators.transforms.unitary import Unitary

__all__ = ["Filter", "FourierBasis"]


class FourierBasis(Unitary):
    """Orthonormal waves along the last `ndim` axes, from coefficients to images.

    For complex images the waves of the discrete Fourier transform; for real ones ``cos + sin`` of each phase,
    a discrete Hartley transform (Bracewell 1983) that is joint in the axes: real, symmetric and its own
    inverse. It diagonalizes filters whose symbol is even, such as the gram operator of a blur.

    Parameters
    ----------
    shape : tuple of int
    ndim : int
    field : {"real", "complex"}
    """

    def __init__(self, shape: tuple[int, ...], ndim: int, field: str = "real") -> None:
        super().__init__(shape, field)
        self._grid = Space(shape[len(shape) - ndim :], field)

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return each_alone(partial(self._transform, forward=False), x, self._grid.ndim)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return each_alone(partial(self._transform, forward=True), y, self._grid.ndim)

    def _transform(self, x: torch.Tensor, forward: bool) -> torch.Tensor:
        axes = self._grid.axes
        if self._grid.field == "complex":
            transform = torch.fft.fftn if forward else torch.fft.ifftn
            return transform(x, dim=axes, norm="ortho")
        waves = torch.fft.fftn(x, dim=axes, norm="ortho")
        return waves.real - waves.imag


class Filter(LinearOperator):
    """Multiply by a symbol in the Fourier basis of the last axes.

    Parameters
    ----------
    shape : tuple of int
    symbol : tensor
        On the frequencies of ``torch.fft.fftn`` over the last ``symbol.ndim`` axes; that of a real kernel
        where the field is real.
    field : {"real", "complex"}
    """

    def __init__(self, shape: tuple[int, ...], symbol: torch.Tensor, field: str = "real") -> None:
        super().__init__(Space(shape, field), Space(shape, field))
        self._grid = Space(tuple(symbol.shape), field)
        self._symbol = Constant(self._grid.half(symbol))
        self._largest = float(symbol.abs().max())

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return self._grid.filter(self._symbol.like(x), x)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return self._grid.filter(self._symbol.like(y).conj(), y)

    def _norm(self) -> float:
        return self._largest
