"""Pixel-driven backprojection of filtered views of a cone beam that are kept on disk, slab by slab."""

from __future__ import annotations

import torch

from invgen.core.disk import OnDisk, slabs
from invgen.operators.tomography import backprojection_cpu
from invgen.operators.tomography.rays import PixelShadows

__all__ = ["cone"]


def cone(filtered: torch.Tensor, shadows: PixelShadows) -> torch.Tensor:
    """Projections (batch, views, rows, samples) to volumes (batch, D, H, W)."""
    assert isinstance(filtered, OnDisk), "others have other kernels"
    s, batch = shadows, len(filtered)
    depth, height, width = s.volume_shape
    x = OnDisk(filtered.room, (batch, *s.volume_shape), filtered.dtype)
    of_slice, of_view = (each.numel() // each.shape[1] * each.dtype.itemsize for each in (x, filtered))
    for first, stop in slabs(depth, 2 * of_slice, x.room):
        stacks = torch.zeros(batch, height, width, stop - first, dtype=x.dtype)
        bottom = first - (depth - 1) / 2
        for begin, end in slabs(len(s.views), 2 * of_view, x.room):
            columns = filtered.read(begin, end).transpose(2, 3).contiguous().numpy()
            views = s.views[begin:end].numpy()
            backprojection_cpu.add_cone(
                columns, views, s.radius, s.first, s.scale, bottom, s.lowest, s.rise, stacks.numpy()
            )
        x.write(stacks.permute(0, 3, 1, 2), first)
    return x
