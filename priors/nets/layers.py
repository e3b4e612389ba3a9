"""Layers that several published networks have in common."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.core.errors import ShapeError

__all__ = ["check_multiple", "downsampled", "fir", "sines", "upsampled"]


def check_multiple(x: Tensor, multiple: int) -> None:
    """Raise unless the sides of images are divisible by the factor between a network's resolutions."""
    height, width = x.shape[-2:]
    if height % multiple or width % multiple:
        raise ShapeError(
            f"The network takes images whose sides are multiples of {multiple}; got {height} x {width}. Pad "
            "or crop the images."
        )


def sines(time: Tensor, width: int, *, endpoint: bool = False) -> tuple[Tensor, Tensor]:
    """Sines and cosines of times ``(N,)``, each ``(N, width / 2)``, Vaswani et al. (2017), sec. 3.5.

    At rates from 1 down to 1/10000, included or not (`endpoint`).
    """
    half = width // 2
    # the rates in single precision, as the networks were trained
    steps = torch.arange(half, dtype=torch.float32, device=time.device)
    phases = time[:, None] * torch.exp(-math.log(10000) / (half - endpoint) * steps).to(time)
    return phases.sin(), phases.cos()


def fir(*taps: float) -> Tensor:
    """The separable filter with these taps in both directions, of sum one: ``(1, 1, k, k)``."""
    line = torch.tensor(taps, dtype=torch.float32)
    return torch.outer(line, line)[None, None] / line.sum() ** 2


def downsampled(x: Tensor, kernel: Tensor) -> Tensor:
    """Half the resolution after an even filter; pixels outside are zero. StyleGAN2, Karras et al. (2020)."""
    channels = x.shape[1]
    return F.conv2d(x, _each(kernel, x), groups=channels, stride=2, padding=(kernel.shape[-1] - 1) // 2)


def upsampled(x: Tensor, kernel: Tensor) -> Tensor:
    """Twice the resolution, by zeros between the pixels and an even filter."""
    channels, padding = x.shape[1], (kernel.shape[-1] - 1) // 2
    return F.conv_transpose2d(x, 4 * _each(kernel, x), groups=channels, stride=2, padding=padding)


def _each(kernel: Tensor, x: Tensor) -> Tensor:
    return kernel.to(x).expand(x.shape[1], -1, -1, -1)
