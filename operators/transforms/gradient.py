"""Finite differences of images."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch

from invgen.core.errors import ShapeError
from invgen.core.frozen import Constant
from invgen.core.space import Space
from invgen.core.threads import torch_threads
from invgen.operators.linear import LinearOperator

__all__ = ["Gradient"]


class Gradient(LinearOperator):
    """Forward differences along `axes`, zero across the far edge (Neumann boundary).

    The range has a new first axis, one entry for each direction: ``(len(axes), *shape)``.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    axes : tuple of negative int
        Axes to differentiate along, counted from the end.
    field : {"real", "complex"}
    """

    def __init__(self, shape: tuple[int, ...], axes: tuple[int, ...] = (-2, -1), field: str = "real") -> None:
        if any(not -len(shape) <= axis < 0 for axis in axes) or len(set(axes)) != len(axes):
            raise ShapeError(f"Gradient along the axes {axes} does not fit images of shape {tuple(shape)}.")
        super().__init__(Space(shape, field), Space((len(axes), *shape), field))
        self._axes = tuple(axes)
        # the compiled loop is for the last two or three axes, in order
        self._compiled = self._axes in ((-2, -1), (-3, -2, -1))
        #: Number of planes, images along the last two axes, along the first of three axes.
        self.depth = self.domain.shape[-3] if self._axes == (-3, -2, -1) else 1
        self._planes = math.prod(self.domain.shape[:-2])

    def compiles(self, x: torch.Tensor) -> bool:
        """Whether loops compiled for the CPU take `x`."""
        return self._compiled and x.device.type == "cpu"

    def planes(self, x: torch.Tensor, space: Space) -> np.ndarray:
        """Memory of contiguous data of `space`, the domain or the range, as the loops take them.

        ``(batch, planes, H, W)`` or ``(batch, directions, planes, H, W)``.
        """
        directions = space.shape[: -len(self.domain.shape)]
        return x.detach().reshape(-1, *directions, self._planes, *self.domain.shape[-2:]).numpy()

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        batch = self.domain.batch_shape(x)
        g = x.new_empty(*batch, *self.range.shape)
        directions = g.unbind(len(batch))
        for part, axis in zip(directions, self._axes, strict=True):
            n = x.shape[axis]
            torch.sub(x.narrow(axis, 1, n - 1), x.narrow(axis, 0, n - 1), out=part.narrow(axis, 0, n - 1))
            part.narrow(axis, n - 1, 1).zero_()
        return g

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        if self.compiles(y):
            from invgen.operators.transforms import gradient_cpu

            y = y.contiguous()
            x = y.new_empty(*self.range.batch_shape(y), *self.domain.shape)
            with torch_threads():
                gradient_cpu.adjoint(self.planes(y, self.range), self.depth, self.planes(x, self.domain))
            return x
        parts = y.unbind(y.ndim - len(self.range.shape))
        x = torch.zeros_like(parts[0])
        for part, axis in zip(parts, self._axes, strict=True):
            inner = part.narrow(axis, 0, part.shape[axis] - 1)
            x.narrow(axis, 1, inner.shape[axis]).add_(inner)
            x.narrow(axis, 0, inner.shape[axis]).sub_(inner)
        return x

    @cached_property
    def spectrum(self) -> Constant:
        """Of periodic differences: an upper bound, since they add the differences across the edge."""
        symbol = torch.zeros(self.domain.shape, dtype=torch.float64)
        for axis in self._axes:
            frequency = torch.fft.fftfreq(self.domain.shape[axis], dtype=torch.float64)
            symbol += (4 * torch.sin(math.pi * frequency) ** 2).reshape(-1, *(1,) * (-1 - axis))
        return Constant(symbol)

    def _norm(self) -> float:
        # the eigenvalues of a path graph's Laplacian are 4 sin^2(pi k / 2 n), k < n
        sizes = (self.domain.shape[axis] for axis in self._axes)
        return math.sqrt(sum(4 * math.sin(math.pi * (n - 1) / (2 * n)) ** 2 for n in sizes))
