"""Joseph's projector for cones of rays, for volumes and projections that are kept on disk.

The compiled kernels take slabs of a volume anyway. Interpolation is linear in the voxels, so that projections
are the sums of those of slabs, and each slab of the adjoint is computed by itself: nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn.functional import pad

from invgen.core.disk import OnDisk, slabs
from invgen.operators.tomography import cone_cpu
from invgen.operators.tomography.rays import DivergentRays

__all__ = ["adjoint", "forward"]


def forward(x: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Volumes (batch, D, H, W) to projections (batch, views, rows, columns)."""
    assert isinstance(x, OnDisk), "others have other kernels"
    y = OnDisk(x.room, (len(x), len(rays.views), len(rays.up), len(rays.across)), x.dtype)
    views, *directions = cone_cpu.directions(rays)
    for first, stop in _blocks(y):
        block = torch.zeros(len(y), stop - first, *y.shape[2:], dtype=y.dtype)
        for slab, bottom in _slabs(x, rays):
            stacks = pad(x.read(slab.start, slab.stop).permute(0, 2, 3, 1), (1, 1)).contiguous().numpy()
            cone_cpu.project(stacks, bottom, views[first:stop], *directions, rays.radius, block.numpy())
        y.write(block.mul_(rays.pixel_size), first)
    return y


def adjoint(y: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Projections (batch, views, rows, columns) to volumes (batch, D, H, W)."""
    assert isinstance(y, OnDisk), "others have other kernels"
    _, height, width = rays.volume_shape
    x = OnDisk(y.room, (len(y), *rays.volume_shape), y.dtype)
    views, *directions = cone_cpu.directions(rays)
    for slab, bottom in _slabs(x, rays):
        stacks = torch.zeros(len(y), height, width, slab.stop - slab.start + 2, dtype=y.dtype)
        for upright in (True, False):  # in the order of additions in memory
            for first, stop in _blocks(y):
                rows = y.read(first, stop).numpy()
                cone_cpu.backproject(
                    rows, bottom, views[first:stop], *directions, rays.radius, upright, stacks.numpy()
                )
        x.write(stacks[..., 1:-1].permute(0, 3, 1, 2).mul(rays.pixel_size), slab.start)
    return x


def _blocks(y: OnDisk) -> Iterator[tuple[int, int]]:
    """Views that are held in memory together."""
    return slabs(y.shape[1], y.numel() // y.shape[1] * y.dtype.itemsize, y.room)


def _slabs(x: OnDisk, rays: DivergentRays) -> Iterator[tuple[slice, float]]:
    """Slices that are held in memory together, three times, and the height of the first, in pixels."""
    depth = rays.volume_shape[0]
    for first, stop in slabs(depth, 3 * x.numel() // depth * x.dtype.itemsize, x.room):
        yield slice(first, stop), first - (depth - 1) / 2
