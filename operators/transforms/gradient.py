"""Finite differences of images."""

from __future__ import annotations

import math
import operator
from functools import cached_property
from types import ModuleType

import torch

from invgen.core.disk import by_slabs
from invgen.core.errors import ShapeError
from invgen.core.frozen import Constant, Separable
from invgen.core.kernels import Kernels
from invgen.core.space import Space
from invgen.operators.linear import LinearOperator
from invgen.operators.transforms import gradient_torch

__all__ = ["Gradient"]


def _cpu() -> ModuleType:
    from invgen.operators.transforms import gradient_cpu

    return gradient_cpu


def _gpu() -> ModuleType:
    from invgen.operators.transforms import gradient_gpu

    return gradient_gpu


def _trial(kernels: ModuleType, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Along three axes of complex volumes, and along two of real images."""
    y = torch.arange(2.0 * 3 * 4 * 5 * 6, device=device).sin().reshape(2, 3, 4, 5, 6)
    volumes = kernels.adjoint(torch.complex(y, 2 - y), (4, 5, 6), (-3, -2, -1))
    return torch.view_as_real(volumes), kernels.adjoint(y[:, :2], (4, 5, 6), (-2, -1))


_KERNELS = Kernels(gradient_torch, cpu=_cpu, gpu=_gpu, trial=_trial)


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
        #: Axes to differentiate along, counted from the end.
        self.axes = tuple(axes)
        #: Whether they are the last two or three, in order: those that compiled loops take.
        self.consecutive = self.axes in ((-2, -1), (-3, -2, -1))

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return by_slabs(self._differences, x, halo=1)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return by_slabs(self._sums, y, halo=1)

    def _differences(self, x: torch.Tensor) -> torch.Tensor:
        batch = self.domain.batch_shape(x)
        g = x.new_empty(*batch, len(self.axes), *x.shape[len(batch) :])
        directions = g.unbind(len(batch))
        for part, axis in zip(directions, self.axes, strict=True):
            n = x.shape[axis]
            torch.sub(x.narrow(axis, 1, n - 1), x.narrow(axis, 0, n - 1), out=part.narrow(axis, 0, n - 1))
            part.narrow(axis, n - 1, 1).zero_()
        return g

    def _sums(self, y: torch.Tensor) -> torch.Tensor:
        kernels = _KERNELS.serving(y) if self.consecutive else gradient_torch
        return kernels.adjoint(y, y.shape[y.ndim - self.domain.ndim :], self.axes)

    @cached_property
    def spectrum(self) -> Constant:
        """Of periodic differences: an upper bound, since they add the differences across the edge."""
        depth, *rest = self.domain.shape
        along, within = torch.zeros(depth, dtype=torch.float64), torch.zeros(rest, dtype=torch.float64)
        for axis in self.axes:
            frequency = torch.fft.fftfreq(self.domain.shape[axis], dtype=torch.float64)
            squares = 4 * torch.sin(math.pi * frequency) ** 2
            if axis == -self.domain.ndim:
                along += squares
            else:
                within += squares.reshape(-1, *(1,) * (-1 - axis))
        return Separable(operator.add, along, within)

    def _norm(self) -> float:
        # the eigenvalues of a path graph's Laplacian are 4 sin^2(pi k / 2 n), k < n
        sizes = (self.domain.shape[axis] for axis in self.axes)
        return math.sqrt(sum(4 * math.sin(math.pi * (n - 1) / (2 * n)) ** 2 for n in sizes))
