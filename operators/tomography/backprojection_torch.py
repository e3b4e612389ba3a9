"""Pixel-driven backprojection of filtered views, and its transpose, in plain PyTorch, for any device."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from invgen.operators.tomography.rays import FINE, PixelShadows

__all__ = ["cone", "cone_adjoint", "fan", "fan_adjoint"]


def fan(filtered: torch.Tensor, shadows: PixelShadows) -> torch.Tensor:
    """Sinograms (batch, views, samples) to images (batch, H, W)."""
    return cone(filtered[:, :, None], shadows)[:, 0]


def fan_adjoint(x: torch.Tensor, shadows: PixelShadows, samples: int) -> torch.Tensor:
    """Images (batch, H, W) to sinograms (batch, views, samples): the transpose of `fan`."""
    return cone_adjoint(x[:, None], shadows, (1, samples))[:, :, 0]


def cone(filtered: torch.Tensor, shadows: PixelShadows) -> torch.Tensor:
    """Projections (batch, views, rows, samples) to volumes (batch, D, H, W)."""
    volume = filtered.new_zeros(len(filtered), *shadows.volume_shape)
    panel = (filtered.shape[2], filtered.shape[3])
    for view, place, weight in _places(volume, shadows, panel):
        volume += filtered[:, view].flatten(1)[:, place] * weight
    return volume


def cone_adjoint(x: torch.Tensor, shadows: PixelShadows, panel: tuple[int, int]) -> torch.Tensor:
    """Volumes (batch, D, H, W) to projections (batch, views, *panel): the transpose of `cone`."""
    y = x.new_zeros(len(x), len(shadows.views), *panel)
    for view, place, weight in _places(x, shadows, panel):
        y[:, view].flatten(1).index_add_(1, place.flatten(), (x * weight).flatten(1))
    return y


def _places(
    like: torch.Tensor, shadows: PixelShadows, panel: tuple[int, int]
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Number of a view, and for each voxel a sample of the panel (rows, samples) and its weight.

    Four times for each view: a voxel is projected between two samples of two rows.
    """
    z, y, x = (
        torch.arange(n, dtype=torch.float64, device=like.device) - (n - 1) / 2 for n in shadows.volume_shape
    )
    y, z = -y[:, None], z[:, None, None]  # rows run against y
    for view, (cos, sin) in enumerate(shadows.views.tolist()):
        u, w = x * cos + y * sin, shadows.radius - x * sin + y * cos
        distance = u * u + w * w if shadows.curved else w * w
        place = shadows.first + shadows.scale * (torch.atan(u / w) if shadows.curved else u / w)
        row = shadows.lowest + shadows.rise * z / w
        for k, near in _neighbors(place, panel[1], FINE / 2):
            for r, close in _neighbors(row, panel[0], 0.5):
                weight = near * close * shadows.radius**2 / distance
                yield view, r * panel[1] + k, weight.to(like.dtype)


def _neighbors(place: torch.Tensor, count: int, half: float) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The two samples that a place lies between, and their weights: zero next to the detector.

    The outer bins reach `half` a bin beyond their middles.
    """
    inside = (place >= -half) & (place <= count - 1 + half)
    low = place.floor().clamp(0, count - 1)
    high = (low + 1).clamp(max=count - 1)
    share = (place - low).clamp(0, 1)
    return [(low.long(), (1 - share) * inside), (high.long(), share * inside)]
