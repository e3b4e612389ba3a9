"""The position of each pixel in the image, for networks that are trained by patches."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["positions"]


def positions(height: int, width: int, like: Tensor) -> Tensor:
    """Two channels from -1 to 1, down and across: ``(2, H, W)``."""
    rows = torch.linspace(-1, 1, height, device=like.device, dtype=like.dtype)
    columns = torch.linspace(-1, 1, width, device=like.device, dtype=like.dtype)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
