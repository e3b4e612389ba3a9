"""Images as each coil sees them, and back, in plain PyTorch."""

from __future__ import annotations

import torch

__all__ = ["combine", "expand"]


def expand(maps: torch.Tensor, x: torch.Tensor, starts: tuple[int, ...]) -> torch.Tensor:
    """Images (batch, *image_shape) times maps (coils, *image_shape), in the order of the maps.

    The maps begin at the image's pixel `starts`, and go around.
    """
    axes = tuple(range(-len(starts), 0))
    return maps * x.roll([-start for start in starts], dims=axes).unsqueeze(1)


def combine(maps: torch.Tensor, z: torch.Tensor, starts: tuple[int, ...], x: torch.Tensor) -> None:
    """Adjoint of `expand`: coil images (batch, coils, *image_shape), added to the images `x`."""
    axes = tuple(range(-len(starts), 0))
    x += torch.linalg.vecdot(maps, z, dim=1).roll(starts, dims=axes)
