"""Joseph's projector for fans of rays, for GPUs: the kernels of parallel beams, along other rays."""

from __future__ import annotations

import torch

from invgen.operators.tomography.joseph_gpu import backproject, project
from invgen.operators.tomography.rays import DivergentRays

__all__ = ["adjoint", "forward"]


def forward(x: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Images (batch, H, W) to sinograms (batch, views, detector)."""
    return project(x, rays.tracks)


def adjoint(y: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Sinograms (batch, views, detector) to images (batch, H, W)."""
    return backproject(y, rays.tracks, rays.volume_shape[1:])
