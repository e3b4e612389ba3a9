"""Parallel-beam projection by linear interpolation along rays, after Joseph (1982), in plain PyTorch.

A ray that runs more along y than along x is sampled once in every row, between the two nearest pixels;
else once in every column. With m = max(|cos t|, |sin t|) the pixel i therefore enters the ray of bin d with

    weight = max(0, 1 - |s_d - s_i| / (p m)) p / m,     s_i = x_i cos t + y_i sin t,

a function of the distance between ray and pixel center on the detector. Forward and adjoint evaluate this
one expression, so one is the transpose of the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from invgen.operators.tomography.rays import ParallelRays

__all__ = ["adjoint", "forward"]


def forward(x: torch.Tensor, rays: ParallelRays) -> torch.Tensor:
    """Images (batch, H, W) to sinograms (batch, views, detector)."""
    y = x.new_zeros(len(x), len(rays.views), rays.bins)
    for view, position, bins, weight in _footprints(rays, x):
        y[:, view].index_add_(1, bins, x.flatten(1)[:, position] * weight)
    return y * rays.pixel_size


def adjoint(y: torch.Tensor, rays: ParallelRays) -> torch.Tensor:
    """Sinograms (batch, views, detector) to images (batch, H, W)."""
    height, width = rays.image_shape
    x = y.new_zeros(len(y), height * width)
    for view, position, bins, weight in _footprints(rays, y):
        x.index_add_(1, position, y[:, view, bins] * weight)
    return x.reshape(-1, height, width) * rays.pixel_size


def _footprints(
    rays: ParallelRays, like: torch.Tensor
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """For each view, the pixels, bins and weights of the non-zero entries of its matrix, in pixels."""
    height, width = rays.image_shape
    columns = torch.arange(width, device=like.device, dtype=torch.float64) - (width - 1) / 2
    rows = (height - 1) / 2 - torch.arange(height, device=like.device, dtype=torch.float64)
    for view, (cos, sin) in enumerate(rays.views.to(like.device)):
        m = torch.maximum(cos.abs(), sin.abs())
        center = (columns * cos + rows[:, None] * sin).flatten() / rays.ratio - rays.first
        reach = m / rays.ratio
        nearest = torch.ceil(center - reach).long()
        for k in range(int(2 * reach) + 2):
            bins = nearest + k
            weight = (1 - (bins - center).abs() / reach) / m
            position = ((weight > 0) & (bins >= 0) & (bins < rays.bins)).nonzero().squeeze(1)
            yield view, position, bins[position], weight[position].to(like.dtype)
