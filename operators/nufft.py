"""Non-uniform fast Fourier transform: by FINUFFT on the CPU, on a GPU by cuFINUFFT or our own kernels."""

from __future__ import annotations

import math
import os
from importlib.util import find_spec
from typing import Any, Protocol

import torch

from invgen.core.frozen import Constant, Frozen
from invgen.operators.nonuniform.gridding import Gridding

__all__ = ["NUFFT", "implementation"]


class Transforms(Protocol):
    """In one precision, on one device."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (batch, *shape) to values at the points, (batch, M)."""

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Values at the points (batch, M) to images (batch, *shape)."""


def implementation(device: torch.device) -> str:
    """What computes on a device: FINUFFT, cuFINUFFT where it is installed, or our own gridding."""
    if device.type == "cpu":
        return "FINUFFT"
    return "cuFINUFFT" if device.type == "cuda" and find_spec("cufinufft") else "gridding"


class NUFFT(Frozen):
    """Fourier transform of an image at any frequencies, and its exact adjoint.

    ``forward(x)[m] = sum_n x[n] exp(-2 pi i k_m . (n - N // 2))``.

    Parameters
    ----------
    shape : tuple of int
        Shape (H, W) or (D, H, W) of the image.
    points : float64 tensor, shape (M, len(shape))
        Frequencies in cycles per pixel, one column for each axis of the image, in its order.

    Notes
    -----
    The error against the direct sum is below 1e-4 in single and 1e-10 in double precision: by FINUFFT on the
    CPU, on a GPU by cuFINUFFT where it is installed, and else by `invgen.operators.nonuniform.gridding`.
    On the CPU any number of threads gives the same bits.
    """

    def __init__(self, shape: tuple[int, ...], points: torch.Tensor) -> None:
        self.shape = tuple(shape)
        # in radians per pixel, and in the first period, where the transforms are most accurate
        self._points = Constant(2 * math.pi * (points - torch.round(points)).T.contiguous())
        self._made: dict[tuple[int, torch.dtype, torch.device], Transforms] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Complex images (batch, H, W) or (batch, D, H, W) to values at the points, (batch, M)."""
        return self._transforms(x).forward(x.contiguous())

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Values at the points (batch, M) to complex images (batch, H, W) or (batch, D, H, W)."""
        return self._transforms(y).adjoint(y.contiguous())

    def _transforms(self, like: torch.Tensor) -> Transforms:
        # of one process: a forked child makes its own, and shares no lock that may be held in its parent
        key = os.getpid(), like.dtype, like.device
        return self._made.get(key) or self._made.setdefault(key, self._make(like))

    def _make(self, like: torch.Tensor) -> Transforms:
        points, kind = self._points.value, implementation(like.device)
        if kind == "FINUFFT":
            from invgen.operators.nonuniform.finufft import Finufft

            return Finufft(self.shape, points, like)
        if kind == "cuFINUFFT":
            from invgen.operators.nonuniform.cufinufft import Cufinufft

            return Cufinufft(self.shape, points, like)
        return Gridding(self.shape, points.T / (2 * math.pi), like)

    def __getstate__(self) -> dict[str, Any]:
        return {"shape": self.shape, "_points": self._points}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _made={}, _frozen=True)
