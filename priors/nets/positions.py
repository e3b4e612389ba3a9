"""The position of each pixel in the image, for networks whose images are alike, such as slices of a head."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["CHANNELS", "fourier_features", "positions"]

#: Waves of the features: one half, one, and two of them across the image.
_WAVES = 3

#: Number of the channels of `fourier_features`.
CHANNELS = 2 + 4 * _WAVES


def positions(height: int, width: int, like: Tensor) -> Tensor:
    """Two channels from -1 to 1, down and across: ``(2, H, W)``."""
    rows = torch.linspace(-1, 1, height, device=like.device, dtype=like.dtype)
    columns = torch.linspace(-1, 1, width, device=like.device, dtype=like.dtype)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def fourier_features(places: Tensor) -> Tensor:
    """Positions ``(*, 2, H, W)`` with their sines and cosines, ``(*, 14, H, W)``, Tancik et al. (2020).

    A network separates regions by them that it could not by two slopes: left, middle and right, say.
    """
    phases = torch.cat([math.pi / 2 * 2**wave * places for wave in range(_WAVES)], dim=-3)
    return torch.cat([places, phases.sin(), phases.cos()], dim=-3)
