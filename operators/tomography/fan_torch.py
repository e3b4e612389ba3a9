"""Projection along fans of rays in plain PyTorch: cones of one slice and one row of bins."""

from __future__ import annotations

import torch

from invgen.operators.tomography import cone_torch
from invgen.operators.tomography.rays import DivergentRays

__all__ = ["adjoint", "forward"]


def forward(x: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Images (batch, H, W) to sinograms (batch, views, detector)."""
    return cone_torch.forward(x[:, None], rays)[:, :, 0]


def adjoint(y: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Sinograms (batch, views, detector) to images (batch, H, W)."""
    return cone_torch.adjoint(y[:, :, None], rays)[:, 0]
