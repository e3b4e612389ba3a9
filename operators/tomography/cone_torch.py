"""Projection along the rays of a point source by interpolation, after Joseph (1982), in plain PyTorch.

A ray that runs more along y than along x is sampled once in every row of the image, linearly between the
two nearest pixels (and between the two nearest slices), else once in every column; the sum is multiplied by
the length of the ray between two samples. Forward and adjoint share the list of samples, so that one is the
transpose of the other. This is what the compiled kernels are compared with, and what other devices run.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from invgen.operators.tomography.rays import DivergentRays

__all__ = ["adjoint", "forward"]

#: Samples that are held at once, of all elements of a batch: memory stays bounded.
_BLOCK = 1 << 21


def forward(x: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Volumes (batch, D, H, W) to projections (batch, views, rows, columns)."""
    y = x.new_zeros(len(x), len(rays.views), len(rays.up), len(rays.across))
    flat = x.flatten(1)
    for view, columns, length, corners in _samples(rays, x):
        total: torch.Tensor | float = 0.0
        for position, weight in corners:
            total = total + (flat[:, position] * weight).sum(1)
        y[:, view][..., columns] = (total * length).mT
    return y


def adjoint(y: torch.Tensor, rays: DivergentRays) -> torch.Tensor:
    """Projections (batch, views, rows, columns) to volumes (batch, D, H, W)."""
    depth, height, width = rays.volume_shape
    x = y.new_zeros(len(y), depth * height * width)
    for view, columns, length, corners in _samples(rays, y):
        values = (y[:, view][..., columns].mT * length)[:, None]
        for position, weight in corners:
            x.index_add_(1, position.flatten(), (values * weight).flatten(1))
    return x.reshape(len(y), depth, height, width)


def _samples(
    rays: DivergentRays, like: torch.Tensor
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]]:
    """For some columns of a view: lengths (columns, rows), and voxels with weights.

    Voxels are indices in the flattened volume, shape (lines, columns, rows), four around each sample; those
    outside of the volume have weight zero.
    """
    _, height, width = rays.volume_shape
    views, across, along, up = (a.to(like.device) for a in (rays.views, rays.across, rays.along, rays.up))
    for view, (cos, sin) in enumerate(views):
        dx, dy = across * cos - along * sin, across * sin + along * cos
        sx, sy = rays.radius * sin, -rays.radius * cos
        upright = dy.abs() >= dx.abs()
        for steep, lines in ((True, height), (False, width)):
            chosen = (upright == steep).nonzero().squeeze(1)
            size = max(1, _BLOCK // (lines * len(up) * len(like)))
            for columns in chosen.split(size):
                line = torch.arange(lines, device=like.device, dtype=torch.float64)[:, None]
                if steep:  # rows run against y
                    time = ((height - 1) / 2 - line - sy) / dy[columns]
                    place = sx + time * dx[columns] + (width - 1) / 2
                    strides, minor, step = (width, 1), width, dy[columns]
                else:
                    time = (line - (width - 1) / 2 - sx) / dx[columns]
                    place = (height - 1) / 2 - sy - time * dy[columns]
                    strides, minor, step = (1, width), height, dx[columns]
                length = (dx[columns, None] ** 2 + dy[columns, None] ** 2 + up**2).sqrt()
                length = length / step[:, None].abs() * rays.pixel_size
                line, place, z = line[..., None], place[..., None], time[..., None] * up
                corners = _corners(rays.volume_shape, line, place, z, strides, minor)
                yield view, columns, length.to(like.dtype), [(p, w.to(like.dtype)) for p, w in corners]


def _corners(
    volume_shape: tuple[int, int, int],
    line: torch.Tensor,
    place: torch.Tensor,
    z: torch.Tensor,
    strides: tuple[int, int],
    minor: int,
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Indices in the flattened volume, and weights, of the voxels around samples on lines of the volume."""
    depth, height, width = volume_shape
    layer = z + (depth - 1) / 2
    corners = []
    for j, near in _neighbors(place, minor):
        for k, close in _neighbors(layer, depth):
            position = k * (height * width) + line.long() * strides[0] + j * strides[1]
            corners.append((position, near * close))
    return corners


def _neighbors(place: torch.Tensor, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The two nearest of `count` grid points, and their weights in linear interpolation."""
    low = place.floor()
    fraction = place - low
    result = []
    for index, weight in ((low, 1 - fraction), (low + 1, fraction)):
        inside = (index >= 0) & (index < count)
        result.append((index.clamp(0, count - 1).long(), weight * inside))
    return result
