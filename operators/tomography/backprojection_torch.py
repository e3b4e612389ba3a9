"""Pixel-driven backprojection of filtered views in plain PyTorch, for any device."""

from __future__ import annotations

import torch

from invgen.operators.tomography.rays import FINE, PixelShadows

__all__ = ["cone", "fan"]


def fan(filtered: torch.Tensor, shadows: PixelShadows) -> torch.Tensor:
    """Sinograms (batch, views, samples) to images (batch, H, W)."""
    return cone(filtered[:, :, None], shadows)[:, 0]


def cone(filtered: torch.Tensor, shadows: PixelShadows) -> torch.Tensor:
    """Projections (batch, views, rows, samples) to volumes (batch, D, H, W)."""
    z, y, x = (
        torch.arange(n, dtype=torch.float64, device=filtered.device) - (n - 1) / 2
        for n in shadows.volume_shape
    )
    y, z = -y[:, None], z[:, None, None]  # rows run against y
    volume = filtered.new_zeros(len(filtered), *shadows.volume_shape)
    for view, (cos, sin) in enumerate(shadows.views.tolist()):
        u, w = x * cos + y * sin, shadows.radius - x * sin + y * cos
        distance = u * u + w * w if shadows.curved else w * w
        place = shadows.first + shadows.scale * (torch.atan(u / w) if shadows.curved else u / w)
        row = shadows.lowest + shadows.rise * z / w
        for k, near in _neighbors(place, filtered.shape[3], FINE / 2):
            for r, close in _neighbors(row, filtered.shape[2], 0.5):
                weight = (near * close * shadows.radius**2 / distance).to(filtered.dtype)
                volume += filtered[:, view, r, k.expand_as(r)] * weight
    return volume


def _neighbors(place: torch.Tensor, count: int, half: float) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The two samples that a place lies between, and their weights: zero next to the detector.

    The outer bins reach `half` a bin beyond their middles.
    """
    inside = (place >= -half) & (place <= count - 1 + half)
    low = place.floor().clamp(0, count - 1)
    high = (low + 1).clamp(max=count - 1)
    share = (place - low).clamp(0, 1)
    return [(low.long(), (1 - share) * inside), (high.long(), share * inside)]
